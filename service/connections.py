"""What the connections of one gateway share: limits, turns for those that ask for much, room for more."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

from service.head import HeadLimits

# What was asked for at once, by all connections, gets so much time before others have their turn.
_TURNS_S = 0.0005
_SEARCH_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may take, and how many there may be; times in seconds."""

    head: HeadLimits = field(default_factory=HeadLimits)
    head_s: float = 10.0  # from its first byte to its last, and from the connection to the first head's
    body_s: float = 30.0  # without any of the body that is due
    answer_s: float = 30.0  # without any of the answer being read
    keep_alive_s: float = 75.0  # between requests
    most_connections: int = 10_000


class Waiting(Protocol):
    """A connection on which more was asked for than its share of one turn."""

    def take_turn(self) -> None:
        """Do one thing; come back for the next."""
        ...


class Turns:
    """Connections with more to do at once than others have: all of them together get a part of each round."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()

    def add(self, connection: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        """Give it a turn soon."""
        if not self._waiting:
            loop.call_soon(self._give, loop)
        self._waiting.append(connection)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        until_s = perf_counter() + _TURNS_S
        waiting, self._waiting = self._waiting, deque()
        while waiting:
            waiting.popleft().take_turn()  # which may add it again, behind the others
            if not waiting:
                waiting, self._waiting = self._waiting, waiting
            if perf_counter() >= until_s:
                break
        waiting.extend(self._waiting)
        self._waiting = waiting
        if waiting:
            loop.call_soon(self._give, loop)


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

    def make_room(self, connections: Collection[Held], now_s: float) -> bool:
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
        found = []
        for connection in connections:
            rank = connection.dispensable(now_s)
            if rank is not None:
                found.append((rank, connection))
        found.sort(key=lambda candidate: candidate[0], reverse=True)
        self._candidates = found[-(len(connections) // 16 + 1) :]
