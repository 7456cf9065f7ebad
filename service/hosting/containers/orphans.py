"""What is left of containers when their fork server was killed: it falls to the model host, which ends it.

The fork server does the same for what containers leave (runner). On Linux; elsewhere none is found.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from time import monotonic, sleep

import psutil

_ADOPT = 36  # of prctl
_LONGEST_S = 2.0
_LOOK_S = 0.01


def adopt() -> None:
    """Become the parent of all processes below this one that lose theirs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)


def end_adopted() -> None:
    """End the children of this process that are not of its own group, and theirs. Blocks until they are gone.

    What this process starts itself stays in its group; containers and what they start have others.
    """
    end_s = monotonic() + _LONGEST_S
    while (left := _adopted()) and monotonic() < end_s:
        for pid in left:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        sleep(_LOOK_S)  # theirs fall to this process as they end


def _adopted() -> list[int]:
    own, found = os.getpgrp(), []
    for child in psutil.Process().children():
        with suppress(ProcessLookupError):
            if os.getpgid(child.pid) != own:
                found.append(child.pid)
    return found
