"""The edges of lines, leases and orphans: ends that come twice, hosts that stay away, one's own children."""

import asyncio
import ctypes
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelDied, ModelUnreachable
from service.hosting.containers.begun import Begun
from service.hosting.containers.connection import WorkerConnection
from service.hosting.containers.lease import take_lease
from service.hosting.containers.orphans import _adopted, adopt
from service.hosting.containers.spec import ContainerSpec
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from tests.harness.played_workers import Workers, line_to, run, send

_SET_ADOPT, _GET_ADOPT = 36, 37  # of prctl
NAP = [sys.executable, "-ISc", "input()"]


def test_who_hears_an_answer_may_close_the_line_at_once(workers: Workers) -> None:
    async def test() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        line, heard = line_to(workers, 1), asyncio.Event()
        told: list[Outcome] = []

        def close(outcome: Outcome) -> None:
            told.append(outcome)
            line.close()
            heard.set()

        line.begin(Call(b"a", "text/plain", None), close, Stopwatch())
        worker = await workers.accept()
        assert await worker.take() == b"a"
        await worker.answer(b"A")
        await heard.wait()
        assert await worker.take() == b"end"
        assert told == [Answer(b"A", "text/plain")]
        assert reported == []

    run(test())


def test_a_first_call_that_cannot_even_be_written_fails_as_its_worker_died(workers: Workers) -> None:
    async def test() -> None:
        told: asyncio.Queue[Outcome] = asyncio.Queue()
        connection = WorkerConnection(line_to(workers, 1), workers.address)
        connection.listen(None)
        (await workers.accept()).die()
        connection.take(Begun(b"POST / HTTP/1.1\r\n\r\n", told.put_nowait, Stopwatch()))
        assert isinstance(await told.get(), ModelDied)
        assert told.empty()

    run(test())


def test_a_first_call_that_lay_unread_is_sent_to_another_worker_once(workers: Workers) -> None:
    """A process that is to be killed takes up the connection, and dies before it reads."""

    async def test() -> None:
        line = line_to(workers, 1)
        (call,) = send(line, "a")
        (await workers.accept()).die()
        other = await workers.accept()
        assert await other.take() == b"a"
        await other.answer(b"A")
        assert (await call).body == b"A"

        (call,) = send(line, "b")
        for _ in range(2):
            (await workers.accept()).die()
        with pytest.raises(ModelDied):
            await call

    run(test())


def test_a_model_host_that_does_not_come_back_is_waited_for_and_then_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps_s: list[float] = []
    here, monotonic, sleep = threading.get_ident(), time.monotonic, time.sleep

    def now_s() -> float:  # other threads go on in real time
        return sum(naps_s) if threading.get_ident() == here else monotonic()

    def nap(seconds: float) -> None:
        (naps_s.append if threading.get_ident() == here else sleep)(seconds)

    monkeypatch.setattr(time, "monotonic", now_s)
    monkeypatch.setattr(time, "sleep", nap)
    with pytest.raises(ModelUnreachable, match="runs the models of scripts is not there"):
        take_lease(tmp_path, ContainerSpec("a", "", "/nowhere"))
    assert 9.0 < sum(naps_s) < 11.0


@pytest.mark.skipif(sys.platform != "linux", reason="nobody adopts elsewhere")
def test_elsewhere_than_on_linux_nothing_is_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    prctl, before, after = ctypes.CDLL(None).prctl, ctypes.c_int(), ctypes.c_int()
    prctl(_GET_ADOPT, ctypes.byref(before), 0, 0, 0)
    try:
        prctl(_SET_ADOPT, 0, 0, 0, 0)
        monkeypatch.setattr(sys, "platform", "darwin")
        adopt()
        prctl(_GET_ADOPT, ctypes.byref(after), 0, 0, 0)
        assert after.value == 0
    finally:
        prctl(_SET_ADOPT, before.value, 0, 0, 0)


def test_children_of_the_own_group_are_no_orphans_and_those_of_others_are() -> None:
    own = subprocess.Popen(NAP, stdin=subprocess.PIPE)
    other = subprocess.Popen(NAP, stdin=subprocess.PIPE, process_group=0)
    try:
        found = _adopted()
        assert other.pid in found
        assert own.pid not in found
    finally:
        own.communicate(b"\n")
        other.communicate(b"\n")
