"""What the connections of one gateway share: limits, turns for those that ask for much, room for more."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from service.http.head import HeadLimits

# What was asked for at once, by all connections, gets so much time before others have their turn.
_TURNS_S = 0.00025
_MOST_REQUESTS = 64
_MOST_READS = 2  # each of up to 256 KiB
_DRAIN_EVERY_S = 0.005  # about 100 MiB/s of what is only read away
_MOST_ENDS = 8
_END_EVERY_S = 0.004  # 2,000 connections are closed within a second
_SEARCH_EVERY_S = 0.1
_MOST_REFUSED = 16


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may take, and how many there may be; times in seconds."""

    head: HeadLimits = field(default_factory=HeadLimits)
    head_s: float = 10.0  # from its first byte to its last, and from the connection to the first head's
    body_s: float = 30.0  # without any of the body that is due
    answer_s: float = 30.0  # without any of the answer being read
    keep_alive_s: float = 75.0  # between requests
    most_connections: int = 10_000


class Turns:
    """What has to wait because others would: all of it has a part of each round of the event loop."""

    def __init__(self, most: int, every_s: float = 0.0) -> None:
        """At `most` so many are done in one round, and no more than some time allows.

        Where `every_s` is given, the rounds are that far apart: for what nobody waits for.
        """
        self._most = most
        self._every_s = every_s
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._is_coming = False

    def add(self, step: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        """Have it done soon. What it adds itself is behind all that waits by then."""
        self._waiting[step] = None
        if not self._is_coming:
            self._is_coming = True
            self._call(loop)

    def discard(self, step: Callable[[], None]) -> None:
        """It need not be done any more."""
        self._waiting.pop(step, None)

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._every_s:
            loop.call_later(self._every_s, self._give, loop)
        else:
            loop.call_soon(self._give, loop)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        until_s = perf_counter() + _TURNS_S
        try:
            for _ in range(min(self._most, len(self._waiting))):
                if not self._waiting or perf_counter() >= until_s:
                    break
                step, _ = self._waiting.popitem(last=False)
                step()
        finally:  # whatever went wrong with one, the others have their turn
            self._is_coming = bool(self._waiting)
            if self._waiting:
                self._call(loop)


class Paces:
    """The turns of all connections of one gateway: whatever many want at once, others are answered meanwhile.

    Connections that were made together have their time-outs together, and come again together.
    """

    def __init__(self) -> None:
        self.requests = Turns(_MOST_REQUESTS)  # that came with others
        self.reads = Turns(_MOST_READS)  # of large bodies
        self.drains = Turns(_MOST_READS, _DRAIN_EVERY_S)  # of what is only read away
        self.ends = Turns(_MOST_ENDS, _END_EVERY_S)  # of those whose time is over


class Held(Protocol):
    """A connection that is there, and may have to yield to another."""

    def dispensable(self, now_s: float) -> tuple[int, float] | None:
        """How well it can be missed, what can be missed best being the least; None if it is busy."""
        ...

    def yield_place(self) -> None:
        """Close, for another needs the place."""
        ...


class Crowd:
    """Makes room where there are as many connections as there may be."""

    def __init__(self) -> None:
        self._candidates: list[tuple[tuple[int, float], Held]] = []
        self._search_again_s = 0.0
        self._refused: list[Held] = []  # the oldest comes first

    def admits(self, connection: Held, connections: set[Any], most: int, now_s: float) -> bool:
        """Take a connection in, where need be in place of another; False if it has to be refused.

        It is counted either way. Of those that were refused a few may linger, to hear why.
        """
        refused = self._refused = [each for each in self._refused if each in connections]
        if len(refused) > _MOST_REFUSED:
            refused.pop(0).yield_place()
        admitted = True
        while admitted and len(connections) >= most + len(refused):
            admitted = self._make_room(connections, now_s)
        connections.add(connection)
        if not admitted:
            refused.append(connection)
        return admitted

    def _make_room(self, connections: Collection[Held], now_s: float) -> bool:
        """Have the connection yield that can be missed best; False if all of them are busy."""
        while True:
            while self._candidates:
                rank, connection = self._candidates.pop()
                if connection in connections and connection.dispensable(now_s) == rank:
                    connection.yield_place()
                    return True
            if now_s < self._search_again_s:
                return False
            self._search(connections, now_s)
            if not self._candidates:
                self._search_again_s = now_s + _SEARCH_EVERY_S
                return False

    def _search(self, connections: Collection[Held], now_s: float) -> None:
        """Find those that can be missed best, more than one: to look through all of them takes time."""
        found, refused = [], {*self._refused}  # these take nobody's place
        for connection in connections:
            rank = connection.dispensable(now_s)
            if rank is not None and connection not in refused:
                found.append((rank, connection))
        found.sort(key=lambda candidate: candidate[0], reverse=True)
        self._candidates = found[-(len(connections) // 16 + 1) :]
