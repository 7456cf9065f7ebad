"""Workers that take up no call though calls wait."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.opener import Containers
from service.hosting.containers.slots import Slots
from service.hosting.containers.stuck import Waiting
from service.hosting.host import Call
from service.runner.serving import Slot
from tests.conftest import wait_until

PID = """
import os
def model_fn(d): return None
def transform_fn(m, b, c, a): return str(os.getpid()), "text/plain"
"""
PATIENCE_S = 60.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with TemporaryDirectory(prefix="sagebird-") as name, socket.socket(socket.AF_UNIX) as found:
        found.bind(f"{name}/1.sock")
        found.listen(8)
        yield found


def test_who_leaves_calls_waiting_is_stuck_and_nobody_else_is(listener: socket.socket) -> None:
    slots = Slots(3)
    idle, busy, works = (Slot(slots.descriptor, number) for number in range(3))
    waiting = Waiting(listener, slots, timeout_s=0.0)
    assert [list(waiting.stuck()) for _ in range(3)] == [[], [], []]  # nothing waits
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(listener.getsockname())
        found = []
        for _ in range(3):
            busy.end()
            busy.begin()
            works.begin()
            works.end()
            found.append(list(waiting.stuck()))
        assert found == [[], [0], [0]]
        for each in (idle, works):
            each.begin()
            each.end()
        assert list(waiting.stuck()) == []
        listener.accept()[0].close()
        assert list(waiting.stuck()) == []
    slots.close()


def test_a_worker_that_was_stopped_between_two_calls_is_replaced(
    containers: Containers, tmp_path: Path
) -> None:
    (tmp_path / "inference.py").write_text(PID)
    one_worker = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    quick = replace(containers, timeout_s=3.0)
    lease = quick.open(tmp_path, PID, one_worker, tmp_path / "inference.py", (tmp_path,))
    call = Call(b"", None, None)
    stopped = int(ask_blocking(lease.address, call, PATIENCE_S).body)
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(stopped).status() == psutil.STATUS_STOPPED, PATIENCE_S)
    assert int(ask_blocking(lease.address, call, PATIENCE_S).body) != stopped
    lease.close()


SHUTS = """
import os, socket
def model_fn(d): return None
def transform_fn(m, b, c, a):
    for name in os.listdir("/proc/self/fd") if b == "shut" else ():
        try: found = socket.socket(fileno=os.dup(int(name)))
        except OSError: continue
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN): found.shutdown(socket.SHUT_RDWR)
    return "done", "text/plain"
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are found by their names")
@pytest.mark.parametrize("how", ["shut", "taken away"])
def test_a_container_that_cannot_be_called_any_more_is_made_anew(
    containers: Containers, tmp_path: Path, how: str
) -> None:
    (tmp_path / "inference.py").write_text(SHUTS)
    program = tmp_path / "inference.py"
    lease = containers.open(tmp_path, SHUTS + how, {}, program, (tmp_path,))
    assert ask_blocking(lease.address, Call(how.encode(), "text/csv", None), PATIENCE_S).body == b"done"
    if how == "taken away":
        os.unlink(lease.address)
    wait_until(lambda: not lease.look(), PATIENCE_S)
    assert "its own code has shut the socket" in str(lease.lost)
    lease.close()
    wait_until(lambda: not os.path.exists(lease.address), PATIENCE_S)
    again = containers.open(tmp_path, SHUTS + how, {}, program, (tmp_path,))
    assert ask_blocking(again.address, Call(b"", "text/csv", None), PATIENCE_S).body == b"done"
    again.close()
