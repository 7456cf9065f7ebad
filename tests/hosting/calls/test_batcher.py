"""Calls that wait are joined: when, how many, and what happens to those that give up or fail."""

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import BadPayload, Unavailable
from service.hosting.cache.entry import Entry
from service.hosting.cache.gate import Gate
from service.hosting.cache.source import ModelKey
from service.hosting.calls.batcher import MOST_CALLS, Batcher
from service.hosting.host import Answer, Call
from service.hosting.programs.compiled import Joined
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.stopwatch import Stopwatch
from service.media.codec import Accept
from service.media.readers import plain_rows
from service.media.tables import PLAIN

HANG_S = 20.0


class _Doubler:
    """Doubles the first column; a prediction waits until it may go on."""

    estimator: Any = None
    warnings = ()
    description = "a doubler"
    features = None
    coded = False
    columns = None
    takes = PLAIN

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.may_answer = threading.Event()
        self.begun = threading.Semaphore(0)

    def joined(self, accept: Accept) -> Joined:
        return Joined.ROWS

    def answers_by_row(self, accept: Accept) -> bool:
        return True

    def predict_joined(self, rows: Any, each: int, accept: Accept) -> None:
        raise AssertionError("its rows are put together")

    def quick_for(self, accept: Accept) -> None:
        """It has no program."""

    def code(self, data: Any) -> None:
        """It has no program."""

    def predict(self, data: Any, accept: Accept) -> Any:
        rows = plain_rows(data)
        self.sizes.append(len(rows))
        self.begun.release()
        assert self.may_answer.wait(HANG_S)
        if (np.asarray(rows) == 13).any():
            raise BadPayload("unlucky")
        return np.asarray(rows)[:, 0] * 2


class _Rig:
    def __init__(self, threads: ThreadPoolExecutor, queue: int, **batching: int) -> None:
        self.doubler = _Doubler()
        self.gate = Gate(2, queue)
        model = FlavourModel(self.doubler, 1, "text/csv", None)
        self.entry = Entry(ModelKey(Path("/m")), model, "1", 0.0, self.gate)
        self.entry.note_cost(1, 1.0)
        self.batcher = Batcher(self.entry, self.gate, threads, self._release, **batching)
        self.threads = threads

    def ask(self, body: bytes) -> "asyncio.Task[Answer]":
        self.entry.users += 1
        return asyncio.ensure_future(self.batcher.answer(Call(body, "text/csv", None), Stopwatch()))

    async def begin(self, body: bytes = b"1") -> "asyncio.Task[Answer]":
        """A call whose prediction runs by now."""
        task = self.ask(body)
        assert await asyncio.to_thread(self.doubler.begun.acquire, timeout=HANG_S)
        return task

    def _release(self, entry: Entry) -> None:
        entry.users -= 1


@asynccontextmanager
async def _rig(queue: int = 1000, **batching: int) -> AsyncIterator[_Rig]:
    threads = ThreadPoolExecutor(4)
    rig = _Rig(threads, queue, **batching)
    async with asyncio.timeout(HANG_S):
        yield rig
    rig.doubler.may_answer.set()
    threads.shutdown()
    assert rig.entry.users == 0
    assert rig.gate.inside == 0


def _run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


async def _ask_seven_more(rig: _Rig) -> "list[asyncio.Task[Answer]]":
    """Calls that wait behind the first, which may then go on."""
    others = [rig.ask(b"%d" % number) for number in range(2, 9)]
    await asyncio.sleep(0)
    rig.doubler.may_answer.set()
    return others


def test_an_idle_model_answers_at_once_and_what_comes_meanwhile_is_joined() -> None:
    async def run() -> None:
        async with _rig() as rig:
            first = await rig.begin(b"1")
            others = await _ask_seven_more(rig)
            assert (await first).body == b"2.0\n"
            assert [(await task).body for task in others] == [b"%d.0\n" % (2 * n) for n in range(2, 9)]
            assert rig.doubler.sizes == [1, 7]

    _run(run)


def test_now_and_then_one_call_is_answered_alone_to_see_what_it_takes() -> None:
    async def run() -> None:
        async with _rig(look_every=2) as rig:
            first = await rig.begin(b"1")
            others = await _ask_seven_more(rig)
            await asyncio.gather(first, *others)
            assert rig.doubler.sizes == [1, 1, 6]
            assert rig.entry.is_measured(1)

    _run(run)


def test_a_call_that_fails_fails_alone() -> None:
    async def run() -> None:
        async with _rig() as rig:
            rig.entry.note_cost(2, 1.0)
            first = await rig.begin()
            tasks = [rig.ask(body) for body in (b"2", b"13", b"x", b"3")]
            await asyncio.sleep(0)
            rig.doubler.may_answer.set()
            await first
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in found] == [Answer, BadPayload, BadPayload, Answer]

    _run(run)


def test_one_prediction_answers_so_many_calls_and_no_more() -> None:
    async def run() -> None:
        async with _rig() as rig:
            first = await rig.begin()
            tasks = [rig.ask(b"2") for _ in range(MOST_CALLS + 3)]
            await asyncio.sleep(0)
            rig.doubler.may_answer.set()
            await asyncio.gather(first, *tasks)
            assert rig.doubler.sizes == [1, MOST_CALLS, 3]

    _run(run)


def test_a_size_that_was_never_measured_runs_alone() -> None:
    async def run() -> None:
        async with _rig() as rig:
            rig.doubler.may_answer.set()
            tasks = [rig.ask(body) for body in (b"10", b"11", b"12")]
            await asyncio.gather(*tasks)
            assert rig.doubler.sizes == [1, 2]
            assert rig.entry.is_measured(2)

    _run(run)


def test_who_gives_up_leaves_the_line_and_nobody_waits_for_him() -> None:
    async def run() -> None:
        async with _rig() as rig:
            first = await rig.begin()
            leaving, staying = rig.ask(b"2"), rig.ask(b"3")
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.sleep(0)
            assert rig.entry.users == 2
            rig.doubler.may_answer.set()
            await asyncio.gather(first, staying)
            assert rig.doubler.sizes == [1, 1]
            with pytest.raises(asyncio.CancelledError):
                await leaving

    _run(run)


def test_who_gives_up_while_his_prediction_runs_leaves_its_pin_to_it() -> None:
    async def run() -> None:
        async with _rig() as rig:
            first = await rig.begin()
            first.cancel()
            await asyncio.sleep(0)
            assert rig.entry.users == 1
            rig.doubler.may_answer.set()
            assert (await rig.ask(b"2")).body == b"4.0\n"

    _run(run)


def test_a_full_line_refuses() -> None:
    async def run() -> None:
        async with _rig(queue=2) as rig:
            first = await rig.begin()
            tasks = [rig.ask(b"2") for _ in range(3)]
            await asyncio.wait([tasks[2]])
            with pytest.raises(Unavailable, match="1 calls run and 2 wait for this model"):
                await tasks[2]
            rig.doubler.may_answer.set()
            await asyncio.gather(first, *tasks[:2])

    _run(run)


def test_calls_are_refused_when_the_threads_are_gone() -> None:
    async def run() -> None:
        async with _rig() as rig:
            rig.threads.shutdown()
            with pytest.raises(Unavailable, match="stopping"):
                await rig.ask(b"1")

    _run(run)


def test_nothing_of_a_refused_call_stays() -> None:
    """Neither its body nor what was read of it: no circle that only the garbage collector would find."""

    async def test() -> None:
        async with _rig() as rig:
            rig.doubler.may_answer.set()
            for refused in (b"unread,%d" % id(rig), b"13,%d" % id(rig)):
                gc.disable()
                try:
                    before = sys.getrefcount(refused)
                    with suppress(BadPayload):
                        await rig.ask(refused)
                        pytest.fail("it is answered")
                    async with asyncio.timeout(HANG_S):
                        while sys.getrefcount(refused) > before:  # noqa: ASYNC110  # the thread and this step let go
                            await asyncio.sleep(0.001)
                finally:
                    gc.enable()

    _run(test)
