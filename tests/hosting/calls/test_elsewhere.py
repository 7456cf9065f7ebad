"""Calls that a model's other process answers, which the test plays: let in by the gate, in time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.errors import ModelFailure, ModelTimeout, ModelUnreachable, Unavailable
from service.hosting.calls.replica import InlineReplica
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from tests.hosting.calls.test_replica import SOON_S, Rig, a_call, rig, run


class Asked:
    """One call that the process was asked."""

    def __init__(self, call: Call, told: Callable[[Outcome], None]) -> None:
        self.body = call.body
        self.tell = told
        self.is_given_up = False

    def give_up(self) -> None:
        self.is_given_up = True

    def answer(self) -> None:
        self.tell(Answer(self.body.upper(), "text/plain"))


class Process:
    """The other process."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.is_there = True
        self.is_let_go = False
        self.places: int | None = None

    def begin(self, call: Call, told: Callable[[Outcome], None], watch: Stopwatch) -> Asked:
        watch.start()
        self.asked.append(Asked(call, told))
        return self.asked[-1]

    def look(self) -> int | None:
        return 1 if self.is_there else None

    def notes(self) -> tuple[str, ...]:
        return ()

    def let_go(self) -> None:
        self.is_let_go = True

    @property
    def bodies(self) -> bytes:
        return b"".join(asked.body for asked in self.asked)


async def loaded(it: Rig, replica: InlineReplica) -> Process:
    """Have the model loaded, whose process this is."""
    it.elsewhere = process = Process()
    it.cache.release(await it.cache.acquire(replica.key()))
    return process


def begin(replica: InlineReplica, body: bytes) -> Awaitable[Answer]:
    promise = replica.begin(a_call(body), Stopwatch())
    assert promise is not None
    return promise


def test_so_many_are_asked_at_once_as_the_gate_lets_in_and_the_next_as_one_ends() -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica(concurrency=2))
            watch = Stopwatch()
            promises = [replica.begin(a_call(body), watch) for body in (b"a", b"b", b"c")]
            assert process.bodies == b"ab"
            process.asked[1].tell(ModelFailure("b is bad"))
            assert process.bodies == b"abc"
            process.asked[0].answer()
            process.asked[2].answer()
            a, b, c = [promise for promise in promises if promise is not None]
            assert [(await one).body for one in (a, c)] == [b"A", b"C"]
            with pytest.raises(ModelFailure, match="b is bad"):
                await b
            assert watch.seconds > 0

    run(test())


def test_more_are_asked_at_once_while_the_process_has_more_places() -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica(concurrency=1))
            process.places = 1
            promises = [begin(replica, body) for body in (b"a", b"b")]
            assert process.bodies == b"a"
            process.places = 3
            promises.append(begin(replica, b"c"))
            assert process.bodies == b"abc"
            process.places = 2
            promises.append(begin(replica, b"d"))
            for number in range(4):
                assert process.bodies == b"abcd"[: max(3, number + 2)]
                process.asked[number].answer()
            assert [(await one).body for one in promises] == [b"A", b"B", b"C", b"D"]

    run(test())


def test_what_is_not_loaded_or_runs_here_is_left_to_invoke() -> None:
    async def test() -> None:
        async with rig() as it:
            replica = it.replica()
            assert replica.begin(a_call(), Stopwatch()) is None
            await replica.invoke(a_call())
            assert replica.begin(a_call(), Stopwatch()) is None

    run(test())


def test_a_full_line_refuses_either_way_and_who_gives_up_leaves_it() -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica(concurrency=1, queue=1))
            first = begin(replica, b"a")
            second = asyncio.create_task(replica.invoke(a_call(b"b")))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable):
                replica.begin(a_call(), Stopwatch())
            with pytest.raises(Unavailable):
                await replica.invoke(a_call())
            second.cancel()
            await asyncio.wait((second,))
            third = begin(replica, b"c")
            process.asked[0].answer()
            assert (await first).body == b"A"
            assert process.bodies == b"ac"
            process.asked[1].answer()
            assert (await third).body == b"C"

    run(test())


def test_a_call_that_is_given_up_is_given_up_there_and_the_next_goes_in() -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica(concurrency=1))
            first = asyncio.create_task(replica.invoke(a_call(b"a")))
            await asyncio.sleep(0)
            second = begin(replica, b"b")
            first.cancel()
            await asyncio.wait((first,))
            assert process.asked[0].is_given_up
            process.asked[0].answer()  # too late
            process.asked[1].answer()
            assert (await second).body == b"B"
            assert not process.asked[1].is_given_up

    run(test())


@pytest.mark.parametrize("way", ["begin", "invoke"])
def test_a_call_that_takes_too_long_is_given_up_and_so_is_one_that_waits_too_long(way: str) -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica(SOON_S, concurrency=1))
            at_it, in_line = [
                asyncio.ensure_future(begin(replica, body))
                if way == "begin"
                else asyncio.create_task(replica.invoke(a_call(body)))
                for body in (b"a", b"b")
            ]
            for one in (at_it, in_line):
                with pytest.raises(ModelTimeout, match="gave no answer within"):
                    await one
            assert process.asked[0].is_given_up
            assert all(asked.is_given_up for asked in process.asked)

    run(test())


@pytest.mark.parametrize("way", ["begin", "invoke"])
def test_where_the_process_had_gone_another_one_is_asked_once(way: str) -> None:
    async def test() -> None:
        async with rig() as it:
            gone = await loaded(it, replica := it.replica())
            it.elsewhere = other = Process()
            call = (
                asyncio.ensure_future(begin(replica, b"a"))
                if way == "begin"
                else asyncio.create_task(replica.invoke(a_call(b"a")))
            )
            await asyncio.sleep(0)
            gone.is_there = False
            gone.asked[0].tell(ModelUnreachable("nobody is there"))
            while not other.asked:  # noqa: ASYNC110  # it is loaded by a thread
                await asyncio.sleep(0.001)
            other.asked[0].answer()
            assert (await call).body == b"A"

            late = begin(replica, b"b")
            other.asked[1].tell(ModelUnreachable("not now"))  # but it is there
            with pytest.raises(ModelUnreachable, match="not now"):
                await late

    run(test())


def test_where_no_other_can_be_had_either_that_is_told() -> None:
    async def test() -> None:
        async with rig() as it:
            gone = await loaded(it, replica := it.replica())
            call = begin(replica, b"a")
            it.load_error = ModelFailure("it does not load any more")
            gone.is_there = False
            gone.asked[0].tell(ModelUnreachable("nobody is there"))
            with pytest.raises(ModelFailure, match="does not load any more"):
                await call

    run(test())


def test_the_process_hears_that_its_model_is_not_used_any_more_once_it_is_not() -> None:
    async def test() -> None:
        async with rig() as it:
            process = await loaded(it, replica := it.replica())
            call = begin(replica, b"a")
            it.cache.drop(replica.key())
            assert not process.is_let_go
            process.asked[0].answer()
            assert (await call).body == b"A"
            while not process.is_let_go:  # noqa: ASYNC110  # a task does it
                await asyncio.sleep(0)

    run(test())
