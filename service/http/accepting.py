"""Takes connections from a socket that several processes share, so that each of them holds about as many.

Whoever wakes up first would take all that wait: of 64 connections one process got between none and all, and
the others' processors had nothing to do. So a process that holds more than another leaves a connection to it
for a moment, and takes it after all if nobody did. There is one socket, so that the death of a process leaves
nobody's connection in a queue that nobody reads.
"""

import asyncio
import errno
import mmap
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.http.door import LATE_S, end_listening, keep_from_beginning
from service.log import get_logger

_AWAY = -1
_LEAVE_S = 0.0005
_MOST_LEAVES = 3
_AT_ONCE = 8  # about half a millisecond, in which nobody is answered
_LEAD_PART = 8
_TROUBLE_S = 0.5


class Balance:
    """How many connections each process of a family holds, in memory that forked processes share."""

    def __init__(self, processes: int) -> None:
        """Make it before they are forked; none of them takes connections yet."""
        shared = memoryview(mmap.mmap(-1, 8 * (processes + 1))).cast("q")
        self._counts, self._stops = shared[:processes], shared[processes:]
        for place in range(processes):
            self._counts[place] = _AWAY

    def note(self, place: int, connections: int) -> None:
        """Tell the others how many connections the process at `place` holds."""
        self._counts[place] = connections

    def leave(self, place: int) -> None:
        """Take no part any more."""
        self._counts[place] = _AWAY

    def stop(self) -> None:
        """All of the family stops: nobody is there to take what one of it leaves."""
        self._stops[0] = 1

    @property
    def stopping(self) -> bool:
        """Whether all of the family stops."""
        return bool(self._stops[0])

    def is_ahead(self, place: int, connections: int) -> bool:
        """Whether another process should rather take the next connection than this one."""
        others = [count for at, count in enumerate(self._counts) if at != place and count != _AWAY]
        return bool(others) and connections >= min(others) + 1 + connections // _LEAD_PART


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a family of gateways: its number in it, from 0, and what it shares with the others."""

    listener: socket.socket
    balance: Balance
    number: int

    @property
    def slot(self) -> str:
        """Its name in the family; the process that replaces it gets the same."""
        return f"gateway-{self.number}"


class CountedConnections(set[Any]):
    """uvicorn's set of connections, which tells the others how many it holds."""

    def __init__(self, balance: Balance, place: int) -> None:
        super().__init__()
        self._balance = balance
        self._place = place
        balance.note(place, 0)

    def add(self, connection: Any) -> None:
        """uvicorn: a connection was made."""
        super().add(connection)
        self._balance.note(self._place, len(self))

    def discard(self, connection: Any) -> None:
        """uvicorn: a connection is gone."""
        super().discard(connection)
        self._balance.note(self._place, len(self))


class Acceptor:
    """Takes connections on behalf of one process's event loop."""

    def __init__(
        self,
        place: Place,
        protocol: Callable[[], asyncio.Protocol],
        connections: CountedConnections,
    ) -> None:
        """`protocol` speaks on each connection and puts itself into `connections`."""
        self._listener = place.listener
        self._balance = place.balance
        self._place = place.number
        self._protocol = protocol
        self._connections = connections
        self._opening: set[asyncio.Task[None]] = set()
        self._left = 0
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self._log = get_logger("sagebird.gateway")

    def start(self) -> None:
        """Take connections from now on."""
        self._listener.setblocking(False)
        # What is taken from it has it too.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listen()

    async def finish(self) -> None:
        """Take no more. Where nobody else is left to, take first whatever connection has begun."""
        if self._balance.stopping:
            if keep_from_beginning(self._listener):
                await asyncio.sleep(LATE_S)
            self._take_all()
            end_listening(self._listener)
        self.close()
        await asyncio.gather(*self._opening)

    def close(self) -> None:
        """Take no more; those that were taken go on."""
        if self._resume is not None:
            self._resume.cancel()
        self._loop.remove_reader(self._listener)
        self._balance.leave(self._place)

    def _listen(self) -> None:
        self._resume = None
        self._loop.add_reader(self._listener, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._resume = self._loop.call_later(seconds, self._listen)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            held = len(self._connections) + len(self._opening)
            if self._left < _MOST_LEAVES and self._balance.is_ahead(self._place, held):
                self._left += 1
                self._pause(_LEAVE_S)
                return
            self._left = 0
            try:
                self._take()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file numbers or memory left: others may give some back
                if self._balance.stopping and error.errno == errno.EINVAL:
                    self._loop.remove_reader(self._listener)  # another one has ended the listening
                    return
                self._log.error("connection not taken", reason=str(error))
                self._pause(_TROUBLE_S)
                return

    def _take(self) -> None:
        connection, _ = self._listener.accept()
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _take_all(self) -> None:
        while True:
            try:
                self._take()
            except (InterruptedError, ConnectionAbortedError):  # that one is gone; there may be others
                continue
            except OSError:  # there is none, or no file number for it
                return

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client is gone already
            connection.close()
