"""What people hear of containers whose processes end again and again, and what nonsense from them does."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from service.errors import ModelDied, ModelFailure
from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.lease import Lease
from service.hosting.containers.opener import Containers
from service.hosting.host import Call
from tests.conftest import wait_until

ENDS = """
import os, signal
def model_fn(d): return None
def transform_fn(m, b, c, a):
    if b == "end": os.kill(os.getpid(), signal.SIGSEGV)
    return b, "text/plain"
"""
SLOW = """
import time
def model_fn(d):
    time.sleep(600)
"""
# Its thread keeps it from being forked, so that it has the line to its host at hand.
LIES = """
import json, os, socket, threading
def model_fn(d): threading.Thread(target=threading.Event().wait, daemon=True).start()
def transform_fn(m, b, c, a):
    for name in os.listdir("/proc/self/fd") if b != "pid" else ():
        try: line = socket.socket(fileno=os.dup(int(name)))
        except OSError: continue
        if line.type == socket.SOCK_SEQPACKET: line.send(b.encode())
    return str(os.getpid()), "text/plain"
"""
ONE_WORKER = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
PATIENCE_S = 60.0

Open = Callable[..., Lease]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    leases = []

    def make(containers: Containers, script: str, version: str = "1") -> Lease:
        (tmp_path / "inference.py").write_text(script)
        program = tmp_path / "inference.py"
        leases.append(containers.open(tmp_path, script + version, ONE_WORKER, program, (tmp_path,)))
        return leases[-1]

    yield make
    for lease in leases:
        lease.close()


def ask(lease: Lease, body: str) -> str:
    call = Call(body.encode(), "text/csv", None)
    return ask_blocking(lease.address, call, PATIENCE_S).body.decode()


def hears_trouble(lease: Lease) -> bool:
    return lease.look() and bool(lease.trouble)


def test_processes_that_end_again_and_again_are_told_to_all_leases(
    containers: Containers, opened: Open
) -> None:
    lease = opened(containers, ENDS)
    assert lease.trouble == ""
    for _ in range(3):
        with pytest.raises(ModelDied):
            ask(lease, "end")
    wait_until(lambda: hears_trouble(lease), PATIENCE_S)
    words = "its processes end again and again, the last one by this: killed by signal 11"
    assert lease.trouble == words
    assert opened(containers, ENDS).trouble == words
    assert ask(lease, "well") == "well"


def test_a_container_has_as_long_to_start_as_its_variant_says(containers: Containers, opened: Open) -> None:
    with pytest.raises(ModelFailure) as caught:
        opened(containers.within(1.5), SLOW)
    said = str(caught.value)
    assert "is not loaded after 1.5 seconds (ContainerStartupHealthCheckTimeoutInSeconds)" in said
    assert containers.within(None) is containers


def test_what_it_prints_is_in_the_log_by_the_name_that_people_know(
    containers: Containers, tmp_path: Path
) -> None:
    (tmp_path / "inference.py").write_text(ENDS + "print('begun')\n")
    program, told = tmp_path / "inference.py", containers.folder / "host.log"
    lease = containers.open(tmp_path, "named", {}, program, (tmp_path,), name="s3://b/one/model")
    wait_until(lambda: any("begun" in one and "s3://b/one/model" in one for one in _lines(told)), PATIENCE_S)
    same = containers.open(tmp_path, "named", {}, program, (tmp_path,), name="another")
    assert same.address == lease.address
    lease.close()
    same.close()


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_who_has_longer_to_start_shares_the_container_of_others(containers: Containers, opened: Open) -> None:
    assert opened(containers, ENDS).address == opened(containers.within(70.0), ENDS).address


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are found by their names")
@pytest.mark.parametrize(
    "lie",
    [
        '{"worker": 1, "slot": 99}',
        '{"worker": "one", "slot": 0}',
        '{"slot": {}}',
        "{}",
        "no JSON",
    ],
)
def test_a_process_that_sends_its_host_nonsense_is_replaced(
    containers: Containers, opened: Open, lie: str
) -> None:
    lease = opened(containers, LIES, lie)
    liar = int(ask(lease, "pid"))
    with suppress(ModelDied):  # which is quick
        ask(lease, lie)
    wait_until(lambda: not psutil.pid_exists(liar), PATIENCE_S)
    assert int(ask(lease, "pid")) != liar
    assert lease.look()
