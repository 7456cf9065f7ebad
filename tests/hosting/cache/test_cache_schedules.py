"""The promises of the model cache under random schedules.

Hypothesis decides what the callers do and which thread gets on next: the executor is a list of jobs, each
done when its turn comes, so every interleaving of loads, unloads and calls can happen, and failures repeat.
"""

import asyncio
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from service.clock import ManualClock
from service.errors import ModelFailure, ModelFault, ModelTooLarge
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.entry import Entry
from service.hosting.cache.failures import Backoff
from service.hosting.cache.source import ModelKey, Prepared
from service.hosting.host import Answer, Call, Model, Traits

BUDGET_BYTES = 10
KEYS = tuple(ModelKey(Path("/models") / name) for name in "abcd")
STEPS = 16  # of the loop; no chain of callbacks between two jobs is longer
MAX_JOBS = 1000


class FakeModel:
    def __init__(self, size_bytes: int) -> None:
        self.traits = Traits("a fake", size_bytes)

    def answer(self, call: Call) -> Answer:
        raise NotImplementedError

    def interface(self) -> None:
        """It tells nothing."""


class JobList(Executor):
    """Work that is done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[[], Any]]] = []
        self.loads_begun: list[int] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        for argument in getattr(fn, "args", ()):
            if isinstance(argument, FakePrepared):
                self.loads_begun.append(argument.number)
        future: Future[Any] = Future()
        self.jobs.append((future, partial(fn, *args, **kwargs)))
        return future

    def do(self, index: int) -> None:
        future, job = self.jobs.pop(index % len(self.jobs))
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(job())
            except Exception as error:
                future.set_exception(error)


@dataclass
class FakePrepared:
    source: "FakeSource"
    key: ModelKey
    number: int
    version: str
    estimate_bytes: int
    size_bytes: int

    async def get_ready(self) -> None:
        """It is."""

    def load(self) -> Model:
        try:
            self.source.maybe_fail()
        except ZeroDivisionError:  # a load that ends with a bug tells no observer
            self.source.under_way.discard(self.key)
            raise
        model = FakeModel(self.size_bytes)
        self.source.alive.add(model)
        return model


class FakeSource:
    """Loads as `outcome`, `estimate_bytes` and `size_bytes` say, and complains of broken promises."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.outcome = "ok"
        self.estimate_bytes = self.size_bytes = 1
        self.versions = dict.fromkeys(KEYS, 1)
        self.seen: dict[ModelKey, str] = {}
        self.under_way: set[ModelKey] = set()
        self.back_off: dict[ModelKey, tuple[float, str]] = {}
        self.alive: weakref.WeakSet[FakeModel] = weakref.WeakSet()
        self._prepared = 0

    def maybe_fail(self) -> None:
        if self.outcome == "fault":
            raise ModelFailure("broken")
        if self.outcome == "bug":
            raise ZeroDivisionError

    def version(self, key: ModelKey) -> str:
        self.seen[key] = str(self.versions[key])
        return self.seen[key]

    def prepare(self, key: ModelKey) -> Prepared:
        assert key not in self.under_way, "two loads of one model at once"
        until_s, version = self.back_off.get(key, (0.0, ""))
        assert self._clock.monotonic() >= until_s or self.seen[key] != version, "tried before its back-off"
        self.maybe_fail()
        self.under_way.add(key)
        self.seen[key] = str(self.versions[key])
        self._prepared += 1
        return FakePrepared(self, key, self._prepared, self.seen[key], self.estimate_bytes, self.size_bytes)


class World:
    """The cache, its callers, and what they hold."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.source = FakeSource(self.clock)
        self.threads = JobList()
        self.pinned: set[ModelKey] = set()
        self.backoff = Backoff(first_s=4.0, longest_s=16.0)
        self.attempts: Counter[ModelKey] = Counter()
        self.cache = ModelCache(
            self.source,
            BUDGET_BYTES,
            self.threads,
            self.clock,
            self,
            idle_s=5.0,
            backoff=self.backoff,
            keep=self.pinned.__contains__,
        )
        self.callers: list[asyncio.Task[Entry]] = []
        self.held: list[tuple[Entry, weakref.ref[Model]]] = []

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        self.source.under_way.remove(key)
        self.source.back_off.pop(key, None)
        self.attempts.pop(key, None)

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        self.source.under_way.discard(key)
        if key in dict(self.cache.failures()):
            self.attempts[key] += 1
            wait_s = self.backoff.wait_s(self.attempts[key])
            self.source.back_off[key] = (self.clock.monotonic() + wait_s, self.source.seen[key])

    def evicted(self, key: ModelKey, reason: str) -> None:
        assert reason == "dropped" or key not in self.pinned

    async def settle(self) -> None:
        """Let the loop run until only threads could change anything."""
        for _ in range(STEPS):
            await asyncio.sleep(0)
        waiting = []
        for caller in self.callers:
            if not caller.done():
                waiting.append(caller)
            elif not caller.cancelled():
                self.collect(caller)
        self.callers = waiting
        loading = set(self.cache._loads)  # a load that ended with a bug tells no observer
        self.source.under_way &= loading

    def collect(self, caller: "asyncio.Task[Entry]") -> None:
        error = caller.exception()
        if error is None:
            entry = caller.result()
            self.held.append((entry, weakref.ref(entry.model)))
        else:
            assert isinstance(error, ModelFault | ZeroDivisionError)
            if isinstance(error, ModelTooLarge):
                assert "raise SAGEBIRD_MODEL_MEMORY" in error.message

    async def call(self, key: ModelKey) -> None:
        self.callers.append(asyncio.create_task(self.cache.acquire(key)))
        await self.settle()

    async def give_up(self, index: int, steps: int) -> None:
        caller = self.callers[index % len(self.callers)]
        for _ in range(steps):
            await asyncio.sleep(0)
        caller.cancel()
        await self.settle()

    async def work(self, index: int, give_up_after: int | None = None) -> None:
        self.threads.do(index)
        if give_up_after is not None and self.callers:
            await self.give_up(index, give_up_after)
        await self.settle()

    async def release(self, index: int) -> None:
        entry, _ = self.held.pop(index % len(self.held))
        self.cache.release(entry)
        await self.settle()

    async def drop(self, key: ModelKey) -> None:
        self.cache.drop(key)
        self.source.back_off.pop(key, None)
        self.attempts.pop(key, None)
        await self.settle()

    async def sweep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.cache.sweep()
        await self.settle()

    async def finish(self) -> None:
        """Everybody gets done: no caller may be left waiting, nothing may be left behind."""
        self.source.outcome = "ok"
        for _ in range(MAX_JOBS):
            if self.threads.jobs:
                await self.work(0)
            elif self.held:
                await self.release(0)
            else:
                break
        assert not self.callers, "a caller hangs"
        for key in KEYS:
            await self.drop(key)
        while self.threads.jobs:
            await self.work(0)
        cache = self.cache
        assert (cache.held_bytes, cache._leaving_bytes, cache.in_use) == (0, 0, 0)
        leftovers = [cache._entries, cache._loads, cache._tickets, cache._freeing, cache._doomed]
        assert not any(leftovers)
        assert not self.source.alive
        await cache.close()


class Schedules(RuleBasedStateMachine):
    """Models as large as their files say; `Surprises` takes that back."""

    exact = True

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World()

    @rule(key=st.sampled_from(KEYS))
    def call(self, key: ModelKey) -> None:
        self.loop.run_until_complete(self.world.call(key))

    @precondition(lambda self: self.world.threads.jobs)
    @rule(
        index=st.integers(0, 7),
        outcome=st.sampled_from(["ok", "ok", "ok", "ok", "fault", "bug"]),
        estimate=st.integers(0, BUDGET_BYTES + 1),
        size=st.integers(0, BUDGET_BYTES + 1),
        give_up_after=st.none() | st.integers(0, STEPS),
    )
    def work(self, index: int, outcome: str, estimate: int, size: int, give_up_after: int | None) -> None:
        source = self.world.source
        source.outcome = outcome
        source.estimate_bytes = estimate
        source.size_bytes = estimate if self.exact else size
        self.loop.run_until_complete(self.world.work(index, give_up_after))

    @precondition(lambda self: self.world.threads.jobs)
    @rule(indexes=st.lists(st.integers(0, 7), min_size=2, max_size=8), size=st.integers(2, 5))
    def work_on(self, indexes: list[int], size: int) -> None:
        for index in indexes:
            if self.world.threads.jobs:
                self.work(index, "ok", size, size, None)

    @precondition(lambda self: self.world.callers)
    @rule(index=st.integers(0, 7))
    def give_up(self, index: int) -> None:
        self.loop.run_until_complete(self.world.give_up(index, 0))

    @precondition(lambda self: self.world.held)
    @rule(index=st.integers(0, 7))
    def release(self, index: int) -> None:
        self.loop.run_until_complete(self.world.release(index))

    @rule(key=st.sampled_from(KEYS))
    def drop(self, key: ModelKey) -> None:
        self.loop.run_until_complete(self.world.drop(key))

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 20.0]))
    def sweep(self, seconds: float) -> None:
        self.loop.run_until_complete(self.world.sweep(seconds))

    @rule(key=st.sampled_from(KEYS))
    def change_files(self, key: ModelKey) -> None:
        self.world.source.versions[key] += 1

    @rule(key=st.sampled_from(KEYS))
    def pin_or_unpin(self, key: ModelKey) -> None:
        self.world.pinned ^= {key}
        self.loop.run_until_complete(self.world.sweep(0.0))

    @invariant()
    def entries_in_use_live_and_are_counted(self) -> None:
        cache = self.world.cache
        users = Counter(id(entry) for entry, _ in self.world.held)
        known = [*cache.loaded, *cache._doomed]
        for entry, model in self.world.held:
            assert model() is not None
            assert entry.model is model()
            assert entry in known
        for entry in known:
            assert entry.users == users[id(entry)]
        assert cache.in_use == len(self.world.held)

    @invariant()
    def the_budget_holds(self) -> None:
        world, cache = self.world, self.world.cache
        alive_bytes = sum(model.traits.size_bytes for model in world.source.alive)
        if self.exact:
            assert alive_bytes <= cache.held_bytes <= BUDGET_BYTES
        elif not (world.held or world.callers or world.threads.jobs):
            kept_bytes = sum(entry.size_bytes for entry in cache.loaded if entry.key in world.pinned)
            assert alive_bytes == cache.held_bytes
            assert cache.held_bytes <= max(BUDGET_BYTES, kept_bytes)

    @invariant()
    def memory_is_given_in_the_order_of_asking(self) -> None:
        begun = self.world.threads.loads_begun
        assert begun == sorted(begun)

    def teardown(self) -> None:
        try:
            self.loop.run_until_complete(self.world.finish())
        finally:
            self.loop.close()


class Surprises(Schedules):
    """Models larger and smaller than their files say."""

    exact = False


_SETTINGS = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSchedules = Schedules.TestCase
TestSchedules.settings = _SETTINGS
TestSurprises = Surprises.TestCase
TestSurprises.settings = _SETTINGS
