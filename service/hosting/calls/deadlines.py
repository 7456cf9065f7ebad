"""Time limits of what is under way, by one timer: to set one and take it back for each costs more."""

import asyncio
from math import inf
from typing import Protocol


class Limited(Protocol):
    """What has to be over in time."""

    def expire(self) -> None:
        """Its time is over; it is not looked at any more."""
        ...


class Deadlines:
    """Ends what takes too long. For one event loop."""

    def __init__(self) -> None:
        self._due_s: dict[Limited, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next_s = inf

    def add(self, limited: Limited, due_s: float) -> None:
        """Have it expire at a time of the event loop, unless it is over before."""
        self._due_s[limited] = due_s
        if due_s < self._next_s:
            self._look_at(due_s)

    def discard(self, limited: Limited) -> None:
        """It is over."""
        self._due_s.pop(limited, None)

    def _look_at(self, due_s: float) -> None:
        """The timer is left as it is where others end: it comes seldom, and looks who is there by then."""
        if self._timer is not None:
            self._timer.cancel()
        self._next_s = due_s
        self._timer = asyncio.get_running_loop().call_at(due_s, self._look)

    def _look(self) -> None:
        self._timer, self._next_s = None, inf
        now_s = asyncio.get_running_loop().time()
        for limited in [limited for limited, due_s in self._due_s.items() if due_s <= now_s]:
            if self._due_s.pop(limited, None) is not None:
                limited.expire()
        if self._due_s:
            due_s = min(self._due_s.values())
            if due_s < self._next_s:
                self._look_at(due_s)
