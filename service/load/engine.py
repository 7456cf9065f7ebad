"""Runs a plan in an event loop: the open loop, the closed loop, and what both do with connections."""

import asyncio
import json
import math
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, process_time

from service.load.connection import Answer, Connection
from service.load.histogram import Histogram
from service.load.plan import Plan
from service.load.schedule import Pacer, even_times, random_times
from service.load.tally import Tally

_TICK_S = 0.1
_GRACE_S = 1.0
_BACK_OFF_S = 0.1
_EXAMPLE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Glance:
    """How a run is going. Percentiles, in seconds, are those of the latest interval."""

    answered: int
    failed: int
    in_flight: int
    backlog: int
    p50_s: float
    p99_s: float


class Engine(ABC):
    """One run of a plan. It owns the connections; who sends what when is the loops' matter."""

    def __init__(self, plan: Plan, start_s: float, next_request: Callable[[], bytes]) -> None:
        """Prepare a run from `start_s` (time.monotonic) on; `next_request` gives the bytes to send."""
        self.tally = Tally(plan.interval_s)
        self.cpu_s = 0.0
        self._begun_cpu_s = process_time()
        self._plan = plan
        self._next_request = next_request
        self._start_s = start_s
        self._count_from_s = start_s + plan.warm_up_s
        self._end_s = self._count_from_s + plan.duration_s
        self._ended_s = self._end_s
        self._secure = ssl.create_default_context() if plan.place.secure else None
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Send what is due, wait for the last answers. Whatever fails is counted, nothing is raised."""
        loop = asyncio.get_running_loop()
        while (wait_s := self._start_s - monotonic()) > 0:  # noqa: ASYNC110 - an alarm may go off too early
            await asyncio.sleep(wait_s)
        self._begun_cpu_s = process_time()
        loop.call_later(max(0.0, self._end_s - monotonic()), self._note_cpu)
        self.begin()
        try:
            while not self._over.is_set():
                self._tick()
                self.settle()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), _TICK_S)
        finally:
            self._note_cpu()
            await self._leave()

    def stop(self) -> None:
        """End early: send no more, and give what is under way a second."""
        now_s = monotonic()
        if now_s < self._end_s:
            self._ended_s = max(now_s, self._count_from_s)
        self._end_s = min(self._end_s, now_s)
        self._note_cpu()
        self.tally.unfinished += self.cancel_due()
        asyncio.get_running_loop().call_later(_GRACE_S, self._abandon)
        self.settle()

    @property
    def counted_s(self) -> float:
        """How long requests were counted, in seconds."""
        return self._ended_s - self._count_from_s

    def glance(self) -> Glance:
        """How it is going."""
        latest = Histogram()
        interval = max(0, int((monotonic() - self._count_from_s) / self._plan.interval_s) - 1)
        for series in self.tally.series.values():
            latest.merge(series.answers.get(interval, Histogram()))
        p50_s, p99_s = latest.percentiles((0.5, 0.99))
        return Glance(self.tally.answered, self.tally.failed, self._in_flight, self.backlog(), p50_s, p99_s)

    # ---- what the loops decide

    @abstractmethod
    def begin(self) -> None:
        """Send the first requests."""

    @abstractmethod
    def free(self, connection: Connection) -> None:
        """A connection has nothing to do."""

    @abstractmethod
    def gone(self, failed: bool) -> None:
        """A connection is gone, maybe with a request that failed by it; another may take its place."""

    @abstractmethod
    def is_spent(self) -> bool:
        """Whether nothing more will be sent."""

    @abstractmethod
    def cancel_due(self) -> int:
        """Send nothing more; how many counted requests are due and were not sent."""

    @abstractmethod
    def backlog(self) -> int:
        """How many requests are due and not sent."""

    def pump(self) -> None:  # noqa: B027  # a closed loop has nothing to do here
        """Send what is due by now."""

    # ---- what the loops use

    def launch(self, connection: Connection, due_s: float, now_s: float) -> None:
        """Send a request on an idle connection."""
        connection.due_s = due_s
        connection.sent_s = now_s
        self._in_flight += 1
        connection.send(self._next_request())

    def open(self, due_s: float) -> None:
        """Open a connection and send on it the request that is due; it has failed if there is none."""
        self._in_flight += 1
        task = asyncio.get_running_loop().create_task(self._open(due_s))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def fail(self, due_s: float, code: str, example: str, variant: str = "") -> None:
        """Count a failed request, unless it was of the warm-up."""
        if due_s >= self._count_from_s:
            self.tally.fail(variant or self._plan.variant, due_s - self._count_from_s, code, example)

    def settle(self) -> None:
        """End the run if there is nothing left to do."""
        if not self._in_flight and self.is_spent():
            self._over.set()

    # ---- told by connections

    def answered(self, connection: Connection, answer: Answer) -> None:
        """Count an answer, use its connection for the next request."""
        now_s = monotonic()
        due_s = connection.due_s
        self._in_flight -= 1
        if not 200 <= answer.status < 300:
            self.fail(due_s, *_describe(answer))
        elif due_s >= self._count_from_s:
            self.tally.answer(answer.variant, due_s - self._count_from_s, now_s - due_s)
            self.tally.service.add(now_s - connection.sent_s)
        if connection.closing:
            connection.transport.close()
        else:
            self.free(connection)

    def lost(self, connection: Connection, reason: str) -> None:
        """Count the request that was under way as failed."""
        self._connections.discard(connection)
        failed = connection.waits
        if failed:
            self._give_up(connection, "ConnectionLost", reason)
        self.gone(failed)
        self.settle()

    # ---- within

    async def _open(self, due_s: float) -> None:
        place = self._plan.place
        connecting = asyncio.get_running_loop().create_connection(
            lambda: Connection(self), place.host, place.port, ssl=self._secure
        )
        try:
            async with asyncio.timeout(max(0.0, due_s + self._plan.timeout_s - monotonic())):
                _, connection = await connecting
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors too
            self._in_flight -= 1
            late = f"none within {self._plan.timeout_s:g} s of when the request was due"
            self.fail(due_s, "NoConnection", late if isinstance(error, TimeoutError) else str(error))
            self.gone(failed=True)
            self.settle()
            return
        self._in_flight -= 1
        self._connections.add(connection)
        self.launch(connection, due_s, monotonic())

    def _tick(self) -> None:
        oldest_s = monotonic() - self._plan.timeout_s
        for connection in list(self._connections):
            if connection.waits and connection.due_s < oldest_s:
                self._give_up(connection, "Timeout", f"no answer within {self._plan.timeout_s:g} s")
                connection.transport.abort()
        self.pump()

    def _give_up(self, connection: Connection, code: str, reason: str) -> None:
        connection.waits = False
        self._in_flight -= 1
        self.fail(connection.due_s, code, reason)

    def _abandon(self) -> None:
        counted = [each for each in self._connections if each.waits and each.due_s >= self._count_from_s]
        self.tally.unfinished += len(counted) + len(self._opening)
        self._over.set()

    def _note_cpu(self) -> None:
        if not self.cpu_s:
            self.cpu_s = process_time() - self._begun_cpu_s

    async def _leave(self) -> None:
        for task in list(self._opening):
            task.cancel()
        for connection in list(self._connections):
            connection.waits = False
            connection.transport.abort()
        await asyncio.sleep(0)


class ClosedLoop(Engine):
    """So many callers, each of which sends when its last request is answered."""

    _sent = 0

    def begin(self) -> None:
        """Every caller sends its first request."""
        for _ in range(self._plan.connections):
            self._call(None)

    def free(self, connection: Connection) -> None:
        """Its caller sends the next request."""
        self._call(connection)

    def gone(self, failed: bool) -> None:
        """Its caller opens another one."""
        if failed:  # a caller who asked at once again would count the same trouble thousands of times
            asyncio.get_running_loop().call_later(_BACK_OFF_S, self._call, None)
        else:
            self._call(None)

    def is_spent(self) -> bool:
        """After the end, or when enough was sent."""
        most = self._plan.most_requests
        return monotonic() >= self._end_s or (most is not None and self._sent >= most)

    def cancel_due(self) -> int:
        """Nothing is ever due without being sent."""
        return 0

    def backlog(self) -> int:
        """Nothing ever waits."""
        return 0

    def _call(self, connection: Connection | None) -> None:
        if self.is_spent():
            self.settle()
            return
        now_s = monotonic()
        self._sent += now_s >= self._count_from_s
        if connection is None:
            self.open(now_s)
        else:
            self.launch(connection, now_s, now_s)


class OpenLoop(Engine):
    """Requests are due at times that no answer can move; at most so many connections carry them."""

    def __init__(
        self, plan: Plan, start_s: float, next_request: Callable[[], bytes], part: int = 0, parts: int = 1
    ) -> None:
        """One process's `part` of the `parts` that a plan's rate is shared out to."""
        super().__init__(plan, start_s, next_request)
        self._part = part
        self._parts = parts
        self._idle: list[Connection] = []
        self._starved = False
        self._due_times = self._times()
        self._due_s = next(self._due_times)
        loop = asyncio.get_running_loop()
        self._pacer = Pacer(self._times(), self._end_s, lambda: loop.call_soon_threadsafe(self.pump))

    def begin(self) -> None:
        """Start the alarm."""
        self._pacer.start()

    def free(self, connection: Connection) -> None:
        """Keep it, and send on it what waits."""
        self._idle.append(connection)
        self.pump()
        if self._due_s == math.inf:
            self.settle()

    def gone(self, failed: bool) -> None:
        """Send what waits on a new one."""
        self.pump()

    def lost(self, connection: Connection, reason: str) -> None:
        """An idle one is forgotten as well."""
        if connection in self._idle:
            self._idle.remove(connection)
        super().lost(connection, reason)

    def is_spent(self) -> bool:
        """When all that was due before the end is sent."""
        return self._due_s == math.inf

    def cancel_due(self) -> int:
        """Stop the alarm, count what waits."""
        self._pacer.stop()
        left, now_s = 0, monotonic()
        while self._due_s <= now_s:
            left += self._due_s >= self._count_from_s
            self._due_s = next(self._due_times)
        self._due_s = math.inf
        return left

    def backlog(self) -> int:
        """By how late the next one is."""
        late_s = min(monotonic(), self._end_s) - self._due_s
        return math.ceil(late_s * (self._plan.rate or 0) / self._parts) if late_s > 0 and self._starved else 0

    def pump(self) -> None:
        """On idle connections first, then on new ones; what finds none waits."""
        now_s = monotonic()
        was_starved, self._starved = self._starved, False
        while self._due_s <= now_s:
            if now_s - self._due_s > self._plan.timeout_s:
                self.fail(self._due_s, "NotSent", "no connection was free in time: all wait for answers")
            elif self._idle:
                self.launch(self._idle.pop(), self._due_s, now_s)
            elif len(self._connections) + len(self._opening) < self._plan.connections:
                self.open(self._due_s)
            else:
                self._starved = True
                self.tally.most_backlog = max(self.tally.most_backlog, self.backlog())
                return
            if not was_starved:
                self.tally.waits.add(now_s - self._due_s)
            self._due_s = next(self._due_times)

    async def _leave(self) -> None:
        self._pacer.stop()
        await super()._leave()

    def _times(self) -> Iterator[float]:
        """Due times up to the end of the run or the last counted request, then infinity."""
        plan, rate = self._plan, self._plan.rate or 0
        left = math.inf if plan.most_requests is None else plan.most_requests
        if plan.poisson:
            raw = random_times(self._start_s, rate / self._parts, plan.seed + self._part)
        else:
            raw = even_times(self._start_s, rate, self._part, self._parts)
        for due_s in raw:
            left -= due_s >= self._count_from_s
            if due_s >= self._end_s or left < 0:
                break
            yield due_s
        while True:
            yield math.inf


def _describe(answer: Answer) -> tuple[str, str, str]:
    """A failure's code, an example of what it says, and the variant that gave it."""
    error_type = answer.error_type.partition(":")[0]
    text = answer.body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        said = (document.get(name) for name in ("OriginalMessage", "Message", "message"))
        text = next((each for each in said if isinstance(each, str)), text)
    return f"{answer.status} {error_type}".strip(), text[:_EXAMPLE_LENGTH], answer.variant
