"""How processes of a container end, and whether that is so often that people should know."""

import os
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

_MANY: Final = 3
_RECENT_S: Final = 60.0
_AT_ONCE: Final = 10
_EACH_S: Final = 0.1  # a fork and the end of what was forked take a fifth of that, within the kernel


def ending(status: int) -> str:
    """How a process ended, by the status that its parent was told."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


class ReplacementPace:
    """How soon another process comes in place of one that died at a call.

    At once, for those that call next are others; but where very many die in a row they come one by one: to
    fork one takes milliseconds of a processor, which all models share.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        """`now_s` tells the time."""
        self._now_s = now_s
        self._due_s = -inf

    def wait_s(self) -> float:
        """One more has died; how long to wait before another one is made."""
        now_s = self._now_s()
        self._due_s = max(self._due_s, now_s - _AT_ONCE * _EACH_S) + _EACH_S
        return max(0.0, self._due_s - now_s)


class Deaths:
    """Those of one container's processes."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        """`now_s` tells the time."""
        self._now_s = now_s
        self._at_s: deque[float] = deque(maxlen=_MANY)
        self.number = 0
        """How many there were."""
        self.last = ""
        """How the last one ended, "" while there was none."""

    def note(self, how: str) -> None:
        """One has ended."""
        self._at_s.append(self._now_s())
        self.number += 1
        self.last = how

    def trouble(self) -> str:
        """What to tell where several ended in the last minute; "" else.

        The same words for the same trouble, however often.
        """
        if len(self._at_s) < _MANY or self._now_s() - self._at_s[0] > _RECENT_S:
            return ""
        return f"its processes end again and again, the last one by this: {self.last}"
