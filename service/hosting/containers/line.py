"""Calls of one container from one event loop, without threads.

A worker takes one connection at a time and answers all calls of it, one after the other. Workers are shared
with the other gateways, and whoever connects next gets the next one that is free: after some calls a
connection is closed, lest the others wait for ever. One that has no call to send is kept for a moment, for to
connect costs as much as a call; its worker takes its leave where somebody else connects meanwhile, and what
had not reached it by then is sent elsewhere. One call more than a worker is at may lie in its socket, so that
it need not wait for us. If it lies there for long it is called back: nobody waits for what hangs before him.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from service.errors import ModelDied, ModelFault, ModelUnreachable
from service.hosting.containers.calls import ENDED, MOST_ANSWER_BYTES, READ_BYTES, Incoming, written
from service.hosting.host import Call, Outcome

_DEPTH: Final = 2
_MOST_CALLS: Final = 64  # of one connection
_KEPT_S: Final = 0.5  # without a call; at most twice as long
_STUCK_S: Final = 0.05  # behind another call; at most twice as long
_FULL_S: Final = 0.002  # to wait where more connections than the system keeps are in line


class Begun:
    """A call in line or at a worker."""

    __slots__ = ("_told", "connection", "request")

    def __init__(self, request: bytes, told: Callable[[Outcome], None]) -> None:
        self.request = request
        self.connection: _Connection | None = None
        self._told: Callable[[Outcome], None] | None = told

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._told is None

    def tell(self, outcome: Outcome) -> None:
        """Tell who waits, if somebody still does."""
        told, self._told = self._told, None
        if told is not None:
            told(outcome)

    def give_up(self) -> None:
        """See promise.BegunCall: the worker that is at it sees it, and the call behind it goes elsewhere."""
        self._told = None
        if self.connection is not None:
            self.connection.give_up(self)


class CallLine:
    """Where calls of one container wait for a worker; each gets its own answer."""

    def __init__(
        self,
        address: str,
        workers: int,
        kept_s: float = _KEPT_S,
        stuck_s: float = _STUCK_S,
        most_bytes: int = MOST_ANSWER_BYTES,
    ) -> None:
        """`address` is the container's socket; so many `workers` take calls there at once.

        An answer may have `most_bytes`; more than that is refused before it is read.

        Connections are kept for `kept_s` where no call waits for them. A call that lies behind another one
        for `stuck_s`, at most twice as long, is called back.
        """
        self.most_bytes = most_bytes
        self._address = address
        self._workers = workers
        self._kept_s = kept_s
        self._stuck_s = stuck_s
        self._sweeping: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._waiting: deque[Begun] = deque()
        self._connections: list[_Connection] = []

    def begin(self, call: Call, told: Callable[[Outcome], None]) -> Begun:
        """Have one call answered; `told` hears later what came of it, see host.Elsewhere.

        That may be ModelDied: its process ended.
        """
        asked = Begun(written(call, b"keep-alive"), told)
        self._waiting.append(asked)
        self.serve()
        return asked

    def serve(self) -> None:
        """Send what waits as far as workers may take it."""
        while self._waiting:
            if self._waiting[0].is_over:
                self._waiting.popleft()
                continue
            connection = self._free()
            if connection is None:
                return
            connection.send(self._waiting.popleft())
            if connection.is_ahead and self._looking is None:
                self._looking = asyncio.get_running_loop().call_later(self._stuck_s, self._look)

    def take_back(self, calls: Iterable[Begun]) -> None:
        """Put calls that no worker had begun first in line again; the last of them comes first."""
        self._waiting.extendleft(calls)

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
        for connection in tuple(self._connections):
            connection.close_if_idle()

    def _sweep(self) -> None:
        self._sweeping = None
        for connection in tuple(self._connections):
            connection.age()
        if self._connections:
            self.keep()

    def _look(self) -> None:
        """Call back what has lain behind the same call since this was done last."""
        self._looking = None
        for connection in tuple(self._connections):
            connection.call_back()
        self.serve()
        if self._looking is None and any(each.is_ahead for each in self._connections):
            self._looking = asyncio.get_running_loop().call_later(self._stuck_s, self._look)

    def leave(self, connection: "_Connection") -> None:
        """A connection is closed."""
        with suppress(ValueError):
            self._connections.remove(connection)

    def _free(self) -> "_Connection | None":
        best, least = None, _DEPTH
        for each in self._connections:
            load = each.load
            if load < least:
                best, least = each, load
                if not load:
                    return each
        if len(self._connections) >= self._workers:
            return best
        try:
            connection = _Connection(self, self._address)
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_FULL_S, self.serve)
            return None
        except OSError as error:
            self._refuse(f"The model's process cannot be reached: {error}.")
            return None
        self._connections.append(connection)
        return connection

    def _refuse(self, message: str) -> None:
        """Tell all that wait, but not before they know that they do."""
        waiting, self._waiting = self._waiting, deque()
        loop = asyncio.get_running_loop()
        for asked in waiting:
            loop.call_soon(asked.tell, ModelUnreachable(message))


class _Connection:
    """One connection, and the calls that were sent over it, in their order."""

    __slots__ = (
        *("_at", "_calls", "_doubtful", "_is_old", "_line"),
        *("_loop", "_reply", "_sent", "_socket", "_unsent"),
    )

    def __init__(self, line: CallLine, address: str) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._calls: deque[Begun] = deque()
        self._sent = 0
        self._is_old = False
        self._at: Begun | None = None  # the call that it was at with another behind, when that was looked at
        self._doubtful: Begun | None = None  # a call that was called back, perhaps too late
        self._unsent = b""
        self._reply = Incoming(line.most_bytes)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._read)

    @property
    def load(self) -> int:
        """Calls that it may not take beyond `_DEPTH`; one that has had its share takes no more."""
        return len(self._calls) if self._sent < _MOST_CALLS and not self._unsent else _DEPTH

    def send(self, asked: Begun) -> None:
        """Send a call; at most `_DEPTH` at once."""
        self._calls.append(asked)
        self._sent += 1
        self._is_old = False
        asked.connection = self
        request = asked.request
        try:
            sent = self._socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:  # which the reader hears of
            if self._sent > 1:  # it was kept, and nobody took the call
                asked.connection = None
                self._sent = _MOST_CALLS
                self._line.take_back((self._calls.pop(),))
            return
        if sent < len(request):
            self._unsent = request[sent:]
            self._loop.add_writer(self._socket, self._write)

    @property
    def is_ahead(self) -> bool:
        """Whether a call lies behind the one that its worker is at."""
        return len(self._calls) >= _DEPTH and self._doubtful is None

    def call_back(self) -> None:
        """Call back what lay behind the same call when this was asked last.

        A worker that has answered looks whether its caller has hung up before it begins the next call that it
        has received (runner/serving). So it will not begin it if it had not answered by the time when this
        end said that nothing more comes.
        """
        if not self.is_ahead:
            self._at = None
        elif self._calls[0] is not self._at:
            self._at = self._calls[0]
        elif not self._has_news():
            self._sent = _MOST_CALLS
            self._unsent = b""
            self._loop.remove_writer(self._socket)
            with suppress(OSError):  # which the reader hears of
                self._socket.shutdown(socket.SHUT_WR)
            if self._has_news():  # the worker was quicker: it has begun the call, or takes its leave
                self._doubtful = self._calls[-1]
                return
            asked = self._calls.pop()
            asked.connection = None
            self._line.take_back((asked,))

    def _has_news(self) -> bool:
        """Whether something has come that was not read yet, the end included."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def give_up(self, asked: Begun) -> None:
        """Nobody waits for this call any more: if a worker is at it, that one hears of it."""
        if self._calls and self._calls[0] is asked:
            self._end(None)

    def age(self) -> None:
        """Close what had no call since this was asked last."""
        if self._is_old:
            self.close_if_idle()
        self._is_old = not self._calls

    def close_if_idle(self) -> None:
        """Close unless it has calls."""
        if not self._calls:
            self._end(None)

    def _write(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            self._line.serve()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # something lay unread at the other end; a single call is not taken up then
            self._end(None if self._sent > 1 and len(self._calls) == 1 else ModelDied(ENDED))
            return
        try:
            whole = self._reply.add(data)
            while whole and self._calls:
                whole = self._settle()
        except ModelFault as fault:
            called_back = isinstance(fault, ModelDied) and self._calls and self._calls[0] is self._doubtful
            self._end(None if called_back else fault)
            return
        if self._reply.is_farewell or (self._reply.has_begun and not self._calls):
            self._end(None)  # what answers nothing that was asked must not be taken for the next answer
            return
        self._line.serve()
        if not self._calls and (self._sent >= _MOST_CALLS or not self._line.keep()):
            self._end(None)

    def _settle(self) -> bool:
        """Hand on the answer that is whole; whether the next one is, too. Raises ModelFault: that is none."""
        reply, self._reply = self._reply, Incoming(self._line.most_bytes, self._reply.rest())
        asked = self._calls.popleft()
        if self._reply.has_begun and not self._calls:  # whoever is told may have the next call at once
            self._sent = _MOST_CALLS
        asked.tell(reply.outcome())
        return self._reply.is_whole()

    def _end(self, fault: ModelFault | None) -> None:
        """Close; the call that the worker is at fails by the fault, those behind it are sent elsewhere."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._line.leave(self)
        calls, self._calls = self._calls, deque()
        for asked in calls:
            asked.connection = None
        first = calls.popleft() if calls and (fault is not None or calls[0].is_over) else None
        self._line.take_back(reversed(calls))
        self._line.serve()
        if first is not None and fault is not None:
            first.tell(fault)
