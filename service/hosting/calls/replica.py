"""One copy of one variant: from a call to its model's answer, within limits of time and of calls at once.

Built-in models that were measured to be quick answer in place, on the event loop, where a thread would cost
more than the prediction; others in threads. Code of a model's own runs in another process, which is asked
without a thread. A call that times out is answered at once: if it still waits in line it leaves the line; if
it runs in a thread, that is not interrupted and keeps its place until it is done, as a container does
(contract A.1); the other process is ended by its host.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from service.domain.endpoint import ModelSource
from service.errors import ModelNotReady, ModelTimeout, Unavailable
from service.hosting.cache.cache import STOPPING, ModelCache
from service.hosting.cache.entry import Entry
from service.hosting.cache.gate import Gate
from service.hosting.cache.source import ModelKey
from service.hosting.calls.batcher import Batcher
from service.hosting.calls.deadlines import Deadlines
from service.hosting.calls.elsewhere import CallElsewhere, Gone
from service.hosting.calls.finding import Finding
from service.hosting.calls.joining import lane_of
from service.hosting.host import Answer, Call, Elsewhere, Outcome, ShortWay
from service.hosting.stopwatch import Stopwatch
from service.promise import Promise, fulfil

_MOST_HEADER_CHARS = 2048
_MOST_SHOWN_BYTES = 65_536  # of an answer that documents show as an example


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of one replica: seconds of loading, waiting and predicting; calls at once; calls in line.

    And what it remembers: `targets` models by their names, and for each model `lanes` pairs of headers.
    """

    timeout_s: float
    concurrency: int = 4
    queue: int = 1000
    targets: int = 4096
    lanes: int = 256


class InlineReplica:
    """Answers calls for one model source, as one instance or as several with calls at once of their own.

    Calls of several models behind one source (multi) are counted per model instead.
    """

    def __init__(
        self,
        source: ModelSource,
        locate: Callable[[ModelSource, str | None], ModelKey],
        cache: ModelCache,
        executor: Executor,
        limits: CallLimits,
        *,
        afar: bool = False,
    ) -> None:
        """`locate` finds a model's files, for which a server is asked where they are `afar`.

        `limits` are those of one instance.
        """
        self._afar = afar
        self._finding = Finding(self.key, executor, source)
        self.source = source
        self._locate = locate
        self._cache = cache
        self._executor = executor
        self._timeout_s = limits.timeout_s
        self._concurrency = limits.concurrency
        self._most_targets, self._most_lanes = limits.targets, limits.lanes
        self._gate = Gate(limits.concurrency, limits.queue)
        self._instances = 1
        self._most_calls: int | None = None
        self._places: int | None = None  # in the other process of the model that was used last
        self._key: ModelKey | None = None
        self._entries: dict[str | None, Entry] = {}  # by target model; what was in use before
        self.deadlines = Deadlines()  # of calls that other processes answer
        self._again: set[asyncio.Task[Answer]] = set()

    def scale(self, instances: int, most_calls: int | None = None) -> None:
        """Be so many instances from now on; `most_calls` limits the calls at once of all of them."""
        self._instances, self._most_calls = instances, most_calls
        self._resize()

    def key(self, target_model: str | None = None) -> ModelKey:
        """The model that a call with this target would use if it were loaded now.

        Raises:
            ModelNotFound: no such model below the source's folder.
        """
        if self.source.multi:
            return self._locate(self.source, target_model)
        self._key = self._locate(self.source, None)
        self._entries.clear()
        return self._key

    async def found(self, target_model: str | None = None, timeout_s: float | None = None) -> ModelKey:
        """As `key`, which is asked in a thread where that may take long."""
        if self._afar:
            return await self._finding.found(target_model, timeout_s)
        return self.key(target_model)

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> ShortWay | None:
        """What answers calls like `call`, but for their bodies, at once; None: `invoke` them one by one.

        That is if the model is not loaded, or not known to be quick. Good for as long as nothing else happens
        on the event loop.

        Raises:
            ModelNotFound: no such model.
        """
        target = call.target_model if self.source.multi else None
        entry = self._entries.get(target)
        if entry is not None and self._cache.touch(entry):
            if self.source.multi and entry.front is not None:
                return None  # a container of many models may answer in other forms
            lane = entry.short_way(call[1:3], bodies)
            if lane is not None:
                return lane
        else:
            entry = self._pin(target)
            if entry is None:
                return None
            self._cache.release(entry)
        for body in bodies:
            if not entry.runs_in_place(len(body)):
                return None
        return self._lane(entry, call)

    def note_cost(self, call: Call, body_bytes: int, seconds: float) -> None:
        """Remember what a short way took for one call that it answered alone."""
        entry = self._entries.get(call.target_model if self.source.multi else None)
        if entry is not None:
            entry.note_cost(body_bytes, seconds)

    def begin(self, call: Call, watch: Stopwatch) -> Promise[Answer] | None:
        """As `invoke`, without a task, if the model is loaded and in another process; None: `invoke` it.

        Raises:
            ModelNotFound: no such model.
            Unavailable: too many calls are waiting.
        """
        entry = self._pin(call.target_model)
        if entry is None:
            return None
        elsewhere = entry.model.traits.elsewhere
        if elsewhere is None:
            self._cache.release(entry)
            return None
        promise: Promise[Answer] = Promise()
        due_s = asyncio.get_running_loop().time() + self._timeout_s
        self._ask_elsewhere(entry, elsewhere, call, due_s, watch, partial(self._keep, promise, call, watch))
        return promise

    async def invoke(self, call: Call, watch: Stopwatch | None = None) -> Answer:
        """Answer one call; `watch` runs while the model is at it.

        Raises:
            ModelFault: the model's own refusal or failure, a load that failed, or no answer in time.
            ModelNotReady: the target model is still loading when the time is over.
            Unavailable: too many calls are waiting, or the server stops.
        """
        watch = Stopwatch() if watch is None else watch
        try:
            return await self._invoke(call, watch)
        except Gone as gone:  # before it took the call: another process does
            self._cache.drop(gone.entry.key, "gone")
            return await self._invoke(call, watch)

    async def _invoke(self, call: Call, watch: Stopwatch) -> Answer:
        due_s = asyncio.get_running_loop().time() + self._timeout_s
        entry = self._pin(call.target_model)
        if entry is None:
            entry = await self._load(call.target_model)
        if entry.runs_in_place(len(call.body)):
            return self._answer_in_place(entry, call, watch)
        if entry.model.traits.elsewhere is None:
            return await self._answer_in_thread(entry, call, due_s, watch)
        return await self._answer_elsewhere(entry, entry.model.traits.elsewhere, call, due_s, watch)

    async def warm_up(self, call: Call | None) -> None:
        """Load the model and, given an example call, have it answer once. Raises ModelFault, Unavailable."""
        entry = await self._cache.acquire(await self.found())
        if call is None:
            self._cache.release(entry)
        else:
            due_s = asyncio.get_running_loop().time() + self._timeout_s
            answer = await self._answer_in_thread(entry, call, due_s, Stopwatch())
            entry.shown = answer if len(answer.body) <= _MOST_SHOWN_BYTES else None

    def _pin(self, target_model: str | None) -> Entry | None:
        """Take the model into use if it is loaded. To remember it is quicker than to find it by its files."""
        target = target_model if self.source.multi else None
        entry = self._entries.get(target)
        if entry is not None and self._cache.pin_again(entry):
            return entry
        if self._afar and self._key is None:  # to find its files may take long: `_load` does
            return None
        entry = self._cache.pin(self.key(target) if self._key is None else self._key)
        if entry is not None:
            self._remember(target, entry)
            if not self.source.multi:
                elsewhere = entry.model.traits.elsewhere
                self._take_places(None if elsewhere is None else elsewhere.places)
        return entry

    def _remember(self, target: str | None, entry: Entry) -> None:
        if len(self._entries) >= self._most_targets:
            self._entries.clear()
        self._entries[target] = entry

    def _take_places(self, places: int | None) -> None:
        if places != self._places:
            self._places = places
            self._resize()

    def _resize(self) -> None:
        """Let in as many calls as the model's other process has places, or each instance takes."""
        calls = self._instances * self._concurrency if self._places is None else self._places
        self._gate.resize(calls if self._most_calls is None else min(calls, self._most_calls))

    def _lane(self, entry: Entry, call: Call) -> ShortWay:
        headers = call[1:3]  # Content-Type and Accept
        lane = entry.lanes.get(headers)
        if lane is None or lane.verdict is not lane.compiling.verdict:
            lane = lane_of(entry.model, Call(b"", *headers))
            if sum(len(header or "") for header in headers) > _MOST_HEADER_CHARS:
                return lane  # nobody sends such again and again
            if len(entry.lanes) >= self._most_lanes:
                entry.lanes.clear()
            entry.lanes[headers] = lane
        return lane

    async def _load(self, target_model: str | None) -> Entry:
        key = await self.found(target_model, self._timeout_s)  # anew: they may have moved
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                entry = await self._cache.acquire(key)
                if self._afar and self.source.multi:
                    self._remember(target_model, entry)
                return entry
        except TimeoutError:
            if not limit.expired():
                raise  # the source's own
            if self.source.multi:
                raise ModelNotReady(f"Model {key.name} is still being loaded.") from None
            raise ModelTimeout(f"Model {key.name} is still being loaded.") from None

    def _answer_in_place(self, entry: Entry, call: Call, watch: Stopwatch) -> Answer:
        watch.start()
        try:
            return entry.model.answer(call)
        finally:
            watch.stop()
            entry.note_cost(len(call.body), watch.seconds)
            self._cache.release(entry)

    async def _answer_in_thread(self, entry: Entry, call: Call, due_s: float, watch: Stopwatch) -> Answer:
        """Run the call in a thread. The pin on `entry` goes when the thread is done, not when time is up."""
        try:
            async with asyncio.timeout_at(due_s) as limit:
                gate = entry.gate if self.source.multi else self._gate
                if entry.model.traits.joined(call.accept) is not None:
                    return await self._batcher(entry, gate).answer(call, watch)
                await self._enter(entry, gate)
                return await _outcome(self._start(entry, gate, call, watch))
        except TimeoutError:
            if not limit.expired():
                raise  # the model's own
            raise self.late(entry) from None

    async def _answer_elsewhere(
        self, entry: Entry, elsewhere: Elsewhere, call: Call, due_s: float, watch: Stopwatch
    ) -> Answer:
        """Have the model's other process answer, in a task that waits."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked = self._ask_elsewhere(entry, elsewhere, call, due_s, watch, partial(fulfil, future))
        try:
            return await future
        except asyncio.CancelledError:
            asked.give_up()
            raise
        finally:
            del future, asked  # they hold the error that their own frame would be a part of: a circle

    def _ask_elsewhere(
        self,
        entry: Entry,
        elsewhere: Elsewhere,
        call: Call,
        due_s: float,
        watch: Stopwatch,
        told: Callable[[Outcome], None],
    ) -> CallElsewhere:
        gate = entry.gate if self.source.multi else self._gate
        if not self.source.multi and elsewhere.places != self._places:
            self._take_places(elsewhere.places)
        asked = CallElsewhere(self, entry, gate, elsewhere, call, watch, told)
        asked.start(due_s)
        return asked

    def _keep(self, promise: Promise[Answer], call: Call, watch: Stopwatch, outcome: Outcome) -> None:
        """Keep a promise by what came of a call; where its process had gone, another one is asked, once."""
        if not isinstance(outcome, Gone):
            promise.keep(outcome)
            return
        self._cache.drop(outcome.entry.key, "gone")
        task = asyncio.get_running_loop().create_task(self._invoke(call, watch))
        self._again.add(task)
        task.add_done_callback(self._again.discard)
        task.add_done_callback(partial(_keep_by, promise))

    def release(self, entry: Entry) -> None:
        """See elsewhere.CallKeeper."""
        self._cache.release(entry)

    def late(self, entry: Entry) -> ModelTimeout:
        """See elsewhere.CallKeeper."""
        return ModelTimeout(f"Model {entry.key.name} gave no answer within {self._timeout_s:g} seconds.")

    def _batcher(self, entry: Entry, gate: Gate) -> Batcher:
        batcher = entry.lines.get(gate)
        if not isinstance(batcher, Batcher):
            batcher = entry.lines[gate] = Batcher(entry, gate, self._executor, self._cache.release)
        return batcher

    async def _enter(self, entry: Entry, gate: Gate) -> None:
        try:
            await gate.enter()
        except BaseException:
            self._cache.release(entry)
            raise

    def _start(self, entry: Entry, gate: Gate, call: Call, watch: Stopwatch) -> "asyncio.Future[Answer]":
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(self._executor, _timed_answer, entry, call, watch)
        except RuntimeError as error:  # the threads were shut down while the call stood in line
            self._leave(entry, gate)
            raise Unavailable(STOPPING) from error
        running.add_done_callback(partial(self._finish, entry, gate, len(call.body), watch))
        return running

    def _finish(
        self,
        entry: Entry,
        gate: Gate,
        body_bytes: int,
        watch: Stopwatch,
        running: "asyncio.Future[Answer]",
    ) -> None:
        if not running.cancelled() and running.exception() is None:
            entry.note_cost(body_bytes, watch.seconds)
        self._leave(entry, gate)

    def _leave(self, entry: Entry, gate: Gate) -> None:
        gate.leave()
        self._cache.release(entry)


async def _outcome(running: "asyncio.Future[Answer]") -> Answer:
    try:
        return await asyncio.shield(running)  # when the caller gives up, the thread goes on
    except asyncio.CancelledError:
        if running.cancelled():  # the threads were shut down before one took it up
            raise Unavailable(STOPPING) from None
        raise
    finally:
        del running  # it holds the error that its own frame would be a part of: a circle


def _keep_by(promise: Promise[Answer], task: "asyncio.Task[Answer]") -> None:
    if task.cancelled():
        promise.keep(Unavailable(STOPPING))
        return
    error = task.exception()
    if error is None:
        promise.keep(task.result())
    else:
        promise.keep(error if isinstance(error, Exception) else Unavailable(STOPPING))


def _timed_answer(entry: Entry, call: Call, watch: Stopwatch) -> Answer:
    watch.start()
    try:
        return entry.model.answer(call)
    finally:
        watch.stop()
