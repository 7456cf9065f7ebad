"""What a process asks of its system's scheduler: processes of their own, which keep what they asked for."""

import os
import subprocess
import sys

import pytest

from service.processes.slices import SLICE_NS, slice_of_thread_ns

_ASK = """
import os
{first}
from service.processes.slices import ask_for_short_slices, slice_of_thread_ns
before = slice_of_thread_ns()
taken = ask_for_short_slices()
print(taken, slice_of_thread_ns(), before, os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
"""


def asked(first: str = "") -> list[str]:
    """Whether it was taken, the slices after and before, the policy and the niceness."""
    command = [sys.executable, "-c", _ASK.format(first=first)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


linux = pytest.mark.skipif(
    sys.platform != "linux" or slice_of_thread_ns() is None, reason="Linux from 6.12 on knows slices"
)


@linux
def test_a_process_asks_for_short_slices_and_stays_what_it_was() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert asked() == ["True", str(SLICE_NS), str(slice_of_thread_ns()), "0", str(own)]
    assert asked("os.nice(3)")[3:] == ["0", str(min(own + 3, 19))]


@linux
def test_one_that_computes_as_a_batch_does_asks_for_nothing() -> None:
    taken, after, before, policy, _ = asked("os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))")
    assert taken == "False"
    assert (after, policy) == (before, "3")
