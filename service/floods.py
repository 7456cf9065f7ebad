"""Which of many like things are told: the first of a flood, then one of each interval and a count."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

INTERVAL_S = 5.0
MOST_WHOLE = 10
"""How many of a kind are told within an interval before the rest of it is only counted."""

_MOST_REMEMBERED = 500


@dataclass(slots=True)
class _Kind:
    began_s: float
    allowed: int
    left_out: int = 0
    example: Any = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many of one kind were left out in how many seconds; `example` is the last of them."""

    example: Any
    count: int
    seconds: float


class Floods:
    """Counts things by their kinds. Not safe for threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kinds: dict[Hashable, _Kind] = {}

    def admit(self, kind: Hashable, thing: Any) -> bool:
        """Whether to tell a thing of this kind; one that is not told is counted."""
        known, now_s = self._kinds.get(kind), self._monotonic()
        if known is None or (not known.left_out and now_s - known.began_s >= INTERVAL_S):
            known = self._kinds[kind] = _Kind(now_s, MOST_WHOLE)
        if known.allowed:
            known.allowed -= 1
            return True
        known.left_out += 1
        known.example = thing
        return False

    def knows(self, kind: Hashable) -> bool:
        """Whether one of this kind came a short while ago."""
        return kind in self._kinds

    def __len__(self) -> int:
        return len(self._kinds)

    def take(self, *, early: bool = False) -> list[LeftOut]:
        """What was left out in intervals that are over, or `early` in those that are not, too.

        A kind of which nothing was left out for an interval starts anew; of others one more is told.
        """
        now_s = self._monotonic()
        found = []
        for kind, known in list(self._kinds.items()):
            seconds = now_s - known.began_s
            if seconds < INTERVAL_S and not (early and known.left_out):
                continue
            if known.left_out:
                found.append(LeftOut(known.example, known.left_out, seconds))
                self._kinds[kind] = _Kind(now_s, 1)
            else:
                del self._kinds[kind]
        return found


class Seldom:
    """Tells whether a thing of some kind was told for a while."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._told_s: dict[Hashable, float] = {}

    def admit(self, kind: Hashable) -> bool:
        """Whether to tell a thing of this kind, because none was for so many seconds."""
        now_s = self._monotonic()
        if now_s - self._told_s.get(kind, now_s - self._seconds) < self._seconds:
            return False
        if len(self._told_s) >= _MOST_REMEMBERED:
            self._told_s.clear()
        self._told_s[kind] = now_s
        return True
