"""Runs a plan in an event loop: its connections, what is counted, and the end. Who sends when: loops.py."""

import asyncio
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic, process_time

from service.load.connection import ClientConnection, Response
from service.load.histogram import Histogram
from service.load.plan import Plan
from service.load.tally import Tally

_TICK_S = 0.1
_GRACE_S = 1.0
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
        self.tally = Tally(plan.interval_s, stage_ends_s=tuple(_ends_s(plan)))
        self.cpu_s = 0.0
        self._begun_cpu_s = process_time()
        self._plan = plan
        self._next_request = next_request
        self._start_s = start_s
        self._count_from_s = start_s + plan.warm_up_s
        self._end_s = self._count_from_s + plan.duration_s
        self._ended_s: float | None = None
        self._settled_s = start_s
        self._secure = ssl.create_default_context() if plan.place.secure else None
        self._connections: set[ClientConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._in_flight = 0
        self._turn = 0
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
        if now_s < self._end_s and not self.was_enough():
            self._ended_s = now_s
        self._end_s = min(self._end_s, now_s)
        self._note_cpu()
        self.tally.unfinished += self.cancel_due()
        asyncio.get_running_loop().call_later(_GRACE_S, self._abandon)
        self.settle()

    @property
    def counted_s(self) -> float:
        """How long requests were counted, in seconds: what rates are over.

        That is the plan's duration, unless the run was stopped before, or so many requests were enough: then
        it is over when the last of them is settled.
        """
        ended_s = self._ended_s
        if ended_s is None:
            ended_s = max(self._settled_s, self.last_turn_s()) if self.was_enough() else self._end_s
        return max(0.0, ended_s - self._count_from_s)

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
    def free(self, connection: ClientConnection) -> None:
        """A connection has nothing to do."""

    @abstractmethod
    def gone(self, failed: bool) -> None:
        """A connection is gone, maybe with a request that failed by it; another may take its place."""

    @abstractmethod
    def is_spent(self) -> bool:
        """Whether nothing more will be sent."""

    @abstractmethod
    def was_enough(self) -> bool:
        """Whether the plan's number of requests, and not its duration, ends the run."""

    def last_turn_s(self) -> float:
        """Until when the last request had its turn, by the schedule."""
        return self._count_from_s

    @abstractmethod
    def cancel_due(self) -> int:
        """Send nothing more; how many counted requests are due and were not sent."""

    @abstractmethod
    def backlog(self) -> int:
        """How many requests are due and not sent."""

    def pump(self) -> None:  # noqa: B027  # a closed loop has nothing to do here
        """Send what is due by now."""

    # ---- what the loops use

    def launch(self, connection: ClientConnection, due_s: float, now_s: float) -> None:
        """Send a request on an idle connection."""
        connection.due_s = due_s
        connection.sent_s = now_s
        connection.turn = self._turn
        self._turn += 1
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
            self._settled_s = monotonic()
            self.tally.fail(variant or self._plan.variant, due_s - self._count_from_s, code, example)

    def settle(self) -> None:
        """End the run if there is nothing left to do."""
        if not self._in_flight and self.is_spent():
            self._over.set()

    # ---- told by connections

    def answered(self, connection: ClientConnection, answer: Response) -> None:
        """Count an answer, use its connection for the next request."""
        now_s = monotonic()
        due_s = connection.due_s
        self._in_flight -= 1
        if not 200 <= answer.status < 300:
            self.fail(due_s, *_describe(answer))
        elif due_s >= self._count_from_s:
            self.tally.answer(answer.variant, due_s - self._count_from_s, now_s - due_s)
            self.tally.service.add(now_s - connection.sent_s)
            if self._plan.keeps_answers:
                self.tally.keep(answer.variant, connection.turn % len(self._plan.bodies), answer.body)
            self._settled_s = now_s
        if connection.closing:
            connection.transport.close()
        else:
            self.free(connection)

    def lost(self, connection: ClientConnection, reason: str) -> None:
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
            lambda: ClientConnection(self), place.host, place.port, ssl=self._secure
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

    def _give_up(self, connection: ClientConnection, code: str, reason: str) -> None:
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


def _ends_s(plan: Plan) -> Iterator[float]:
    """When the plan's stages end, in seconds after the warm-up."""
    return accumulate(stage.duration_s for stage in plan.stages)


def _describe(answer: Response) -> tuple[str, str, str]:
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
