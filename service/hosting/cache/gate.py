"""How many calls run at once, and how many may wait in line."""

import asyncio
from collections import deque

from service.errors import Unavailable


class Gate:
    """Lets `limit` callers in at once and `queue` wait, first come first served. For one event loop."""

    __slots__ = ("_limit", "_line", "_queue", "inside")

    def __init__(self, limit: int, queue: int) -> None:
        self.inside = 0
        self._limit = limit
        self._queue = queue
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers are in line; those inside are not counted."""
        return len(self._line)

    async def enter(self) -> None:
        """Wait for a place. Every enter that returns needs one `leave`.

        Raises:
            Unavailable: the line is full.
        """
        if self.inside < self._limit and not self._line:
            self.inside += 1
            return
        self.check_line()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given in the very moment the caller left
            elif place in self._line:  # else `leave` has passed it over already
                self._line.remove(place)
            raise

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
                place.set_result(None)
                self.inside += 1
