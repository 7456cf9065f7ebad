"""One connection to a worker of a container, and the calls that were sent over it.

Not in here: which call goes over which connection (line).
"""

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from fcntl import ioctl
from struct import unpack
from termios import TIOCOUTQ
from time import monotonic
from typing import Final, Protocol

from service.errors import ModelDied, ModelFault
from service.hosting.containers.begun import Begun
from service.hosting.containers.bell import Bell
from service.hosting.containers.calls import ENDED, READ_BYTES, AnswerStream
from service.hosting.host import Outcome

DEPTH: Final = 2
"""Calls of one connection at once: that which its worker is at, and the next one."""
MOST_DEPTH: Final = 8
"""As many where calls are quick."""

_MOST_CALLS: Final = 512  # of one connection
_FULL: Final = 1 << 20  # calls, more than any connection may have
_LARGE_BYTES: Final = 1 << 16  # of requests that do not wait for others
_MOST_READS: Final = 16  # in a row
_PATIENCE_S: Final = 0.002  # in which a worker takes up a connection if one is free


class ConnectionUser(Protocol):
    """Where calls wait for connections."""

    depth: int
    most_bytes: int

    def relieve(self, now_s: float) -> None:
        """Calls are quick here; have others not wait for long where nobody takes them up."""
        ...

    def serve(self) -> None:
        """Hand what waits to connections, as far as workers may take it."""
        ...

    def take_back(self, calls: Iterable[Begun]) -> None:
        """Put calls that no worker had begun first in line again; the last of them comes first."""
        ...

    def keep(self) -> bool:
        """Whether a connection without calls is kept for a moment."""
        ...

    def leave(self, connection: "WorkerConnection") -> None:
        """A connection is closed."""
        ...

    def note_pace(self, call_s: float) -> None:
        """Calls took so long, each of them."""
        ...

    def send_later(self, connection: "WorkerConnection") -> None:
        """Have a connection send what it has once all is taken up that is there by now."""
        ...

    def gather(self) -> bool:
        """Whoever calls this calls `send` soon, by himself, with what it gives."""
        ...

    def send(self, before: bool) -> None:
        """Send what has gathered since."""
        ...


class WorkerConnection:
    """One connection, and the calls that were sent over it, in their order."""

    __slots__ = (
        *("_answers", "_at", "_bell", "_calls", "_has_hung_up", "_is_doubtful", "_is_old", "_is_watched"),
        *("_line", "_loop", "_ready", "_sent", "_since_s", "_socket", "_unknown", "_unsent"),
        *("is_known", "load"),
    )

    def __init__(self, line: ConnectionUser, address: str) -> None:
        """Connect; then `listen`. Raises OSError."""
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._calls: deque[Begun] = deque()
        self._sent = 0
        self.is_known = False
        """Whether a worker has taken it up. Until then it gets one call where others take several."""
        self._unknown = line.depth - 1 if line.depth > DEPTH else 0
        self.load = self._unknown
        """How many calls it has; more than any connection may have if it takes none."""
        self._since_s = 0.0  # when its worker could begin the first of its calls
        self._is_old = False
        self._at: Begun | None = None  # the call that it was at with others behind, when that was looked at
        self._has_hung_up = False  # so what lies unread at the other end may be what was called back
        self._is_doubtful = False  # what lay behind that one was called back, perhaps too late
        self._ready: list[bytes] = []  # requests of its last calls, which are sent together
        self._unsent = b""
        self._answers = AnswerStream(line.most_bytes)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect(address)
        except BaseException:
            self._socket.close()
            raise
        self._bell: Bell | None = None  # that is still to be handed over
        self._is_watched = False

    def listen(self, bell: Bell | None) -> None:
        """Have its worker ring the `bell`, whereupon this is to be `read`; without one it is watched."""
        self._bell = bell
        if bell is None:
            self.watch()

    def watch(self) -> None:
        """Read what comes as it comes."""
        self._bell = None
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._socket, self.read)

    def take(self, asked: Begun) -> None:
        """Have a call answered: sent at once where the worker can begin it, else soon, with others."""
        calls = self._calls
        asked.connection = self
        asked.watch.start()
        self._is_old = False
        self._sent += 1
        self.load = self.load + 1 if self._sent < _MOST_CALLS else _FULL
        self._ready.append(asked.request)
        calls.append(asked)
        if len(calls) == 1:
            self._since_s = monotonic()
            self.send()
            return
        if len(self._ready) == 1:
            self._line.send_later(self)
        if len(asked.request) > _LARGE_BYTES:
            self.send()

    def send(self) -> None:
        """Send what is ready."""
        ready = self._ready
        if not ready:
            return
        data = ready[0] if len(ready) == 1 else b"".join(ready)
        try:
            sent = self._hand_over(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # of which the reader hears, who may have been told that already
            self._loop.call_soon(self.read)
            if self._sent > 1:  # it was kept, and nobody took the calls
                self._take_back(len(ready))
                self._line.serve()
            ready.clear()
            return
        ready.clear()
        if sent < len(data):
            self._unsent = data[sent:]
            self.load = _FULL
            self._loop.add_writer(self._socket, self._write)

    def _hand_over(self, data: bytes) -> int:
        """Send as much as there is room for; its first bytes bring the bell."""
        if self._bell is None:
            return self._socket.send(data)
        try:
            sent = self._socket.sendmsg([data], self._bell.handed_over)
        except BlockingIOError:
            raise
        except OSError:  # the other end is gone, or too many descriptors are on their way just now
            self.watch()
            return self._socket.send(data)
        self._bell = None
        return sent

    @property
    def is_asked(self) -> bool:
        """Whether it has calls."""
        return bool(self._calls)

    def is_spent(self) -> bool:
        """Whether its worker has said something unasked, or has gone, of which nobody has heard yet."""
        if self._is_watched or self._calls or not (self._sent and self._has_news()):
            return False
        self._loop.call_soon(self.read)
        return True

    @property
    def is_ahead(self) -> bool:
        """Whether a call lies behind the one that its worker is at."""
        return len(self._calls) > 1 and not self._is_doubtful

    def call_back(self) -> bool:
        """Call back what lay behind the same call when this was asked last; whether something does.

        A worker looks whether its caller has hung up before it begins a call that it has received
        (runner/serving). So it will begin none of them if it had not answered by the time when this end said
        that nothing more comes.
        """
        if not self.is_ahead:
            self._at = None
            return False
        if self._calls[0] is not self._at:
            self._at = self._calls[0]
            return False
        if self._has_news():
            return False
        self._hang_up()
        if self._has_news():  # the worker was quicker: it has begun the next call, or takes its leave
            self._is_doubtful = True
        else:
            self._take_back(len(self._calls) - 1)
        return True

    def is_passed_over(self, now_s: float) -> bool:
        """Whether for a moment nobody has taken up its only call."""
        if self._sent != 1 or self.is_known or now_s - self._since_s < _PATIENCE_S:
            return False
        return not self._unsent and self._is_unread()

    def hold(self) -> None:
        """Take no more calls."""
        self.load = _FULL

    def withdraw(self) -> None:
        """Take back its only call, unless it is taken up in this very moment.

        A worker looks whether its caller has hung up when it has read a call, before it begins it.
        """
        self._hang_up()
        if self._is_unread():
            self._end(None)
        else:
            self._is_doubtful = True

    def _hang_up(self) -> None:
        """Say that nothing more comes."""
        self.load, self._sent, self._has_hung_up = _FULL, _MOST_CALLS, True
        self._unsent = b""
        self._ready.clear()
        self._loop.remove_writer(self._socket)
        with suppress(OSError):  # of which the reader hears
            self._socket.shutdown(socket.SHUT_WR)

    def _is_unread(self) -> bool:
        """Whether some of what was sent was not read; False as well where the system does not tell."""
        try:
            return bool(unpack("i", ioctl(self._socket, TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return False

    def _take_back(self, number: int) -> None:
        """Have the last calls sent elsewhere, and take no more."""
        self.load, self._sent = _FULL, _MOST_CALLS
        self._line.take_back([self._calls.pop() for _ in range(number)])

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
        if not self._calls or self._calls[0] is not asked:
            return
        if len(self._calls) > 1:
            self._hang_up()
            if self._has_news():  # it is answered, and the next one perhaps begun: see call_back
                self._is_doubtful = True
                return
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
            self._unsent = self._unsent[self._hand_over(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            if self._sent < _MOST_CALLS:
                self.load = len(self._calls) + self._unknown
            self._line.serve()

    def read(self) -> bool:
        """Read all that is there; whether anything was.

        That the other end has gone uvloop tells once, whatever is left to read.
        """
        for number in range(_MOST_READS):
            if not self._read_part():
                return number > 0
            if self._socket.fileno() < 0:
                return True
        self._loop.call_soon(self.read)  # others have their turn meanwhile
        return True

    def _read_part(self) -> bool:
        """Read some of what is there, and do what it asks for; whether there was anything."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # something lay unread at the other end
            self._end(None if self._is_untouched() else ModelDied(ENDED))
            return True
        answers, line = self._answers, self._line
        found = answers.add(data)
        if not (answers.is_between or answers.is_farewell):
            self.watch()  # the rest is on its way, and nobody rings before all of it is written
        before = line.gather()
        try:
            self._settle(found)
            if answers.fault is not None:  # who takes up nothing more of what was sent says so before he ends
                self._end(answers.fault)
            elif not (self._calls or answers.is_between) or answers.is_farewell:
                self._end(None)
            else:
                line.serve()
                if not self._calls and (self._sent >= _MOST_CALLS or not line.keep()):
                    self._end(None)
        finally:
            line.send(before)
        return True

    def _is_untouched(self) -> bool:
        """Whether what lay unread is the only call, and may go elsewhere: over a new connection but once.

        Linux has a process that is to be killed still accept a connection that came meanwhile.
        """
        if len(self._calls) != 1 or self._has_hung_up:
            return False
        again, self._calls[0].is_sent_again = self._calls[0].is_sent_again, True
        return self._sent > 1 or not again

    def _settle(self, found: list[Outcome]) -> None:
        """Hand on answers."""
        if not found:
            return
        now_s, number = monotonic(), len(self._calls)
        if self.is_known:
            self._line.note_pace((now_s - self._since_s) / len(found))
            if self._line.depth > DEPTH:
                self._line.relieve(now_s)
        self._since_s, self.is_known = now_s, True
        # Whoever answers what was not asked is asked nothing more: it must not be taken for the next answer.
        answers = self._answers
        if len(found) > number or answers.fault or (len(found) == number and not answers.is_between):
            self.load, self._sent = _FULL, _MOST_CALLS
            del found[number:]
        self.load -= len(found) + self._unknown
        self._unknown = 0
        for outcome in found:
            if not self._calls:  # it was closed meanwhile
                return
            self._calls.popleft().tell(outcome)

    def _end(self, fault: ModelFault | None) -> None:
        """Close; the call that the worker is at fails by the fault, those behind it are sent elsewhere."""
        if self._socket.fileno() < 0:
            return
        if self._is_watched:
            self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._ready.clear()
        self._line.leave(self)
        calls, self._calls = self._calls, deque()
        first = calls.popleft() if calls and (fault is not None or calls[0].told is None) else None
        self._line.take_back(reversed(calls))
        self._line.serve()
        if first is not None and fault is not None:
            first.connection = None
            first.tell(fault)
