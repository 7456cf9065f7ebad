"""How many calls run at once, and how many may wait in line."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Protocol

from service.errors import Unavailable


class InLine(Protocol):
    """Who stands in line, as a future or like one."""

    def done(self) -> bool:
        """Whether it has gone, and is passed over."""
        ...

    def set_result(self, result: None, /) -> None:
        """It is inside now."""
        ...


class Gate:
    """Lets `limit` callers in at once and `queue` wait, first come first served. For one event loop."""

    __slots__ = ("_limit", "_line", "_queue", "inside")

    def __init__(self, limit: int, queue: int) -> None:
        self.inside = 0
        self._limit = limit
        self._queue = queue
        self._line: deque[InLine] = deque()

    @property
    def waiting(self) -> int:
        """How many callers are in line; those inside are not counted."""
        return len(self._line)

    async def enter(self) -> None:
        """Wait for a place. Every enter that returns needs one `leave`.

        Raises:
            Unavailable: the line is full.
        """
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.let_in(place):
            return
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given in the very moment the caller left
            else:
                self.leave_line(place)
            raise

    def let_in(self, place: InLine) -> bool:
        """Whether there is room at once; else it is told once there is. Needs one `leave`, or `leave_line`.

        Raises:
            Unavailable: the line is full.
        """
        if self.inside < self._limit and not self._line:
            self.inside += 1
            return True
        self.check_line()
        self._line.append(place)
        return False

    def leave_line(self, place: InLine) -> None:
        """It waits no longer."""
        with suppress(ValueError):  # it was passed over already
            self._line.remove(place)

    def check_line(self, before: int = 0) -> None:
        """Refuse whoever comes when the line is full; `before` more wait for their turn to stand in it.

        Raises:
            Unavailable: it is.
        """
        waiting = len(self._line) + before
        if waiting >= self._queue:
            raise Unavailable(
                f"{self.inside} calls run and {waiting} wait for this model, which is all it takes "
                "at once: send fewer at a time, or raise SAGEBIRD_MODEL_CONCURRENCY or SAGEBIRD_MODEL_QUEUE."
            )

    def leave(self) -> None:
        """Give the place to the next in line, unless fewer may be inside by now."""
        self.inside -= 1
        self._admit()

    def resize(self, limit: int) -> None:
        """Let another number of callers in from now on; who is inside stays."""
        self._limit = limit
        self._admit()

    def _admit(self) -> None:
        while self._line and self.inside < self._limit:
            place = self._line.popleft()
            if not place.done():
                self.inside += 1
                place.set_result(None)
