"""Which models are loaded: least recently used by bytes, one load per model at a time.

Each held by a property test:
  - no model is loaded twice at once, and no call waits for the load of a model it does not use;
  - loaded and loading models together hold at most the budget, by their measured sizes;
  - a model in use is never freed: if it has to go, it takes no new calls and goes with its last one.

One object per process, used from its event loop only; loading and freeing run in threads.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from copy import copy
from functools import partial
from operator import attrgetter
from typing import NoReturn, TypeVar

from service.clock import Clock
from service.errors import ModelFailure, ModelFault, ModelTooLarge, Unavailable
from service.hosting.cache.entry import Entry
from service.hosting.cache.failures import Backoff, Failures
from service.hosting.cache.gate import Gate
from service.hosting.cache.loading import Load, Ticket, fetched, load_into, retrieve, too_large
from service.hosting.cache.source import ModelKey, Observer, Prepared, Source
from service.hosting.host import Model
from service.hosting.memory import give_back
from service.log import get_logger

ResultT = TypeVar("ResultT")

STOPPING = "The server is stopping."


class ModelCache:
    """Loaded models within a budget of bytes."""

    def __init__(
        self,
        source: Source,
        budget_bytes: int,
        executor: Executor,
        clock: Clock,
        observer: Observer,
        *,
        idle_s: float = 0.0,
        backoff: Backoff | None = None,
        keep: Callable[[ModelKey], bool] = lambda _key: False,
        concurrency: int = 4,
        queue: int = 1000,
    ) -> None:
        """Start empty.

        `idle_s` unloads what was not used for so long (0: never); `keep` tells which models are never
        evicted; `concurrency` calls run and `queue` calls wait at most on one model.
        """
        self._concurrency = concurrency
        self._queue = queue
        self.budget_bytes = budget_bytes
        self._source = source
        self._executor = executor
        self._clock = clock
        self._observer = observer
        self._idle_s = idle_s
        self._keep = keep
        self._entries: dict[ModelKey, Entry] = {}
        self._turn = 0
        self._doomed: set[Entry] = set()  # evicted, but still in use
        self._loads: dict[ModelKey, Load] = {}
        self._failures = Failures(clock, backoff or Backoff())
        self._tickets: deque[Ticket] = deque()
        self._freeing: set[asyncio.Task[None]] = set()
        self._held_bytes = 0
        self._leaving_bytes = 0  # the part of the held bytes that is on its way out
        self._closed = False

    @property
    def held_bytes(self) -> int:
        """Bytes of loaded models, of models on their way out, and promised to models being loaded."""
        return self._held_bytes

    @property
    def in_use(self) -> int:
        """Calls that hold a model at this moment."""
        return sum(entry.users for entry in (*self._entries.values(), *self._doomed))

    @property
    def loaded(self) -> list[Entry]:
        """The loaded models, least recently used first."""
        return sorted(self._entries.values(), key=attrgetter("turn"))

    def failures(self) -> list[tuple[ModelKey, ModelFault]]:
        """The models whose last load failed, and why."""
        return list(self._failures)

    def is_loaded(self, key: ModelKey) -> bool:
        """Whether `pin` would find the model."""
        return key in self._entries

    def peek(self, key: ModelKey) -> Entry | None:
        """A model that is loaded, for who only looks at it; see Entry.peek."""
        return self._entries.get(key)

    def pin(self, key: ModelKey) -> Entry | None:
        """Take a model that is loaded into use, or None. Every pin needs one `release`."""
        entry = self._entries.get(key)
        return entry if entry is not None and self.pin_again(entry) else None

    def pin_again(self, entry: Entry) -> bool:
        """As `pin`, for a model that was in use before; whether it is still there."""
        if entry.doomed:
            return False
        entry.users += 1
        self._turn += 1
        entry.turn = self._turn
        return True

    def touch(self, entry: Entry) -> bool:
        """As `pin_again` and `release` at once, for a use that is over before anything else can happen."""
        if entry.doomed:
            return False
        self._turn += 1
        entry.turn = self._turn
        entry.last_used_s = self._clock.monotonic()
        return True

    async def acquire(self, key: ModelKey) -> Entry:
        """Take a model into use, loading it first if need be. Every acquire needs one `release`.

        Raises:
            ModelFault: it cannot be loaded; the same fault again, without another try, until its back-off is
                over or its files changed.
            Unavailable: the cache was closed.
        """
        while True:
            await self._refuse_while_backing_off(key)
            entry = self.pin(key)
            if entry is not None:
                return entry
            load = self._loads.get(key) or self._begin_loading(key)
            if not load.stale:
                return await self._join(load)
            await asyncio.wait((load.task,))

    def release(self, entry: Entry) -> None:
        """End one use of a model."""
        entry.users -= 1
        entry.last_used_s = self._clock.monotonic()
        if entry.users == 0:
            if entry.doomed:
                self._doomed.discard(entry)
                self._free(entry)
            elif self._held_bytes > self.budget_bytes:
                self._shrink()

    def drop(self, key: ModelKey, reason: str = "dropped") -> bool:
        """Unload a model as soon as nobody uses it, and forget its failures; the next call loads it anew.

        Returns whether there was one, loaded or being loaded.
        """
        self._failures.forget(key)
        load = self._loads.get(key)
        if load is not None:
            load.stale = True
            return True
        entry = self._entries.get(key)
        if entry is None:
            return False
        self._evict(entry, reason)
        return True

    def resize(self, entry: Entry, size_bytes: int) -> None:
        """A loaded model holds another number of bytes by now."""
        if not entry.doomed:
            self._held_bytes += size_bytes - entry.size_bytes
            entry.size_bytes = size_bytes

    def sweep(self) -> None:
        """Unload what has been idle for too long or exceeds the budget; call it now and then."""
        self._shrink()
        if not self._idle_s:
            return
        oldest_s = self._clock.monotonic() - self._idle_s
        for entry in self.loaded:
            if entry.users == 0 and entry.last_used_s <= oldest_s and not self._keep(entry.key):
                self._evict(entry, "idle")

    async def close(self) -> None:
        """Unload everything, for good; loads under way are abandoned."""
        self._closed = True
        tasks = [load.task for load in self._loads.values()]
        for task in tasks:
            task.cancel()
        for entry in self.loaded:
            self._evict(entry, "dropped")
        await asyncio.gather(*tasks, *self._freeing, return_exceptions=True)
        self._loads.clear()  # of loads that were cancelled before their first step

    async def _refuse_while_backing_off(self, key: ModelKey) -> None:
        while key not in self._loads:
            failure = self._failures.waiting(key)
            if failure is None:
                return
            try:
                version = await self._in_thread(self._source.version, key)
            except ModelFault:
                version = None
            if version is None or version == failure.version:
                raise copy(failure.fault)  # the one that is kept must not collect the frames of every call
            if failure is self._failures.get(key):  # else the new version failed in the meantime as well
                return

    async def _join(self, load: Load) -> Entry:
        load.waiters += 1
        try:
            await asyncio.wait((load.task,))  # the load goes on for the others when this caller gives up
        except asyncio.CancelledError:
            if load.entry is None:
                load.waiters -= 1
            else:
                self.release(load.entry)
            raise
        if load.task.cancelled():
            raise Unavailable(STOPPING)
        fault = load.task.exception()
        if isinstance(fault, ModelFault):
            raise copy(fault)  # of each caller its own, without the frames of the load
        return load.task.result()

    def _begin_loading(self, key: ModelKey) -> Load:
        if self._closed:
            raise Unavailable(STOPPING)
        load = Load(asyncio.create_task(self._load(key)))
        self._loads[key] = load
        load.task.add_done_callback(retrieve)
        return load

    async def _load(self, key: ModelKey) -> Entry:
        begun_s = self._clock.monotonic()
        version: str | None = None
        try:
            version = await self._in_thread(self._source.version, key)
            preparing = self._in_thread(self._source.prepare, key)
            prepared = await fetched(preparing, key.limits.download_s, key.name)
            version = prepared.version
            await prepared.get_ready()
            entry = await self._load_into_room(key, prepared)
        except ModelFault as fault:
            if not self._loads.pop(key).stale:
                self._failures.remember(key, fault, version)
            self._observer.failed(key, self._clock.monotonic() - begun_s, fault)
            raise
        except (
            Exception
        ) as error:  # nobody's fault but ours; its model is left alone for a while all the same
            self._give_up(key, error, begun_s, version)
        except BaseException:
            self._loads.pop(key)
            raise
        load = self._loads.pop(key)
        self._failures.forget(key)
        self._entries[key] = entry
        self._turn += 1
        entry.turn = self._turn
        entry.users = load.waiters
        self._observer.loaded(key, self._clock.monotonic() - begun_s, entry.model)
        if load.stale:
            self._evict(entry, "dropped")
        self._serve_tickets()  # only now, because whoever waits for memory may need this model to go again
        self._shrink()
        return entry

    def _give_up(self, key: ModelKey, error: Exception, begun_s: float, version: str | None) -> NoReturn:
        self._loads.pop(key)
        get_logger("sagebird.cache").error("load failed", model=key.name, exc_info=error)
        fault = ModelFailure(f"Model {key.name} cannot be loaded: {type(error).__name__}.")
        self._failures.remember(key, fault, version)
        self._observer.failed(key, self._clock.monotonic() - begun_s, fault)
        raise fault from error

    async def _load_into_room(self, key: ModelKey, prepared: Prepared) -> Entry:
        promised_bytes = prepared.estimate_bytes
        await self._make_room(promised_bytes)
        box: list[Model] = []
        try:
            await self._in_thread(load_into, box, prepared)
        except BaseException:
            self._unhold(promised_bytes)
            raise
        elsewhere = box[0].traits.elsewhere
        places = None if elsewhere is None else elsewhere.places
        gate = Gate(self._concurrency if places is None else places, self._queue)
        entry = Entry(key, box.pop(), prepared.version, self._clock.monotonic(), gate)
        self._held_bytes += entry.size_bytes - promised_bytes
        if entry.size_bytes > self.budget_bytes:
            self._leaving_bytes += entry.size_bytes
            self._free(entry)
            raise self._refusal(entry.size_bytes)
        return entry

    async def _make_room(self, need_bytes: int) -> None:
        """Wait until `need_bytes` fit, in the order of asking, and promise them to the caller."""
        kept_bytes = self._kept_bytes()
        if need_bytes + kept_bytes > self.budget_bytes:
            raise self._refusal(need_bytes, kept_bytes)
        ticket = Ticket(need_bytes, asyncio.get_running_loop().create_future())
        self._tickets.append(ticket)
        self._serve_tickets()
        try:
            await ticket.granted
        except asyncio.CancelledError:
            if ticket in self._tickets:
                self._tickets.remove(ticket)
            else:
                self._unhold(need_bytes)
            raise

    def _serve_tickets(self) -> None:
        while self._tickets:
            ticket = self._tickets[0]
            kept_bytes = self._kept_bytes()
            if ticket.need_bytes + kept_bytes > self.budget_bytes:  # pinned models came after it was asked
                self._tickets.popleft()
                if not ticket.granted.done():
                    ticket.granted.set_exception(self._refusal(ticket.need_bytes, kept_bytes))
                continue
            self._evict_for(ticket.need_bytes)
            if self._held_bytes + ticket.need_bytes > self.budget_bytes:
                return
            self._tickets.popleft()
            self._held_bytes += ticket.need_bytes
            if not ticket.granted.done():
                ticket.granted.set_result(None)

    def _kept_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self._entries.values() if self._keep(entry.key))

    def _evict_for(self, need_bytes: int) -> None:
        """Choose who has to go: idle models first, then those in use, each least recently used first."""
        excess_bytes = self._held_bytes - self._leaving_bytes + need_bytes - self.budget_bytes
        if excess_bytes <= 0:
            return
        candidates = [entry for entry in self.loaded if not self._keep(entry.key)]
        for entry in sorted(candidates, key=lambda entry: entry.users > 0):
            self._evict(entry, "memory")
            excess_bytes -= entry.size_bytes
            if excess_bytes <= 0:
                return

    def _shrink(self) -> None:
        """A model turned out larger than its files: let idle ones go until the budget holds again."""
        for entry in self.loaded:
            if self._held_bytes - self._leaving_bytes <= self.budget_bytes:
                return
            if entry.users == 0 and not self._keep(entry.key):
                self._evict(entry, "memory")

    def _evict(self, entry: Entry, reason: str) -> None:
        del self._entries[entry.key]
        entry.doomed = True
        self._leaving_bytes += entry.size_bytes
        self._observer.evicted(entry.key, reason)
        if entry.users == 0:
            self._free(entry)
        else:
            self._doomed.add(entry)

    def _free(self, entry: Entry) -> None:
        if self._closed:  # the threads may be gone
            entry.surrender()
            self._count_freed(entry)
            return
        task = asyncio.create_task(self._free_in_thread(entry))
        self._freeing.add(task)
        task.add_done_callback(self._freeing.discard)

    async def _free_in_thread(self, entry: Entry) -> None:
        holder: list[object] = [*entry.surrender()]
        try:
            await self._in_thread(give_back, holder)
        finally:
            self._count_freed(entry)

    def _count_freed(self, entry: Entry) -> None:
        self._leaving_bytes -= entry.size_bytes
        self._unhold(entry.size_bytes)

    def _unhold(self, size_bytes: int) -> None:
        self._held_bytes -= size_bytes
        self._serve_tickets()

    def _refusal(self, need_bytes: int, kept_bytes: int = 0) -> ModelTooLarge:
        return too_large(need_bytes, self.budget_bytes, kept_bytes)

    async def _in_thread(self, function: Callable[..., ResultT], *arguments: object) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *arguments))
