"""The promises of the model cache, in directed tests; test_cache_schedules holds them to random schedules."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.clock import ManualClock
from service.errors import ModelFailure, ModelFault, ModelNotFound, ModelTooLarge, Unavailable
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.entry import IN_PLACE_S, Entry
from service.hosting.cache.failures import Backoff
from service.hosting.cache.gate import Gate
from service.hosting.cache.source import ModelKey, Prepared
from service.hosting.host import Answer, Call, Model, Traits

MIB = 2**20
HANG_S = 20.0  # far above what any test takes: reached only by a waiter that hangs


class FakeModel:
    def __init__(self, size_bytes: int, in_place: bool = True) -> None:
        self.traits = Traits("a fake", size_bytes, in_place=in_place)

    def answer(self, call: Call) -> Answer:
        return Answer(call.body, "text/plain")

    def interface(self) -> None:
        """It tells nothing."""


@dataclass
class Plan:
    """What becomes of one key's next loads."""

    size_bytes: int = MIB
    estimate_bytes: int | None = None
    version: str = "1"
    prepare_error: Exception | None = None
    load_error: Exception | None = None
    version_error: Exception | None = None
    may_load: threading.Event | None = None
    load: Callable[[], Model] | None = None


@dataclass
class FakePrepared:
    plan: Plan
    begin: Callable[[], None]
    version: str
    estimate_bytes: int

    async def get_ready(self) -> None:
        """It is."""

    def load(self) -> Model:
        self.begin()
        if self.plan.may_load is not None:
            assert self.plan.may_load.wait(HANG_S)
        if self.plan.load_error is not None:
            raise self.plan.load_error
        return FakeModel(self.plan.size_bytes) if self.plan.load is None else self.plan.load()


@dataclass
class FakeSource:
    plans: dict[str, Plan] = field(default_factory=dict)
    prepared: list[str] = field(default_factory=list)
    loading: list[str] = field(default_factory=list)
    versions_asked: int = 0

    def plan(self, name: str) -> Plan:
        return self.plans.setdefault(name, Plan())

    def version(self, key: ModelKey) -> str:
        self.versions_asked += 1
        plan = self.plan(key.name)
        if plan.version_error is not None:
            raise plan.version_error
        return plan.version

    def prepare(self, key: ModelKey) -> Prepared:
        self.prepared.append(key.name)
        plan = self.plan(key.name)
        if plan.prepare_error is not None:
            raise plan.prepare_error
        estimate = plan.size_bytes if plan.estimate_bytes is None else plan.estimate_bytes
        return FakePrepared(plan, lambda: self.loading.append(key.name), plan.version, estimate)


@dataclass
class FakeObserver:
    events: list[tuple[str, str]] = field(default_factory=list)

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        self.events.append(("loaded", key.name))

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        self.events.append(("failed", key.name))

    def evicted(self, key: ModelKey, reason: str) -> None:
        self.events.append((reason, key.name))


class InlineExecutor(Executor):
    """Does everything at once, in the thread of the loop."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Rig:
    """A cache over fakes, with as many bytes as `budget` MiB."""

    def __init__(self, executor: Executor, budget: float, **options: Any) -> None:
        self.source = FakeSource()
        self.observer = FakeObserver()
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.cache = ModelCache(
            self.source, int(budget * MIB), executor, self.clock, self.observer, **options
        )

    def plan(self, name: str, **changes: Any) -> Plan:
        plan = self.source.plan(name)
        for member, value in changes.items():
            setattr(plan, member, value)
        return plan

    async def take(self, name: str) -> Entry:
        return await asyncio.wait_for(self.cache.acquire(key_of(name)), HANG_S)

    async def use(self, name: str) -> None:
        self.cache.release(await self.take(name))

    def begin(self, name: str) -> "asyncio.Task[Entry]":
        return asyncio.create_task(self.take(name))

    def loaded(self) -> list[str]:
        return [entry.key.name for entry in self.cache.loaded]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not condition():  # noqa: ASYNC110 - threads are at work, which set no asyncio.Event
                await asyncio.sleep(0.001)


def key_of(name: str) -> ModelKey:
    return ModelKey(Path("/models") / name)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 2 * HANG_S))


@asynccontextmanager
async def rig(budget: float = 3, **options: Any) -> AsyncIterator[Rig]:
    """A rig with real threads that is closed, and found empty, at the end."""
    with ThreadPoolExecutor(40) as executor:
        made = Rig(executor, budget, **options)
        try:
            yield made
        finally:
            for plan in made.source.plans.values():
                if plan.may_load is not None:
                    plan.may_load.set()
            await made.cache.close()
        assert made.cache.held_bytes == 0
        assert made.cache.in_use == 0


async def steps(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# ---- one load, many callers


def test_sixteen_callers_of_one_model_cause_one_load_and_all_get_it() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", may_load=(gate := threading.Event()))
            callers = [it.begin("a") for _ in range(16)]
            await it.until(lambda: it.source.loading == ["a"])
            gate.set()
            entries = await asyncio.gather(*callers)
            assert {id(entry) for entry in entries} == {id(entries[0])}
            assert (entries[0].users, it.cache.in_use, it.source.loading) == (16, 16, ["a"])
            for entry in entries:
                it.cache.release(entry)

    run(test())


def test_a_caller_who_gives_up_leaves_the_load_to_the_others() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", may_load=(gate := threading.Event()))
            one, other = it.begin("a"), it.begin("a")
            await it.until(lambda: it.source.loading == ["a"])
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
            gate.set()
            entry = await other
            assert entry.users == 1
            it.cache.release(entry)

    run(test())


def test_a_caller_who_gives_up_at_the_very_end_of_the_load_leaves_no_pin() -> None:
    async def test(wait: int) -> None:
        it = Rig(InlineExecutor(), 3)
        caller = asyncio.create_task(it.cache.acquire(key_of("a")))
        await steps(wait)
        caller.cancel()
        outcome = (await asyncio.gather(caller, return_exceptions=True))[0]
        if isinstance(outcome, Entry):
            it.cache.release(outcome)
        await steps()
        assert it.cache.in_use == 0
        assert it.loaded() == (["a"] if wait else [])
        await it.cache.close()

    for wait in range(20):
        run(test(wait))


def test_a_slow_load_delays_neither_a_loaded_model_nor_another_load() -> None:
    async def test() -> None:
        async with rig() as it:
            await it.use("b")
            it.plan("a", may_load=threading.Event())
            slow = it.begin("a")
            await it.until(lambda: "a" in it.source.loading)
            await it.use("b")
            await it.use("c")
            assert not slow.done()
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)

    run(test())


def test_sixteen_callers_over_twenty_models_and_room_for_one_all_get_theirs() -> None:
    async def test() -> None:
        async with rig(budget=1) as it:

            async def call(worker: int) -> int:
                for turn in range(32):
                    entry = await it.take(f"m{(worker * 7 + turn * 3) % 20}")
                    await asyncio.sleep(0)
                    assert entry.model.traits.size_bytes == MIB
                    assert it.cache.held_bytes <= MIB
                    it.cache.release(entry)
                return 32

            done = await asyncio.gather(*(call(worker) for worker in range(16)))
            assert sum(done) == 512

    run(test())


# ---- memory


def test_the_least_recently_used_model_goes_first_and_idle_ones_before_those_in_use() -> None:
    async def test() -> None:
        async with rig(budget=3) as it:
            busy = await it.take("a")
            await it.use("b")
            await it.use("c")
            await it.use("b")
            await it.use("d")
            assert it.loaded() == ["a", "b", "d"]
            assert ("memory", "c") in it.observer.events
            it.cache.release(busy)

    run(test())


def test_a_model_in_use_takes_no_new_calls_once_it_has_to_go_and_goes_with_its_last() -> None:
    async def test() -> None:
        async with rig(budget=1) as it:
            entry = await it.take("a")
            model = weakref.ref(entry.model)
            next_one = it.begin("b")
            await it.until(lambda: entry.doomed)
            assert it.cache.pin(key_of("a")) is None
            assert entry.model is model()
            assert (it.cache.in_use, it.cache.held_bytes, next_one.done()) == (1, MIB, False)
            it.cache.release(entry)
            it.cache.release(await next_one)
            assert model() is None
            assert it.loaded() == ["b"]

    run(test())


def test_a_model_that_is_called_without_a_pause_still_makes_room() -> None:
    async def test() -> None:
        async with rig(budget=1) as it:
            it.plan("hot", may_load=(gate := threading.Event()))
            hot = it.begin("hot")
            await it.until(lambda: "hot" in it.source.loading)
            other = it.begin("other")
            await it.until(lambda: "other" in it.source.prepared)
            await steps()
            gate.set()
            entry = await hot
            assert it.cache.pin(key_of("hot")) is None  # it came while another one was waiting for its place
            it.cache.release(entry)
            it.cache.release(await other)

    run(test())


def test_a_model_whose_callers_all_left_makes_room_for_those_who_wait() -> None:
    async def test() -> None:
        async with rig(budget=1) as it:
            it.plan("left", may_load=(gate := threading.Event()))
            caller = it.begin("left")
            await it.until(lambda: "left" in it.source.loading)
            other = it.begin("other")
            await it.until(lambda: "other" in it.source.prepared)
            caller.cancel()
            await steps()
            gate.set()
            it.cache.release(await other)

    run(test())


def test_a_model_larger_than_the_budget_fails_at_once_and_evicts_nobody() -> None:
    async def test() -> None:
        async with rig(budget=3) as it:
            for name in "abc":
                await it.use(name)
            it.plan("big", size_bytes=4 * MIB)
            with pytest.raises(ModelTooLarge) as fault:
                await it.take("big")
            assert fault.value.message == (
                "The model needs 4 MiB, but the models of one gateway process may hold 3 MiB: raise "
                "SAGEBIRD_MODEL_MEMORY (it is shared out among the gateways) or lower SAGEBIRD_GATEWAYS."
            )
            assert it.loaded() == ["a", "b", "c"]
            assert "big" not in it.source.loading

    run(test())


def test_a_model_that_only_turns_out_larger_than_the_budget_is_unloaded_again() -> None:
    async def test() -> None:
        async with rig(budget=3) as it:
            await it.use("a")
            it.plan("big", size_bytes=4 * MIB, estimate_bytes=1)
            with pytest.raises(ModelTooLarge, match="needs 4 MiB"):
                await it.take("big")
            await it.until(lambda: it.cache.held_bytes == MIB)
            assert it.loaded() == ["a"]

    run(test())


def test_models_larger_than_their_files_cost_idle_ones_their_place_and_the_rest_goes_later() -> None:
    async def test() -> None:
        async with rig(budget=3) as it:
            await it.use("idle")
            busy = await it.take("busy")
            it.plan("grown", size_bytes=3 * MIB, estimate_bytes=MIB)
            grown = await it.take("grown")
            assert it.loaded() == ["busy", "grown"]
            await it.until(lambda: it.cache.held_bytes == 4 * MIB)
            it.cache.release(busy)
            await it.until(lambda: it.cache.held_bytes == 3 * MIB)
            assert it.loaded() == ["grown"]
            it.cache.release(grown)

    run(test())


def test_pinned_models_stay_and_the_sentence_names_what_they_hold() -> None:
    async def test() -> None:
        async with rig(budget=3, keep=lambda key: key.name == "kept") as it:
            it.plan("kept", size_bytes=2 * MIB)
            await it.use("kept")
            await it.use("a")
            await it.use("b")
            assert it.loaded() == ["kept", "b"]
            it.plan("two", size_bytes=2 * MIB)
            with pytest.raises(
                ModelTooLarge, match="may hold 3 MiB, of which pinned models hold 2 MiB: raise"
            ):
                await it.take("two")
            assert it.loaded() == ["kept", "b"]

    run(test())


def test_who_waits_for_memory_that_a_pinned_model_takes_is_told_so() -> None:
    async def test() -> None:
        async with rig(budget=3, keep=lambda key: key.name == "kept") as it:
            it.plan("kept", size_bytes=2 * MIB, may_load=(gate := threading.Event()))
            kept = it.begin("kept")
            await it.until(lambda: "kept" in it.source.loading)
            it.plan("two", size_bytes=2 * MIB)
            waiting = [it.begin("two"), it.begin("one")]
            await it.until(lambda: {"one", "two"} <= set(it.source.prepared))
            gate.set()
            it.cache.release(await kept)
            with pytest.raises(ModelTooLarge, match="pinned models hold 2 MiB"):
                await waiting[0]
            it.cache.release(await waiting[1])

    run(test())


def test_memory_is_given_in_the_order_of_asking() -> None:
    async def test() -> None:
        async with rig(budget=2) as it:
            busy = await it.take("busy")
            it.plan("large", size_bytes=2 * MIB)
            large = it.begin("large")
            await it.until(lambda: it.source.prepared[-1:] == ["large"])
            await steps()
            small = it.begin("small")
            await it.until(lambda: it.source.prepared[-1:] == ["small"])
            await steps()
            assert it.source.loading == ["busy"]  # one MiB is free, but it is not small's turn
            it.cache.release(busy)
            it.cache.release(await large)
            it.cache.release(await small)
            assert it.source.loading == ["busy", "large", "small"]

    run(test())


def test_who_was_unpinned_beyond_the_budget_goes_at_the_next_sweep() -> None:
    async def test() -> None:
        pinned = {"a", "b"}
        async with rig(budget=3, keep=lambda key: key.name in pinned) as it:
            for name in "ab":
                it.plan(name, size_bytes=2 * MIB, estimate_bytes=MIB)
                await it.use(name)
            assert it.cache.held_bytes == 4 * MIB
            pinned.clear()
            it.cache.sweep()
            await it.until(lambda: it.cache.held_bytes == 2 * MIB)
            assert it.loaded() == ["b"]

    run(test())


# ---- idle, dropped, closed


def test_idle_models_are_unloaded_unless_pinned_or_in_use() -> None:
    async def test() -> None:
        async with rig(budget=9, idle_s=60.0, keep=lambda key: key.name == "kept") as it:
            for name in ("idle", "kept", "fresh"):
                await it.use(name)
            busy = await it.take("busy")
            it.clock.advance(59)
            await it.use("fresh")
            it.cache.sweep()
            assert len(it.loaded()) == 4
            it.clock.advance(1)
            it.cache.sweep()
            assert it.loaded() == ["kept", "busy", "fresh"]
            assert it.observer.events[-1] == ("idle", "idle")
            it.cache.release(busy)

    run(test())


def test_without_an_idle_time_nothing_is_unloaded() -> None:
    async def test() -> None:
        async with rig() as it:
            await it.use("a")
            it.clock.advance(1e6)
            it.cache.sweep()
            assert it.loaded() == ["a"]
            assert it.cache.is_loaded(key_of("a"))

    run(test())


def test_a_dropped_model_is_loaded_anew() -> None:
    async def test() -> None:
        async with rig() as it:
            entry = await it.take("a")
            assert it.cache.drop(key_of("a"))
            assert not it.cache.drop(key_of("a"))
            again = await it.take("a")
            assert again is not entry
            assert it.cache.in_use == 2
            it.cache.release(entry)
            it.cache.release(again)
            assert ("dropped", "a") in it.observer.events

    run(test())


def test_a_model_dropped_while_it_loads_serves_those_who_wait_and_nobody_else() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", may_load=(gate := threading.Event()))
            before = it.begin("a")
            await it.until(lambda: it.source.loading == ["a"])
            it.plan("a", version="2")
            assert it.cache.drop(key_of("a"))
            after = it.begin("a")
            await steps()
            assert it.source.loading == ["a"]
            gate.set()
            old, new = await before, await after
            assert (old.version, new.version) == ("1", "2")
            it.cache.release(old)
            it.cache.release(new)

    run(test())


def test_a_model_dropped_while_it_fails_to_load_is_tried_again_at_once() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", may_load=(gate := threading.Event()), load_error=ModelFailure("broken"))
            before = it.begin("a")
            await it.until(lambda: it.source.loading == ["a"])
            it.cache.drop(key_of("a"))
            gate.set()
            with pytest.raises(ModelFailure):
                await before
            it.plan("a", load_error=None)
            await it.use("a")

    run(test())


def test_closing_frees_everything_and_tells_those_who_wait() -> None:
    async def test() -> None:
        async with rig(budget=1) as it:
            it.plan("slow", may_load=threading.Event())
            callers = [it.begin("slow")]
            await it.until(lambda: it.source.loading == ["slow"])
            callers.append(it.begin("waits-for-memory"))
            await it.until(lambda: len(it.source.prepared) == 2)
            await steps()
            callers.append(it.begin("not-begun"))
            await asyncio.sleep(0)
            await it.cache.close()
            for outcome in await asyncio.gather(*callers, return_exceptions=True):
                assert isinstance(outcome, Unavailable)
            assert it.cache.held_bytes == 0
            with pytest.raises(Unavailable, match="stopping"):
                await it.take("a")

    run(test())


def test_closing_tells_those_who_wait_for_the_memory_of_a_model_in_use() -> None:
    async def test() -> None:
        async with rig(budget=1) as it:
            entry = await it.take("busy")
            waiting = it.begin("other")
            await it.until(lambda: entry.doomed)
            await it.cache.close()
            with pytest.raises(Unavailable):
                await waiting
            it.cache.release(entry)
            assert it.cache.held_bytes == 0

    run(test())


def test_a_model_in_use_when_the_cache_is_closed_goes_with_its_last_call_without_threads() -> None:
    async def test() -> None:
        with ThreadPoolExecutor(1) as executor:
            it = Rig(executor, 3)
            entry = await it.take("a")
            model = weakref.ref(entry.model)
            await it.cache.close()
        assert it.cache.in_use == 1
        assert model() is not None
        it.cache.release(entry)
        assert model() is None
        assert (it.cache.in_use, it.cache.held_bytes) == (0, 0)

    run(test())


# ---- failures


def test_a_failed_load_is_repeated_word_for_word_until_its_back_off_is_over() -> None:
    async def test() -> None:
        async with rig(backoff=Backoff(first_s=2.0, longest_s=5.0)) as it:
            it.plan("a", load_error=ModelFailure("broken", 512))
            for wait_s in (2.0, 4.0, 5.0, 5.0):
                loads = len(it.source.loading)
                for before_s in (0.0, wait_s - 0.001):
                    it.clock.advance(before_s)
                    with pytest.raises(ModelFailure, match=r"^broken$") as fault:
                        await it.take("a")
                    assert fault.value.status == 512
                assert len(it.source.loading) == loads + 1
                it.clock.advance(0.001)
            it.plan("a", load_error=None)
            await it.use("a")
            assert it.cache.failures() == []

    run(test())


def test_a_failed_load_is_tried_again_at_once_when_its_files_changed() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", load_error=ModelFailure("broken"))
            with pytest.raises(ModelFailure):
                await it.take("a")
            it.plan("a", version="2", load_error=None)
            await it.use("a")

    run(test())


def test_an_archive_that_cannot_be_unpacked_is_left_alone_too() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", prepare_error=ModelFailure("damaged"))
            for _ in range(3):
                with pytest.raises(ModelFailure, match="damaged"):
                    await it.take("a")
            assert it.source.prepared == ["a"]
            it.plan("a", version="2")
            with pytest.raises(ModelFailure, match="damaged"):
                await it.take("a")
            assert it.source.prepared == ["a", "a"]

    run(test())


def test_a_model_that_is_missing_is_found_as_soon_as_it_is_there() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", version_error=ModelNotFound("no such model"))
            for _ in range(2):
                with pytest.raises(ModelNotFound):
                    await it.take("a")
            it.plan("a", version_error=None)
            await it.use("a")

    run(test())


def test_a_fault_is_forgotten_when_its_model_is_dropped() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", load_error=ModelFailure("broken"))
            with pytest.raises(ModelFailure):
                await it.take("a")
            assert [fault.message for _, fault in it.cache.failures()] == ["broken"]
            assert not it.cache.drop(key_of("a"))
            it.plan("a", load_error=None)
            await it.use("a")

    run(test())


def test_calls_that_see_the_new_version_together_try_it_once() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", load_error=ModelFailure("broken"))
            with pytest.raises(ModelFailure):
                await it.take("a")
            it.plan("a", version="2")
            outcomes = await asyncio.gather(*(it.begin("a") for _ in range(16)), return_exceptions=True)
            assert {str(outcome) for outcome in outcomes} == {"broken"}
            assert it.source.loading == ["a", "a"]

    run(test())


def test_who_learned_of_a_new_version_late_believes_its_failure_too() -> None:
    async def test() -> None:
        class LateExecutor(InlineExecutor):
            held: "Future[Any] | None" = None
            hold = False

            def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
                if not self.hold:
                    return super().submit(fn, *args, **kwargs)
                self.hold, self.held = False, Future()
                return self.held

        executor = LateExecutor()
        it = Rig(executor, 3)
        it.plan("a", load_error=ModelFailure("broken"))
        with pytest.raises(ModelFailure):
            await it.take("a")
        it.plan("a", version="2")
        executor.hold = True
        late = asyncio.create_task(it.cache.acquire(key_of("a")))
        await steps()
        with pytest.raises(ModelFailure):
            await it.take("a")
        assert it.source.loading == ["a", "a"]
        assert executor.held is not None
        executor.held.set_result("2")
        with pytest.raises(ModelFailure):
            await late
        assert it.source.loading == ["a", "a"]

    run(test())


def test_each_caller_gets_a_fault_of_its_own_without_the_frames_of_the_load() -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", load_error=ModelFailure("broken"), may_load=(gate := threading.Event()))
            callers = [it.begin("a") for _ in range(3)]
            await it.until(lambda: it.source.loading == ["a"])
            gate.set()
            faults = await asyncio.gather(*callers, return_exceptions=True)
            assert len({id(fault) for fault in faults}) == 3
            for fault in faults:
                assert isinstance(fault, ModelFailure)
                assert fault.__context__ is None

    run(test())


def test_a_remembered_fault_keeps_nothing_of_the_load_alive() -> None:
    class Half:
        """What a loader had in hand when it failed."""

    async def test() -> None:
        async with rig() as it:
            alive: list[weakref.ref[Half]] = []

            def fail() -> Model:
                half = Half()
                alive.append(weakref.ref(half))
                try:
                    raise ValueError("the file is broken")
                except ValueError as error:
                    raise ModelFailure("broken") from error

            it.plan("a", load=fail)
            for _ in range(2):
                with pytest.raises(ModelFailure):
                    await it.take("a")
            await steps()
            gc.collect()
            assert it.cache.failures()[0][1].__traceback__ is None
            assert [half() for half in alive] == [None]

    run(test())


@pytest.mark.parametrize("where", ["load_error", "prepare_error"])
def test_an_error_that_is_no_fault_is_told_as_one_and_leaves_the_model_alone_as_one_does(where: str) -> None:
    async def test() -> None:
        async with rig() as it:
            it.plan("a", **{where: ZeroDivisionError()})
            with pytest.raises(ModelFailure, match="Model a cannot be loaded: ZeroDivisionError"):
                await it.take("a")
            assert it.cache.held_bytes == 0
            it.plan("a", **{where: None})
            with pytest.raises(ModelFailure, match="ZeroDivisionError"):
                await it.take("a")
            it.clock.advance(1.0)
            await it.use("a")

    run(test())


def test_a_load_that_fails_after_its_callers_left_is_no_unretrieved_error() -> None:
    async def test() -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with rig() as it:
            it.plan("a", load_error=ModelFailure("broken"), may_load=(gate := threading.Event()))
            caller = it.begin("a")
            await it.until(lambda: it.source.loading == ["a"])
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
            gate.set()
            await it.until(lambda: it.observer.events == [("failed", "a")])
        gc.collect()
        assert reported == []

    run(test())


def test_ten_thousand_failures_are_remembered_and_the_oldest_forgotten() -> None:
    async def test() -> None:
        it = Rig(InlineExecutor(), 3)
        plan = Plan(version_error=ModelNotFound("no such model"))
        it.source.plans = {f"m{number}": plan for number in range(10_001)}
        for name in it.source.plans:
            with pytest.raises(ModelNotFound):
                await it.cache.acquire(key_of(name))
        names = [key.name for key, _ in it.cache.failures()]
        assert (len(names), names[0], names[-1]) == (10_000, "m1", "m10000")
        await it.cache.close()

    run(test())


def test_the_back_off_doubles_up_to_its_longest() -> None:
    backoff = Backoff()
    assert [backoff.wait_s(attempts) for attempts in (1, 2, 3, 7, 10_000)] == [1.0, 2.0, 4.0, 60.0, 60.0]


# ---- what a call costs


def entry_of(in_place: bool = True) -> Entry:
    return Entry(key_of("a"), FakeModel(1, in_place), "1", 0.0, Gate(1, 1))


def test_only_a_measured_and_quick_size_runs_in_place() -> None:
    entry = entry_of()
    assert not entry.runs_in_place(100)
    entry.note_cost(100, IN_PLACE_S / 2)
    assert entry.runs_in_place(100)
    assert entry.runs_in_place(64)
    assert not entry.runs_in_place(63)
    assert not entry.runs_in_place(128)
    entry.note_cost(100, 1.0)
    assert not entry.runs_in_place(100)


def test_a_first_slow_call_is_forgotten_with_time() -> None:
    entry = entry_of()
    entry.note_cost(100, IN_PLACE_S * 20)
    for _ in range(40):
        entry.note_cost(100, IN_PLACE_S / 10)
    assert entry.runs_in_place(100)


def test_a_model_with_code_of_its_own_never_runs_in_place() -> None:
    entry = entry_of(in_place=False)
    entry.note_cost(100, 0.0)
    assert not entry.runs_in_place(100)


def test_an_entry_surrenders_its_only_reference() -> None:
    entry = entry_of()
    model = weakref.ref(entry.model)
    holder = entry.surrender()
    assert holder == [model()]
    holder.clear()
    assert model() is None


def test_the_observer_hears_how_long_a_load_took() -> None:
    async def test() -> None:
        heard: list[float] = []

        class Listener(FakeObserver):
            def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
                heard.append(seconds)

        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        source = FakeSource()

        def load() -> Model:
            clock.advance(2.5)
            return FakeModel(1)

        source.plan("a").load = load
        cache = ModelCache(source, MIB, InlineExecutor(), clock, Listener())
        cache.release(await cache.acquire(key_of("a")))
        assert heard == [2.5]
        await cache.close()

    run(test())


def test_models_load_in_several_threads_at_once() -> None:
    async def test() -> None:
        async with rig(budget=2) as it:
            barrier = threading.Barrier(2, timeout=HANG_S)

            def load() -> Model:
                barrier.wait()
                return FakeModel(MIB)

            for name in "ab":
                it.plan(name, load=load)
            for entry in await asyncio.gather(it.begin("a"), it.begin("b")):
                it.cache.release(entry)

    run(test())
