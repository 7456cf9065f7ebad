"""Who sends a request when: an open loop by a schedule, a closed loop of callers that wait for answers."""

import asyncio
import math
from collections.abc import Callable, Iterator
from time import monotonic

from service.load.connection import ClientConnection
from service.load.engine import Engine
from service.load.plan import Plan, RateStage
from service.load.schedule import Pacer, even_times, random_times, staged_times

_BACK_OFF_S = 0.1


class ClosedLoop(Engine):
    """So many callers, each of which sends when its last request is answered."""

    _sent = 0

    def begin(self) -> None:
        """Every caller sends its first request."""
        for _ in range(self._plan.connections):
            self._call(None)

    def free(self, connection: ClientConnection) -> None:
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
        return self.was_enough() or monotonic() >= self._end_s

    def was_enough(self) -> bool:
        """When so many were sent."""
        most = self._plan.most_requests
        return most is not None and self._sent >= most

    def cancel_due(self) -> int:
        """Nothing is ever due without being sent."""
        return 0

    def backlog(self) -> int:
        """Always 0: who waits for an answer sends nothing."""
        return 0

    def _call(self, connection: ClientConnection | None) -> None:
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
        self._idle: list[ClientConnection] = []
        self._starved = False
        self._last_due_s = self._count_from_s
        self._taken = 0
        self._due_times = self._times()
        self._due_s = next(self._due_times)
        loop = asyncio.get_running_loop()
        self._pacer = Pacer(self._times(), self._end_s, lambda: loop.call_soon_threadsafe(self.pump))

    def begin(self) -> None:
        """Start the alarm that says when requests are due."""
        self._pacer.start()

    def free(self, connection: ClientConnection) -> None:
        """Keep it, and send on it what waits."""
        self._idle.append(connection)
        self.pump()
        if self._due_s == math.inf:
            self.settle()

    def gone(self, failed: bool) -> None:
        """Send what waits on a new one."""
        self.pump()

    def lost(self, connection: ClientConnection, reason: str) -> None:
        """An idle one is forgotten as well."""
        if connection in self._idle:
            self._idle.remove(connection)
        super().lost(connection, reason)

    def is_spent(self) -> bool:
        """When all that was due before the end is sent."""
        return self._due_s == math.inf

    def was_enough(self) -> bool:
        """When so many had their turn."""
        most = self._plan.most_requests
        return most is not None and self._taken >= most

    def last_turn_s(self) -> float:
        """Evenly spaced requests have a turn each, from when they are due until the next would be."""
        return self._last_due_s + (0.0 if self._plan.poisson else 1 / (self._plan.rate or 1))

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
        return (
            math.ceil(late_s * self._rate_at(self._due_s) / self._parts)
            if late_s > 0 and self._starved
            else 0
        )

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
            self._taken += self._due_s >= self._count_from_s
            self._last_due_s = self._due_s
            self._due_s = next(self._due_times)

    async def _leave(self) -> None:
        self._pacer.stop()
        await super()._leave()

    def _times(self) -> Iterator[float]:
        """Due times up to the end of the run or the last counted request, then infinity."""
        plan = self._plan
        left = math.inf if plan.most_requests is None else plan.most_requests
        for due_s in staged_times(self._start_s, self._stages(), self._times_of):
            left -= due_s >= self._count_from_s
            if due_s >= self._end_s or left < 0:
                break
            yield due_s
        while True:
            yield math.inf

    def _stages(self) -> tuple[RateStage, ...]:
        """Those of the plan; the warm-up is more of the first."""
        first, *others = self._plan.open_stages
        return (RateStage(first.rate, self._plan.warm_up_s + first.duration_s), *others)

    def _times_of(self, number: int, start_s: float, rate: float) -> Iterator[float]:
        if not self._plan.poisson:
            return even_times(start_s, rate, self._part, self._parts)
        seed = self._plan.seed + self._part + self._parts * number
        return random_times(start_s, rate / self._parts, seed)

    def _rate_at(self, due_s: float) -> float:
        end_s = self._start_s
        for stage in self._stages():
            end_s += stage.duration_s
            if due_s < end_s:
                return stage.rate
        return 0.0
