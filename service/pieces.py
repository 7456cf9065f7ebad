"""Long work whose caller can wait some milliseconds more, in pieces: between two of them others get on.

A niceness alone does not do: Linux lets a thread that has begun go on for some milliseconds, and a call that
comes meanwhile waits for as long. Only for threads of their own, never where an event loop runs.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from time import sleep
from typing import Final, TypeVar

_PIECE: Final = 64
_ALIKE: Final = 16  # pauses between pieces of one length; those behind them are longer
_PAUSE_S: Final = 0.0004

_Item = TypeVar("_Item")


class Pieces:
    """The pieces of one work: the more pauses it had, the longer they are, so that pauses stay few."""

    def __init__(self) -> None:
        """Nothing is done yet."""
        self._pauses = 0

    def of(self, items: Iterable[_Item]) -> Iterator[list[_Item]]:
        """All of them, some at a time, with a short sleep between; what comes in one piece has none."""
        left, is_first = iter(items), True
        while piece := [*islice(left, _PIECE * (1 + self._pauses // _ALIKE))]:
            if not is_first:
                sleep(_PAUSE_S)
                self._pauses += 1
            is_first = False
            yield piece
