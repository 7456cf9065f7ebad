"""Workers that take up no call though calls wait: something holds them between two calls.

A signal that stopped them, a thread that never lets the interpreter go, a caller who connects and says
nothing: none of it is a call that could take too long. And a socket at which none can wait any more.
"""

import os
from collections.abc import Iterator
from select import POLLERR, POLLHUP, POLLIN, POLLNVAL, poll
from socket import socket
from time import monotonic
from typing import Final

from service.hosting.containers.slots import Slots

_LONGEST_S: Final = 10.0
_TIMES: Final = 2.0
_SHUT: Final = POLLERR | POLLHUP | POLLNVAL


class Waiting:
    """What waits at a container's socket, and since when each worker leaves it there."""

    def __init__(self, listener: socket, slots: Slots, timeout_s: float) -> None:
        """`slots` tell what each worker is at; a call may take `timeout_s`."""
        self.longest_s = min(_LONGEST_S, _TIMES * timeout_s)
        """So long a worker may leave calls waiting; one that is well needs a thousandth of it."""
        self._address: str = listener.getsockname()
        self._poll = poll()
        self._poll.register(listener, POLLIN)
        self._slots = slots
        self._since_s: dict[int, tuple[int, float]] = {}  # by its slot: its calls then, and when

    def is_cut_off(self) -> bool:
        """Whether nobody can call any more: the model's code has shut the socket, or taken it away."""
        return any(event & _SHUT for _, event in self._poll.poll(0)) or not os.path.exists(self._address)

    def stuck(self) -> Iterator[int]:
        """The slots of those that have left calls waiting for too long; look again and again."""
        if not self._poll.poll(0):
            self._since_s.clear()
            return
        now_s = monotonic()
        for slot in range(self._slots.count):
            calls = self._slots.calls(slot)
            if self._slots.busy_s(slot) is not None or self._since_s.get(slot, (-1,))[0] != calls:
                self._since_s[slot] = calls, now_s
            elif now_s - self._since_s[slot][1] > self.longest_s:
                yield slot
