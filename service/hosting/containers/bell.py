"""What workers ring once answers lie at the connections of one line: its process wakes once for several.

A process that waits at a connection is woken by each answer that comes there, which costs more than many a
call. So nobody waits there. Whoever connects hands a bell over with his first call, and a worker that has
answered rings it, but not before it has answered what it has received by then.
"""

import array
import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_READ_BYTES: Final = 1 << 12  # of rings, each of which has one
_MOST_VAIN: Final = 1_000


class Bell:
    """One bell, for the event loop that is running now."""

    def __init__(self, heard: Callable[[], bool]) -> None:
        """`heard` is called when it was rung, and says whether there was anything."""
        self._heard = heard
        self._vain = 0
        self._loop = asyncio.get_running_loop()
        self._own, self._workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._own.setblocking(False)
        self._workers.setblocking(False)
        descriptors = array.array("i", [self._workers.fileno()])
        self.handed_over: Final = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        """What to send beside the first bytes over a connection. Source: unix(7), SCM_RIGHTS."""
        self._loop.add_reader(self._own, self._hear)

    @property
    def is_worn(self) -> bool:
        """Whether it was rung in vain far more often than not: its holder keeps this process busy."""
        return self._vain >= _MOST_VAIN

    def close(self) -> None:
        """Hear no more."""
        self._loop.remove_reader(self._own)
        self._own.close()
        self._workers.close()

    def _hear(self) -> None:
        with suppress(OSError):  # whatever was done to it: what there is tells
            self._own.recv(_READ_BYTES)
        self._vain = max(self._vain - 1, 0) if self._heard() else self._vain + 1
