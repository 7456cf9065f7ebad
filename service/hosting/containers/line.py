"""Calls of one container from one event loop, without threads.

A worker takes one connection at a time and answers all calls of it, one after the other. Workers are shared
with the other gateways, and whoever connects next gets the next one that is free: after some calls a
connection is closed, lest the others wait for ever. One that has no call to send is kept for a moment, for to
connect costs as much as a call; its worker takes its leave where somebody else connects meanwhile, and what
had not reached it by then is sent elsewhere. More calls than the one that a worker is at may lie in its
socket, so that it need not wait for us: one, or several where calls are quick, which are sent, and answered,
in one go. If they lie there for long they are called back: nobody waits for what hangs before him.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Final

from service.errors import ModelUnreachable
from service.hosting.containers.begun import Begun
from service.hosting.containers.bell import Bell
from service.hosting.containers.calls import MOST_ANSWER_BYTES, written
from service.hosting.containers.connection import DEPTH, MOST_DEPTH, WorkerConnection
from service.hosting.host import Call, Outcome
from service.hosting.stopwatch import Stopwatch

_KEPT_S: Final = 0.5  # without a call; at most twice as long
_STUCK_S: Final = 0.05  # behind another call; at most twice as long
_CHECK_S: Final = 0.01  # between two looks at what nobody rang for
_FULL_S: Final = 0.002  # to wait where more connections than the system keeps are in line
_AHEAD_S: Final = 0.002  # of work that may lie in a worker's socket, beyond one call
_LONG_S: Final = 0.1  # more than that tells nothing new of how quick calls are
_PART: Final = 0.1  # that the newest calls have in it
_SHARED_S: Final = 0.05  # in which no more workers are asked, once they were all at others' calls
_MOST_SHARED: Final = 16.0  # times as long, where they were so again and again


class CallLine:
    """Where calls of one container wait for a worker; each gets its own answer."""

    def __init__(
        self,
        address: str,
        workers: int,
        kept_s: float = _KEPT_S,
        stuck_s: float = _STUCK_S,
        most_bytes: int = MOST_ANSWER_BYTES,
        shared_s: float = _SHARED_S,
        *,
        rings: bool = False,
    ) -> None:
        """`address` is the container's socket; so many `workers` take calls there at once.

        An answer may have `most_bytes`; more than that is refused before it is read.

        Connections are kept for `kept_s` where no call waits for them. Calls that lie behind another one
        for `stuck_s`, at most twice as long, are called back. Workers that were at calls of others are left
        alone for `shared_s`, and for twice as long each time that they still are. Workers that can ring a
        bell (bell) do so where the line `rings`.
        """
        self.depth = DEPTH
        """How many calls a connection may have now."""
        self.most_bytes = most_bytes
        self._address = address
        self._workers = workers
        self._kept_s = kept_s
        self._stuck_s = stuck_s
        self._shared_s = self._rest_s = shared_s
        self._asked_s = 0.0  # when all workers were asked last
        self._sweeping: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._asking: asyncio.TimerHandle | None = None  # all workers again
        self._call_s = _AHEAD_S / DEPTH  # what a call takes, of late
        self.places = DEPTH * workers
        """How many calls its connections may have now."""
        self._waiting: deque[Begun] = deque()
        self._connections: list[WorkerConnection] = []
        self._rings = rings
        self._bell: Bell | None = None
        self._checking: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._laden: list[WorkerConnection] = []  # with requests that are to be sent
        self._will_send = False
        self._most = workers  # connections for now: other gateways may have the other workers

    def begin(self, call: Call, told: Callable[[Outcome], None], watch: Stopwatch) -> Begun:
        """Have one call answered; `told` hears later what came of it, see host.Elsewhere.

        That may be ModelDied: its process ended.
        """
        asked = Begun(written(call, "keep-alive"), told, watch)
        self._waiting.append(asked)
        self.serve()
        return asked

    def serve(self) -> None:
        """Hand what waits to connections, as far as workers may take it."""
        while self._waiting:
            if self._waiting[0].told is None:
                self._waiting.popleft()
                continue
            connection = self._free()
            if connection is None:
                return
            connection.take(self._waiting.popleft())
            self._check_later()

    def take_back(self, calls: Iterable[Begun]) -> None:
        """Put calls that no worker had begun first in line again; the last of them comes first."""
        for asked in calls:
            asked.connection = None
            self._waiting.appendleft(asked)

    def keep(self) -> bool:
        """Whether a connection without calls is kept for a moment."""
        if self._kept_s and self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._kept_s, self._sweep)
        return self._kept_s > 0.0

    def close(self) -> None:
        """Close what is kept."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._is_closed = True
        for connection in tuple(self._connections):
            connection.close_if_idle()
        self._drop_bell()

    def leave(self, connection: WorkerConnection) -> None:
        """A connection is closed."""
        if connection in self._connections:
            self._connections.remove(connection)
        if self._is_closed:
            self._drop_bell()

    def note_pace(self, call_s: float) -> None:
        """Calls took so long, each of them: so many lie in a socket as take no longer than a moment."""
        self._call_s += _PART * (min(call_s, _LONG_S) - self._call_s)
        self.depth = max(DEPTH, min(int(_AHEAD_S / self._call_s), MOST_DEPTH))
        self.places = self.depth * self._workers

    def relieve(self, now_s: float) -> None:
        """Calls are quick here; have others not wait for long where nobody takes them up.

        Then the other workers are at calls of other gateways, and so they are for a while.
        """
        if len(self._connections) == 1:
            return
        passed_over = [each for each in self._connections if each.is_passed_over(now_s)]
        if not passed_over:
            return
        if self._asking is None:
            self._rest_s = self._next_rest_s(now_s)
            self._asking = asyncio.get_running_loop().call_later(self._rest_s, self._ask_all)
        self._most = max(len(self._connections) - len(passed_over), 1)
        for each in passed_over:  # before any call goes elsewhere: it must not go there again
            each.hold()
        for each in passed_over:
            each.withdraw()
        self._most = max(len(self._connections), 1)  # some may have been taken up after all
        self.serve()

    def _next_rest_s(self, now_s: float) -> float:
        """How long the others are left alone: asking in vain may take a worker away from somebody."""
        if now_s - self._asked_s > self._rest_s:  # they were not all at others' calls for a while
            return self._shared_s
        return min(2.0 * self._rest_s, _MOST_SHARED * self._shared_s)

    def _ask_all(self) -> None:
        self._asking = None
        self._asked_s = monotonic()
        self._most = self._workers
        self.serve()

    # ------------------------------------------------------------------ sending together

    def send_later(self, connection: WorkerConnection) -> None:
        """Have a connection send what it has once all is taken up that is there by now."""
        self._laden.append(connection)
        if not self._will_send:
            self._will_send = True
            asyncio.get_running_loop().call_soon(self._send_now)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(self._stuck_s, self._look)

    def gather(self) -> bool:
        """Whoever calls this calls `send` soon, by himself, with what it gives."""
        before, self._will_send = self._will_send, True
        return before

    def send(self, before: bool) -> None:
        """Send what has gathered since."""
        self._will_send = before
        while self._laden:
            self._laden.pop().send()

    def _send_now(self) -> None:
        self.send(False)

    # ------------------------------------------------------------------ what workers ring for

    def _hear(self) -> bool:
        """Take what workers have answered; whether there was anything."""
        before, heard = self.gather(), False
        try:
            for connection in tuple(self._connections):
                heard = connection.read() or heard
        finally:
            self.send(before)
        if self._bell is not None and self._bell.is_worn:
            self._rings = False
            for connection in self._connections:
                connection.watch()
            self._bell.close()
            self._bell = None
        return heard

    def _check(self) -> None:
        """See what has come though nobody rang: the worker is at a call that takes long, or has died."""
        self._checking = None
        try:
            self._hear()
        finally:
            if any(each.is_asked for each in self._connections):
                self._check_later()

    def _check_later(self) -> None:
        """Once for all that is under way, however it came there."""
        if self._bell is not None and self._checking is None:
            self._checking = asyncio.get_running_loop().call_later(_CHECK_S, self._check)

    def _bell_now(self) -> Bell | None:
        """What the worker of the next connection rings: several calls under way may be answered together."""
        if not self._rings or (
            len(self._waiting) < 2 and not any(each.is_asked for each in self._connections)
        ):
            return None
        if self._bell is None:
            with suppress(OSError):  # there are no descriptors left for it
                self._bell = Bell(self._hear)
        return self._bell

    def _drop_bell(self) -> None:
        """Let go of what nobody is left to ring."""
        if self._bell is not None and not self._connections:
            self._bell.close()
            self._bell = None

    # ------------------------------------------------------------------ what is done from time to time

    def _sweep(self) -> None:
        self._sweeping = None
        for connection in tuple(self._connections):
            connection.age()
        if self._connections:
            self.keep()
        self._drop_bell()

    def _look(self) -> None:
        """Call back what has lain behind the same call since this was done last."""
        self._looking = None
        for connection in tuple(self._connections):
            if connection.call_back():
                self.note_pace(_LONG_S)
                self._most = self._workers
        self.serve()
        if self._looking is None and any(each.is_ahead for each in self._connections):
            self._looking = asyncio.get_running_loop().call_later(self._stuck_s, self._look)

    # ------------------------------------------------------------------ connections

    def _free(self) -> WorkerConnection | None:
        best, least = None, self.depth
        for each in self._connections:
            load = each.load
            if load < least and not (load == 0 and each.is_spent()):
                best, least = each, load
                if not load:
                    return each
        if len(self._connections) >= self._most:
            return best
        try:
            connection = WorkerConnection(self, self._address)
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_FULL_S, self.serve)
            return None
        except OSError as error:
            self._refuse(f"The model's process cannot be reached: {error}.")
            return None
        connection.listen(self._bell_now())
        self._connections.append(connection)
        return connection

    def _refuse(self, message: str) -> None:
        """Tell all that wait, but not before they know that they do."""
        waiting, self._waiting = self._waiting, deque()
        loop = asyncio.get_running_loop()
        for asked in waiting:
            loop.call_soon(asked.tell, ModelUnreachable(message))
