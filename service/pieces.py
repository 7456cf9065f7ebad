"""Long work that nobody waits for, in pieces: between two of them those who are waited for get on.

A niceness alone does not do: Linux lets a thread that has begun go on for some milliseconds, and a call that
comes meanwhile waits for as long. Only for threads of their own, never where an event loop runs.
"""

from collections.abc import Iterator, Sequence
from time import sleep
from typing import Final, TypeVar

_PIECE: Final = 64
_PAUSE_S: Final = 0.0004

_Item = TypeVar("_Item")


def in_pieces(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """All of them, some at a time, with a short sleep between; few are no pause worth."""
    for at in range(0, len(items), _PIECE):
        if at:
            sleep(_PAUSE_S)
        yield items[at : at + _PIECE]
