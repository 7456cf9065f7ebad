"""Who leaves and who is ended where a container's processes hold too much: real processes, told by nobody."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.hosting.containers.held_memory import HeldMemory
from service.hosting.containers.members import WorkerProcess
from service.hosting.containers.processes import resident_bytes
from service.hosting.containers.slots import Slots
from service.hosting.containers.spec import ContainerSpec

HOLDS = "held = bytearray(b'x') * (64 << 20); print('ready', flush=True); input()"


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    """One that holds 64 MiB and more, and does nothing any more."""
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield WorkerProcess(0, process.pid)
        process.kill()


def look(worker: WorkerProcess, part: float, times: int, grace_s: float) -> list[str]:
    """Why it was to be killed, where it holds such a part of what it may, and that was seen so often."""
    killed: list[str] = []
    slots = Slots(1)
    spec = ContainerSpec("m", "1", "/m", (), memory_bytes=int(resident_bytes(worker.pid) / part))
    memory = HeldMemory(spec, [worker], [], slots, grace_s)
    for _ in range(times):
        memory.keep_within(lambda _, reason: killed.append(reason))
    slots.close()
    return killed


def test_who_holds_a_little_too_much_is_told_to_leave_between_two_calls(worker: WorkerProcess) -> None:
    assert look(worker, 1.05, times=2, grace_s=3600.0) == []
    assert worker.leaves.startswith("it left between two calls")


def test_who_does_not_leave_in_time_is_killed(worker: WorkerProcess) -> None:
    (reason,) = look(worker, 1.05, times=2, grace_s=0.0)
    assert reason.startswith("its container held")


def test_who_holds_much_more_than_it_may_is_killed_at_once(worker: WorkerProcess) -> None:
    assert len(look(worker, 1.3, times=1, grace_s=3600.0)) == 1
    assert worker.leaves == ""


def test_who_holds_less_than_it_may_stays(worker: WorkerProcess) -> None:
    assert look(worker, 0.5, times=2, grace_s=0.0) == []
    assert worker.leaves == ""
