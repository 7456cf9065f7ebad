"""One timer that looks now and then whether the time for something is over."""

import asyncio
from collections.abc import Callable
from math import inf

from service.http.connections import Turns


class Watch:
    """Calls `expire` once the deadline has passed, at its turn among all whose deadlines have.

    To move a deadline costs nothing: the timer runs on, and looks at the deadline when it fires.
    """

    __slots__ = ("_deadline", "_due_s", "_expire", "_loop", "_turns", "timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadline: Callable[[], float],
        expire: Callable[[], None],
        turns: Turns,
    ) -> None:
        """`deadline` is in the loop's time; infinity stops the watch until it is asked to look again."""
        self.timer: asyncio.TimerHandle | None = None
        self._loop = loop
        self._turns = turns
        self._deadline, self._expire = deadline, expire
        self._due_s = inf

    def look_within(self, seconds: float) -> None:
        """Look at the deadline after so long, or earlier."""
        due_s = self._loop.time() + seconds
        if self.timer is not None:
            if self._due_s <= due_s:
                return
            self.timer.cancel()
        self._due_s = due_s
        self.timer = self._loop.call_later(seconds, self._look)

    def end(self) -> None:
        """Never look again, and let go of whom it watched."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._turns.discard(self._end)
        self._deadline, self._expire = _never, _nothing

    def _look(self) -> None:
        self.timer = None
        left_s = self._deadline() - self._loop.time()
        if left_s <= 0:
            self._turns.add(self._end, self._loop)
        elif left_s < inf:
            self.look_within(left_s)

    def _end(self) -> None:
        if self._deadline() <= self._loop.time():
            self._expire()
        else:  # it went on while it waited for its turn
            self.look_within(0)


def _never() -> float:
    return inf


def _nothing() -> None:
    """Nobody is there any more."""
