"""From a call to an answer: in place or in a thread, within time, and what is left when it goes wrong."""

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.clock import ManualClock
from service.domain.endpoint import ModelSource
from service.errors import (
    BadPayload,
    ModelFailure,
    ModelFault,
    ModelNotFound,
    ModelNotReady,
    ModelTimeout,
    Unavailable,
)
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.entry import IN_PLACE_S
from service.hosting.cache.source import ModelKey, Prepared
from service.hosting.calls.replica import CallLimits, InlineReplica
from service.hosting.host import Answer, Call, Elsewhere, Front, Model, Traits

HANG_S = 20.0  # far above what any test takes: reached only by what hangs
SOON_S = 0.05
"""A time-out that every test of time-outs waits for."""


def echo(call: Call) -> Answer:
    return Answer(call.body, "text/plain")


class FakeModel:
    def __init__(self, rig: "Rig") -> None:
        self._rig = rig
        self.traits = Traits("a fake", 1, in_place=rig.in_place, elsewhere=rig.elsewhere, front=rig.front)

    def interface(self) -> None:
        """It tells nothing."""

    def answer(self, call: Call) -> Answer:
        self._rig.answered_in.append(threading.current_thread().name)
        return self._rig.answer(call)


class Rig:
    """One model behind replicas; the rig is the source, the prepared model and the observer too."""

    version_text = "1"
    estimate_bytes = 1

    def __init__(self, calls: ThreadPoolExecutor, loads: ThreadPoolExecutor, **options: Any) -> None:
        self.in_place = False
        self.elsewhere: Elsewhere | None = None
        self.front: Front | None = None
        self.answer: Callable[[Call], Answer] = echo
        self.load_error: Exception | None = None
        self.may_load = threading.Event()
        self.may_load.set()
        self.paths: dict[str | None, Path] = {None: Path("/models/a")}
        self.answered_in: list[str] = []
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.cache = ModelCache(_Source(self), 10, loads, clock, _Observer(), **options)
        self.calls = calls

    def replica(
        self, timeout_s: float = HANG_S, *, multi: bool = False, concurrency: int = 4, queue: int = 1000
    ) -> InlineReplica:
        return InlineReplica(
            ModelSource("a", multi=multi),
            self.locate,
            self.cache,
            self.calls,
            CallLimits(timeout_s, concurrency, queue),
        )

    def locate(self, source: ModelSource, target_model: str | None) -> ModelKey:
        if target_model == "missing":
            raise ModelNotFound("no such model")
        return ModelKey(self.paths.get(target_model, Path(f"/models/{target_model}")))

    def expect_quick(self, *sizes: int) -> None:
        """Make the model one that was measured to be quick at bodies of these sizes."""
        for entry in self.cache.loaded:
            for size in sizes:
                entry.note_cost(size, IN_PLACE_S / 100)

    async def nothing_in_use(self) -> None:
        async with asyncio.timeout(HANG_S):
            while self.cache.in_use:  # noqa: ASYNC110  # it ends in threads, which set no asyncio.Event
                await asyncio.sleep(0.001)


class _Source:
    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def version(self, key: ModelKey) -> str:
        return "1"

    def prepare(self, key: ModelKey) -> Prepared:
        return _Prepared(self._rig)


class _Prepared:
    version = "1"
    estimate_bytes = 1

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def get_ready(self) -> None:
        """It is."""

    def load(self) -> Model:
        assert self._rig.may_load.wait(HANG_S)
        if self._rig.load_error is not None:
            raise self._rig.load_error
        return FakeModel(self._rig)


class _Observer:
    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        pass

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        pass

    def evicted(self, key: ModelKey, reason: str) -> None:
        pass


@asynccontextmanager
async def rig(threads: int = 8, **options: Any) -> AsyncIterator[Rig]:
    """A rig that is found unused and is emptied at the end."""
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="call") as calls,
        ThreadPoolExecutor(8, thread_name_prefix="load") as loads,
    ):
        made = Rig(calls, loads, **options)
        yield made
        made.may_load.set()
        await made.nothing_in_use()
        assert [entry.gate.inside for entry in made.cache.loaded] == [0] * len(made.cache.loaded)
        await made.cache.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 2 * HANG_S))


def a_call(body: bytes = b"1,2", target_model: str | None = None) -> Call:
    return Call(body, "text/csv", None, target_model=target_model)


class Stuck:
    """An answer that comes when the test lets it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, call: Call) -> Answer:
        self.begun.set()
        assert self.may_end.wait(HANG_S)
        return echo(call)

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, HANG_S)


# ---- where a call is answered


def test_built_in_code_answers_in_place_only_once_it_was_measured_to_be_quick() -> None:
    async def test() -> None:
        async with rig() as it:
            it.in_place = True
            replica = it.replica()
            assert await replica.invoke(a_call()) == Answer(b"1,2", "text/plain")
            assert it.answered_in[0].startswith("call")
            it.expect_quick(*[3] * 60)
            await replica.invoke(a_call())
            assert it.answered_in[1] == threading.main_thread().name
            await replica.invoke(a_call(b"x" * 1000))
            assert it.answered_in[2].startswith("call")

    run(test())


def test_code_of_the_models_own_never_blocks_the_loop() -> None:
    async def test() -> None:
        async with rig() as it:
            replica = it.replica()
            await replica.invoke(a_call())
            it.expect_quick(*[3] * 60)
            await replica.invoke(a_call())
            assert all(name.startswith("call") for name in it.answered_in)

    run(test())


class _InFront:
    def __init__(self, lane: Any) -> None:
        self._lane = lane

    def lane(self, headers: tuple[str | None, str | None], bodies: Sequence[bytes]) -> Any:
        return self._lane if bodies == [b"1,2"] and headers == ("text/csv", None) else None


def test_what_stands_in_front_of_another_process_answers_what_it_takes() -> None:
    async def test() -> None:
        async with rig() as it:
            lane = object()
            it.front = _InFront(lane)
            replica = it.replica()
            assert replica.short_way(a_call(), [b"1,2"]) is None  # not loaded yet
            await replica.invoke(a_call())
            assert replica.short_way(a_call(), [b"1,2"]) is None  # not used since
            assert replica.short_way(a_call(), [b"1,2"]) is lane
            assert replica.short_way(a_call(), [b"1,2", b"?"]) is None
            several = it.replica(multi=True)
            await several.invoke(a_call(target_model="b"))
            await several.invoke(a_call(target_model="b"))
            assert several.short_way(a_call(target_model="b"), [b"1,2"]) is None

    run(test())


def test_a_model_that_turned_slow_goes_back_to_threads() -> None:
    async def test() -> None:
        async with rig() as it:
            it.in_place = True
            replica = it.replica()
            await replica.invoke(a_call())
            it.expect_quick(*[3] * 60)

            def slow(call: Call) -> Answer:
                threading.Event().wait(IN_PLACE_S * 20)
                return echo(call)

            it.answer = slow
            await replica.invoke(a_call())
            await replica.invoke(a_call())
            assert it.answered_in[1] == threading.main_thread().name
            assert it.answered_in[2].startswith("call")

    run(test())


# ---- faults


@pytest.mark.parametrize(
    "error", [BadPayload("not a number"), ZeroDivisionError("a bug"), TimeoutError("its own")]
)
@pytest.mark.parametrize("in_place", [True, False])
def test_what_a_model_raises_passes_and_leaves_no_pin(error: Exception, in_place: bool) -> None:
    async def test() -> None:
        async with rig() as it:
            it.in_place = in_place
            replica = it.replica()
            await replica.invoke(a_call())
            it.expect_quick(*[3] * 60)

            def fail(call: Call) -> Answer:
                raise error

            it.answer = fail
            with pytest.raises(type(error), match=str(error)):
                await replica.invoke(a_call())
            assert it.cache.in_use == 0
            assert (it.answered_in[-1] == threading.main_thread().name) is in_place
            it.answer = echo
            await replica.invoke(a_call())

    run(test())


def test_a_load_that_fails_says_why() -> None:
    async def test() -> None:
        async with rig() as it:
            it.load_error = ModelFailure("broken")
            for multi in (True, False):
                with pytest.raises(ModelFailure, match="broken"):
                    await it.replica(multi=multi).invoke(a_call())

    run(test())


def test_a_time_out_of_the_sources_own_is_not_the_calls() -> None:
    async def test() -> None:
        async with rig() as it:
            it.load_error = TimeoutError("the store does not answer")
            with pytest.raises(ModelFailure, match="cannot be loaded: TimeoutError") as raised:
                await it.replica().invoke(a_call())
            assert type(raised.value) is ModelFailure

    run(test())


# ---- time


def test_a_call_that_times_out_is_answered_while_its_thread_keeps_its_place_and_its_pin() -> None:
    async def test() -> None:
        async with rig() as it:
            it.answer = stuck = Stuck()
            with pytest.raises(ModelTimeout, match=r"Model a gave no answer within 0\.05 seconds\."):
                await it.replica(SOON_S, multi=True).invoke(a_call())
            await stuck.has_begun()
            (entry,) = it.cache.loaded
            assert (entry.users, entry.gate.inside) == (1, 1)
            it.cache.drop(entry.key)
            assert entry.model.traits.kind == "a fake"  # in use, so not freed
            stuck.may_end.set()
            await it.nothing_in_use()
            assert entry.gate.inside == 0

    run(test())


def test_a_fault_after_the_time_out_is_no_unretrieved_error() -> None:
    async def test() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with rig() as it:
            stuck = Stuck()

            def fail(call: Call) -> Answer:
                stuck(call)
                raise ModelFailure("late")

            it.answer = fail
            with pytest.raises(ModelTimeout):
                await it.replica(SOON_S).invoke(a_call())
            stuck.may_end.set()
            await it.nothing_in_use()
        assert reported == []

    run(test())


def test_a_call_that_times_out_in_line_leaves_the_line() -> None:
    async def test() -> None:
        async with rig(concurrency=1) as it:
            it.answer = stuck = Stuck()
            first = asyncio.create_task(it.replica(multi=True).invoke(a_call()))
            await stuck.has_begun()
            with pytest.raises(ModelTimeout):
                await it.replica(SOON_S, multi=True).invoke(a_call())
            (entry,) = it.cache.loaded
            assert (entry.users, entry.gate.inside, entry.gate.waiting) == (1, 1, 0)
            stuck.may_end.set()
            await first
            assert len(it.answered_in) == 1

    run(test())


def test_a_caller_who_goes_away_leaves_the_thread_its_place() -> None:
    async def test() -> None:
        async with rig() as it:
            it.answer = stuck = Stuck()
            caller = asyncio.create_task(it.replica().invoke(a_call()))
            await stuck.has_begun()
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert it.cache.in_use == 1
            stuck.may_end.set()
            await it.nothing_in_use()

    run(test())


def test_loading_and_answering_share_one_time_limit() -> None:
    async def test() -> None:
        async with rig() as it:
            it.answer = stuck = Stuck()
            it.may_load.clear()
            late: list[bool] = []
            loop = asyncio.get_running_loop()
            loop.call_later(4 * SOON_S, it.may_load.set)
            loop.call_later(11 * SOON_S, late.append, True)  # with a limit each it would be the 12th
            with pytest.raises(ModelTimeout, match="gave no answer within"):
                await it.replica(8 * SOON_S).invoke(a_call())
            assert not late
            stuck.may_end.set()

    run(test())


@pytest.mark.parametrize(("multi", "error"), [(True, ModelNotReady), (False, ModelTimeout)])
def test_a_load_beyond_the_time_limit_goes_on_and_a_later_call_finds_it(
    multi: bool, error: type[Exception]
) -> None:
    async def test() -> None:
        async with rig() as it:
            it.may_load.clear()
            with pytest.raises(error, match=r"Model a is still being loaded\."):
                await it.replica(SOON_S, multi=multi).invoke(a_call())
            later = asyncio.create_task(it.replica(multi=multi).invoke(a_call()))
            it.may_load.set()
            assert (await later).body == b"1,2"
            assert len(it.cache.loaded) == 1

    run(test())


# ---- too many calls, and the end


@pytest.mark.parametrize("multi", [False, True])
def test_a_full_line_is_refused_and_leaves_no_pin(multi: bool) -> None:
    async def test() -> None:
        async with rig(concurrency=1, queue=1) as it:
            it.answer = stuck = Stuck()
            replica = it.replica(multi=multi, concurrency=1, queue=1)
            callers = [asyncio.create_task(replica.invoke(a_call()))]
            await stuck.has_begun()
            callers.append(asyncio.create_task(replica.invoke(a_call())))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="SAGEBIRD_MODEL_QUEUE"):
                await replica.invoke(a_call())
            assert it.cache.in_use == 2
            stuck.may_end.set()
            assert [answer.body for answer in await asyncio.gather(*callers)] == [b"1,2"] * 2

    run(test())


class AtOnce:
    """An answer that counts how many calls run at once; each waits until `together` of them do."""

    def __init__(self, together: int) -> None:
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(together, timeout=HANG_S)

    def __call__(self, call: Call) -> Answer:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._barrier.wait()
        with self._lock:
            self._now -= 1
        return echo(call)


@pytest.mark.parametrize("multi", [False, True])
def test_no_more_calls_run_at_once_than_one_instance_takes(multi: bool) -> None:
    async def test() -> None:
        async with rig(concurrency=3) as it:
            it.answer = counted = AtOnce(3)
            replica = it.replica(multi=multi, concurrency=3)
            await asyncio.gather(*(replica.invoke(a_call()) for _ in range(12)))
            assert counted.most == 3

    run(test())


@pytest.mark.parametrize(("instances", "most_calls", "at_once"), [(3, None, 6), (3, 5, 5), (1, 9, 2)])
def test_each_instance_takes_calls_of_its_own(instances: int, most_calls: int | None, at_once: int) -> None:
    async def test() -> None:
        async with rig() as it:
            it.answer = counted = AtOnce(at_once)
            replica = it.replica(concurrency=2)
            replica.scale(instances, most_calls)
            await asyncio.gather(*(replica.invoke(a_call()) for _ in range(2 * at_once)))
            assert counted.most == at_once

    run(test())


def test_two_variants_of_one_model_do_not_share_their_instances() -> None:
    async def test() -> None:
        async with rig() as it:
            it.answer = counted = AtOnce(4)
            replicas = [it.replica(concurrency=2) for _ in range(2)]
            await asyncio.gather(*(replica.invoke(a_call()) for replica in replicas * 4))
            assert counted.most == 4

    run(test())


def test_calls_that_no_thread_takes_any_more_are_unavailable() -> None:
    async def test() -> None:
        async with rig(threads=1) as it:
            it.answer = stuck = Stuck()
            replica = it.replica()
            running = asyncio.create_task(replica.invoke(a_call()))
            await stuck.has_begun()
            queued = asyncio.create_task(replica.invoke(a_call()))
            await asyncio.sleep(0)
            it.calls.shutdown(wait=False, cancel_futures=True)
            with pytest.raises(Unavailable, match="stopping"):
                await queued
            with pytest.raises(Unavailable, match="stopping"):
                await replica.invoke(a_call())
            assert it.cache.in_use == 1
            stuck.may_end.set()
            await running

    run(test())


# ---- which model


def test_a_multi_model_call_uses_its_target_and_a_missing_one_is_told() -> None:
    async def test() -> None:
        async with rig() as it:
            replica = it.replica(multi=True)
            await replica.invoke(a_call(target_model="b"))
            assert [entry.key.name for entry in it.cache.loaded] == ["b"]
            assert replica.key("c").name == "c"
            with pytest.raises(ModelNotFound):
                await replica.invoke(a_call(target_model="missing"))

    run(test())


def test_files_that_moved_are_found_at_the_next_load() -> None:
    async def test() -> None:
        async with rig() as it:
            replica = it.replica()
            await replica.invoke(a_call())
            it.paths[None] = Path("/models/a.tar.gz")
            await replica.invoke(a_call())
            assert [str(entry.key.path) for entry in it.cache.loaded] == ["/models/a"]
            it.cache.drop(ModelKey(Path("/models/a")))
            await replica.invoke(a_call())
            assert [str(entry.key.path) for entry in it.cache.loaded] == ["/models/a.tar.gz"]

    run(test())


# ---- warming up


def test_warming_up_loads_and_answers_the_example() -> None:
    async def test() -> None:
        async with rig() as it:
            replica = it.replica()
            await replica.warm_up(None)
            assert (len(it.cache.loaded), it.answered_in) == (1, [])
            await replica.warm_up(a_call())
            assert len(it.answered_in) == 1

    run(test())


def test_warming_up_passes_on_what_is_wrong() -> None:
    async def test() -> None:
        async with rig() as it:
            it.load_error = ModelFailure("broken")
            with pytest.raises(ModelFailure, match="broken"):
                await it.replica().warm_up(a_call())
            it.load_error = None
            it.cache.drop(ModelKey(Path("/models/a")))

            def refuse(call: Call) -> Answer:
                raise BadPayload("two columns are missing")

            it.answer = refuse
            with pytest.raises(BadPayload, match="two columns"):
                await it.replica().warm_up(a_call())

    run(test())


def test_nothing_of_a_refused_call_stays() -> None:
    """No circle that only the garbage collector would find."""

    def refuse(call: Call) -> Answer:
        raise BadPayload("no")

    async def test() -> None:
        async with rig() as made:
            made.answer = refuse
            replica, body = made.replica(), b"refused %d" % id(made)
            await replica.warm_up(None)
            gc.disable()
            try:
                before = sys.getrefcount(body)
                with suppress(BadPayload):
                    await replica.invoke(a_call(body))
                    pytest.fail("it is answered")
                await made.nothing_in_use()
                async with asyncio.timeout(HANG_S):
                    while sys.getrefcount(body) > before:  # noqa: ASYNC110  # the thread and this step let go
                        await asyncio.sleep(0.001)
            finally:
                gc.enable()

    run(test())
