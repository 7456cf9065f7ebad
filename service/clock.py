"""The time, behind a seam: whoever needs it is given a Clock, so that tests and simulations own it."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the date and measures durations."""

    def now(self) -> datetime:
        """The date and time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back, so it is the one to measure durations with."""
        ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now(self) -> datetime:
        """The date and time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to advance; for tests and simulations.

    Raises:
        ValueError: `start` has no time zone.
    """

    __slots__ = ("_now", "_start")

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock starts at an aware datetime")
        self._start = self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        """The date and time it was advanced to, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was advanced since it was made."""
        return (self._now - self._start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Move both the date and the monotonic time on, in whole microseconds.

        Raises:
            ValueError: `seconds` is negative, which no clock can do.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot go back {-seconds} s")
        self._now += timedelta(seconds=seconds)
