"""Long work whose caller can wait some milliseconds more, in pieces: between two of them others get on.

A niceness alone does not do: Linux lets a thread that has begun go on for some milliseconds, and a call that
comes meanwhile waits for as long. Only for threads of their own, never where an event loop runs.
"""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from time import sleep
from typing import Final, TypeVar

_PIECE: Final = 64
_ALIKE: Final = 16  # pieces of one length; those behind them are longer, so that pauses never come to much
_PAUSE_S: Final = 0.0004

_Item = TypeVar("_Item")


def in_pieces(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """All of them, some at a time, with a short sleep between; what comes in one piece has none."""
    left = iter(items)
    for number in count():
        piece = [*islice(left, _PIECE * (1 + number // _ALIKE))]
        if not piece:
            return
        if number:
            sleep(_PAUSE_S)
        yield piece
