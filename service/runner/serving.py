"""Calls over the listening socket: HTTP/1.1, one connection and one call at a time in this process.

A caller may send its next call over the same connection. If it says that it keeps it alive, it may be told
FAREWELL in place of an answer, since somebody else is to be heard, or this process is to leave: what it sent
meanwhile is not taken up.
"""

from __future__ import annotations

import errno
import mmap
import select
import socket
import sys
import traceback
from _socket import socket as Socket  # not that of the module, which user code may patch, as gevent does
from collections.abc import Callable
from fcntl import F_DUPFD_CLOEXEC, fcntl
from functools import lru_cache
from os import _exit, close, getpid
from select import POLLHUP, POLLIN, poll
from socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_DONTWAIT,
    MSG_PEEK,
    MSG_WAITALL,
    SCM_RIGHTS,
    SHUT_RDWR,
    SOCK_STREAM,
    SOL_SOCKET,
)
from time import monotonic_ns
from typing import NamedTuple, NoReturn

from .printing import STANDARD, Printing, fill_standard_streams

FAREWELL = b"\0"
_LOG_PLACE = "X-Sagebird-Log-Place"
_ID = b"\r\nX-Amzn-RequestId: "  # the last line of a head, if it is there
_ID_CHARS = 36
_ID_BYTES = len(_ID) + _ID_CHARS
_FIRST_BYTES = 1 << 16
_MOST_HEAD_BYTES = 1 << 20
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_LEAVES_AT = 16
_RECORD_BYTES = 24
_LEAVES = 1  # whatever else stands there, the model has written
_MOST_COUNTED = 1 << 64
_MOST_KNOWN = 256
_MOST_KNOWN_BYTES = 1024
_TURN_NS = 5_000_000  # that a connection has where others wait
_MOMENT_MS = 1  # that its caller has for the next call where others wait
_QUIET_NS = 300_000  # for which an answer may lie there before its caller is told
_INT_BYTES = 4  # of a descriptor
_BELL_BYTES = CMSG_SPACE(_INT_BYTES)
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_HUNG_UP = getattr(select, "POLLRDHUP", 0)  # 0 where the system does not tell
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN)  # the caller's end, not ours
_UNHEARD = (*_GONE, errno.EAGAIN)  # or enough rings lie there that he has not heard yet


class WrittenAnswer(NamedTuple):
    """What is written: `headers` beside Content-Type and Content-Length."""

    status: int
    body: bytes
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class RequestHead(NamedTuple):
    """The head of requests: the names of `headers` are as they were sent, those of `plain` in lower case.

    It may be that of many requests, and is not to be changed. `log_place` is where is kept what is printed.
    """

    method: str
    path: str
    headers: dict[str, str]
    plain: dict[str, str]
    length: int
    stays: bool
    log_place: str = ""


class Request(NamedTuple):
    """What was read."""

    head: RequestHead
    body: bytes
    request_id: str = ""


class Slot:
    """Where this worker tells how many calls it began, and since when the present one is under way.

    And where it is told that it is to leave once it is at none.
    """

    def __init__(self, descriptor: int, number: int) -> None:
        shared = memoryview(mmap.mmap(descriptor, 0))[number * _RECORD_BYTES :][:_RECORD_BYTES]
        # Each number is written at once: pack_into fills its place with zeros first, which who reads may see.
        self._numbers = shared.cast("Q")
        self._leaves = shared[_LEAVES_AT:]
        self._begun: int = self._numbers[0]
        self.end()

    def begin(self) -> None:
        """A call is taken up."""
        self._begun = (self._begun + 1) % _MOST_COUNTED  # whatever the model has written there
        self._numbers[0] = self._begun
        self._numbers[1] = monotonic_ns()

    def end(self) -> None:
        """No call is under way."""
        self._numbers[1] = 0

    def is_last(self) -> bool:
        """Whether another worker is to come in place of this one, before its next call."""
        return self._leaves[0] == _LEAVES


def serve(
    listener: Socket, slot: Slot, answer: Callable[[Request], WrittenAnswer], printing: Printing
) -> NoReturn:
    """Answer calls until the process ends."""
    listener.settimeout(None)
    own = getpid()
    while True:
        try:
            descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # as socket.py has it
            if descriptor < STANDARD:
                descriptor = _set_aside(descriptor)
            connection = Socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
            connection.settimeout(None)
            bell = _Bell()
            try:
                received = bell.take(connection)
                if not _answer_all(connection, received, bell, listener, slot, answer, printing, own):
                    connection.send(FAREWELL, _NO_SIGNAL)  # raises where nobody listens any more
                connection.shutdown(SHUT_RDWR)  # a process that a handler started may hold it, too
            finally:
                connection.close()
                bell.close()
            if slot.is_last():
                _end(0)
        except BaseException as error:  # edge: an alarm of the model's that rang between two calls, say
            if getpid() != own:
                end_child(error)
            slot.end()
            printing.leave()
            number = error.errno if isinstance(error, OSError) else None
            if number is None:
                traceback.print_exc()
            elif number not in _GONE:
                _end(1)  # the model closed descriptors, or has used all that there are


def _set_aside(descriptor: int) -> int:
    moved = fcntl(descriptor, F_DUPFD_CLOEXEC, STANDARD)
    close(descriptor)
    fill_standard_streams()
    return moved


def end_child(error: BaseException) -> NoReturn:
    """End what a handler forked, as an interpreter would in which nobody catches the error."""
    status = 1
    try:
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        elif error.code is None or isinstance(error.code, int):
            status = (error.code or 0) & 0xFF
        else:
            print(error.code, file=sys.stderr)
    finally:
        _end(status)


def _end(status: int) -> NoReturn:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        _exit(status)


def _answer_all(
    connection: Socket,
    received: bytes,
    bell: _Bell,
    listener: Socket,
    slot: Slot,
    answer: Callable[[Request], WrittenAnswer],
    printing: Printing,
    own: int,
) -> bool:
    """Answer one call after the other that comes over a connection, of which some is `received` already.

    False: whoever stays at it is to be told that nothing more of what he has sent is taken up.
    """
    turn = _Turn(connection, listener)
    stays, behind = False, True  # behind: more has come, as far as is known
    while True:
        if stays and not turn.goes_on(behind):
            return False
        request, received = _read(connection, received)
        if request is None:
            return not stays
        stays = request.head.stays
        seen = turn.look(received)
        if seen is None:
            return not stays  # nobody waits for the answer, or the call was called back
        behind = seen
        slot.begin()
        printing.enter(request.head.log_place, request.request_id)
        reply = answer(request)
        if getpid() != own:
            _end(0)  # a child that the handler forked
        printing.leave()  # before its caller can ask what was printed
        _write(connection, reply, bell)
        slot.end()
        bell.tell(bool(received))
        if slot.is_last():
            return not stays


class _Bell:
    """What the caller of a connection hears once he has been answered, if he has brought one.

    He is not woken by the answers themselves, each of which would cost as much as many a call: it is rung
    once all is answered that was received, or the first of these answers has lain there for a moment.
    """

    __slots__ = ("_bell", "_since_ns")

    def __init__(self) -> None:
        self._bell: Socket | None = None
        self._since_ns = 0  # when the first of the answers was written that nobody was told of, 0 for none

    def take(self, connection: Socket) -> bytes:
        """Receive the first bytes over a connection, and the bell that comes with them."""
        received, beside, _, _ = connection.recvmsg(_FIRST_BYTES, _BELL_BYTES, _CLOSE_ON_EXEC)
        for level, kind, data in beside:
            if level == SOL_SOCKET and kind == SCM_RIGHTS and len(data) >= _INT_BYTES:
                descriptor = int.from_bytes(data[:_INT_BYTES], sys.byteorder)
                if descriptor < STANDARD:
                    descriptor = _set_aside(descriptor)
                self._bell = Socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
        return received

    def tell(self, more: bool) -> None:
        """An answer is written; whether `more` calls are received that are to be answered next."""
        if more:
            now_ns = monotonic_ns()
            if not self._since_ns:
                self._since_ns = now_ns
            if now_ns - self._since_ns < _QUIET_NS:
                return
        self.ring()

    def close(self) -> None:
        """Nothing more comes, and the connection is closed."""
        if self._bell is not None:
            try:
                self.ring()
            finally:
                self._bell.close()

    def ring(self) -> None:
        """Have him look at once."""
        self._since_ns = 0
        if self._bell is None:
            return
        try:
            self._bell.send(b"\0", MSG_DONTWAIT | _NO_SIGNAL)
        except OSError as error:
            if error.errno not in _UNHEARD:
                raise


class _Turn:
    """How long one connection goes on: while others wait, not for ever, and not if its caller has nothing."""

    __slots__ = ("_any", "_connection", "_ends_ns", "_number", "_others", "_own")

    def __init__(self, connection: Socket, listener: Socket) -> None:
        self._connection, self._number = connection, connection.fileno()
        self._own, self._others, self._any = poll(), poll(), poll()
        self._own.register(connection, POLLIN | _HUNG_UP)
        self._others.register(listener, POLLIN)
        self._any.register(connection, POLLIN)
        self._any.register(listener, POLLIN)
        self._ends_ns = monotonic_ns() + _TURN_NS

    def goes_on(self, behind: bool) -> bool:
        """Whether its next call is to be heard, for which this waits unless it is there already."""
        if monotonic_ns() >= self._ends_ns:
            if self._others.poll(0):
                return False
            self._ends_ns = monotonic_ns() + _TURN_NS
        if behind or any(number == self._number for number, _ in self._any.poll()):
            return True
        return bool(self._own.poll(_MOMENT_MS))  # to take leave costs more than many a call

    def look(self, received: bytes) -> bool | None:
        """Whether anything has come behind the call that was read; None if its caller has hung up.

        Callers close at once, never one way alone, but to call back what was not begun.
        """
        if not _HUNG_UP:  # not told by this system, where no more than one call lies behind another
            return True if received else _look(self._connection)
        seen = self._own.poll(0)
        if not seen:
            return bool(received)
        return None if seen[0][1] & (_HUNG_UP | POLLHUP) else True


def _look(connection: Socket) -> bool | None:
    try:
        return bool(connection.recv(1, MSG_PEEK | MSG_DONTWAIT)) or None
    except BlockingIOError:
        return False


def _read(connection: Socket, received: bytes) -> tuple[Request | None, bytes]:
    """The next request, and what came behind it; None at the end."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        more = connection.recv(_FIRST_BYTES)
        if not more or len(received) > _MOST_HEAD_BYTES:
            return None, b""
        received += more
    begin, request_id = end + 4, ""
    if end > _ID_BYTES and received.startswith(_ID, end - _ID_BYTES):
        request_id = received[end - _ID_CHARS : end].decode("latin-1")
        end -= _ID_BYTES
    # most callers send the same head again and again, but for the id
    head = (_known_head if end <= _MOST_KNOWN_BYTES else _read_head)(received[:end])
    after = begin + head.length
    body = received[begin:after]
    if len(body) < head.length:
        body = _rest(connection, body, head.length)
    whole = Request(head, body, request_id) if len(body) == head.length else None
    return whole, received[after:]


def _read_head(data: bytes) -> RequestHead:
    first, *lines = data.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name] = value.strip(" \t")
    log_place = headers.pop(_LOG_PLACE, "")
    plain = {name.lower(): value for name, value in headers.items()}
    stays = headers.pop("Connection", "") == "keep-alive"
    method, path, _ = first.split(" ", 2)
    return RequestHead(method, path, headers, plain, int(plain.get("content-length", "0")), stays, log_place)


_known_head = lru_cache(_MOST_KNOWN)(_read_head)


def _rest(connection: Socket, body: bytes, wanted: int) -> bytes:
    parts = [body]
    missing = wanted - len(body)
    while missing:
        part = connection.recv(missing, MSG_WAITALL)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _write(connection: Socket, answer: WrittenAnswer, bell: _Bell) -> None:
    status, body, content_type, headers = answer
    whole = _answer_head(status, len(body), content_type, headers)
    if len(body) < _FIRST_BYTES:
        connection.sendall(whole + body, _NO_SIGNAL)
    else:
        connection.sendall(whole, _NO_SIGNAL)
        bell.ring()  # so that what does not fit in is read as it comes
        connection.sendall(body, _NO_SIGNAL)


@lru_cache(_MOST_KNOWN)
def _answer_head(
    status: int, size: int, content_type: str | None, headers: tuple[tuple[str, str], ...]
) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {size}\r\n"
    if content_type is not None:
        head += f"Content-Type: {content_type}\r\n"
    for name, value in headers:
        head += f"{name}: {value}\r\n"
    return f"{head}\r\n".encode("latin-1")
