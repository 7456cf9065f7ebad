"""Processes that lose their parent: who becomes it then, and how they are ended.

On Linux; elsewhere what sets itself apart from its group is not found.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Set
from contextlib import suppress
from os import getpid, getppid, waitpid
from threading import get_ident

_END_WITH_PARENT, _ADOPT = 1, 36  # of prctl


def end_with_parent() -> None:
    """Have the kernel end this process as soon as its parent ends."""
    _ask_kernel(_END_WITH_PARENT, signal.SIGKILL)


def end_children_too() -> None:
    """Have the kernel end what this thread forks when this process ends.

    Not what other threads fork, with which the kernel would end it; nor what is forked by those that are
    forked here: whoever sets himself apart as a daemon loses his parent at once, and goes on.
    """
    own, thread = getpid(), get_ident()

    def follow() -> None:
        if getppid() == own and get_ident() == thread:
            end_with_parent()

    os.register_at_fork(after_in_child=follow)


def adopt() -> None:
    """Become the parent of all processes below this one that lose theirs, as daemons do on purpose."""
    _ask_kernel(_ADOPT, 1)


def end_orphans(own: Set[int]) -> None:
    """Kill the children of this process that are not its `own`. Theirs fall to it then: look again."""
    for pid in _children() - own:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill all children of this process, and theirs; returns when none is left."""
    with suppress(ChildProcessError):
        while True:
            end_orphans(frozenset())
            waitpid(-1, 0)


def _children() -> set[int]:
    own, found = getpid(), set()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb", 0) as file:
                # its name, in brackets, may hold anything; then come its state and its parent
                if int(file.read(512).rpartition(b") ")[2].split(None, 2)[1]) == own:
                    found.add(int(name))
    return found


def _ask_kernel(what: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)
