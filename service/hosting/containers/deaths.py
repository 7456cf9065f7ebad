"""How processes of a container end, and whether that is so often that people should know."""

import os
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

_MANY: Final = 3
_RECENT_S: Final = 60.0


def ending(status: int) -> str:
    """How a process ended, by the status that its parent was told."""
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


class Deaths:
    """Those of one container's processes."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        """`now_s` tells the time."""
        self._now_s = now_s
        self._at_s: deque[float] = deque(maxlen=_MANY)
        self._how = ""

    def note(self, how: str) -> None:
        """One has ended."""
        self._at_s.append(self._now_s())
        self._how = how

    def trouble(self) -> str:
        """What to tell where several ended in the last minute; "" else.

        The same words for the same trouble, however often.
        """
        if len(self._at_s) < _MANY or self._now_s() - self._at_s[0] > _RECENT_S:
            return ""
        return f"its processes end again and again, the last one by this: {self._how}"
