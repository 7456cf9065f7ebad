"""Long work whose caller can wait some milliseconds more, in pieces: between two of them others get on.

A niceness alone does not do: Linux lets a thread that has begun go on for some milliseconds, and a call that
comes meanwhile waits for as long. Nor are short pauses enough where such work never ends: so it rests for at
least as long as it worked. Only for threads of their own, never where an event loop runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from time import perf_counter, sleep
from typing import Final, Generic, TypeVar

_PIECE: Final = 16
_ALIKE: Final = 64  # pauses between pieces of one length; those behind them are longer
_PAUSE_S: Final = 0.0004  # at least: a piece is often done sooner

_Item = TypeVar("_Item")


class Pieces:
    """The pieces of one work: the more pauses it had, the longer they are, so that pauses stay few."""

    def __init__(self) -> None:
        """Nothing is done yet."""
        self._pauses = 0

    def of(self, items: Iterable[_Item]) -> Iterator[list[_Item]]:
        """All of them, some at a time, with a sleep between; what comes in one piece has none.

        It sleeps for as long as the caller had the piece before.
        """
        left, took_s = iter(items), 0.0
        while piece := [*islice(left, _PIECE * (1 + self._pauses // _ALIKE))]:
            if took_s:
                sleep(max(_PAUSE_S, took_s))
                self._pauses += 1
            begun_s = perf_counter()
            yield piece
            took_s = perf_counter() - begun_s


@dataclass(frozen=True, slots=True)
class Slice(Generic[_Item]):
    """Some of the items of the sequence at a place, those from `begin` on."""

    place: int
    begin: int
    items: Sequence[_Item]


def slices(sequences: Sequence[Sequence[_Item]], most: int) -> Iterator[list[Slice[_Item]]]:
    """Sequences in their order, `most` items at a time: small ones together, a large one in several parts."""
    some: list[Slice[_Item]] = []
    left = most
    for place, items in enumerate(sequences):
        begin = 0
        while begin < len(items):
            some.append(Slice(place, begin, items[begin : begin + left]))
            begin += len(some[-1].items)
            left -= len(some[-1].items)
            if not left:
                yield some
                some, left = [], most
    if some:
        yield some
