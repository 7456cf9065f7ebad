"""Calls over the listening socket: HTTP/1.1, one connection and one call at a time in this process."""

from __future__ import annotations

import errno
import mmap
import socket
import sys
import traceback
from _socket import socket as Socket  # not that of the module, which user code may patch, as gevent does
from collections.abc import Callable
from fcntl import F_DUPFD_CLOEXEC, fcntl
from os import O_RDWR, _exit, close, devnull, fstat, getpid, set_inheritable
from os import open as open_file
from socket import AF_UNIX, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, SHUT_RDWR, SOCK_STREAM
from struct import Struct
from time import monotonic_ns
from typing import NamedTuple, NoReturn

_FIRST_BYTES = 1 << 16
_MOST_HEAD_BYTES = 1 << 20
_STANDARD = 3  # so many descriptors are standard streams
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_SLOT = Struct("<QQ")
_MOST_COUNTED = 1 << 64
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN)  # the caller's end, not ours


class WrittenAnswer(NamedTuple):
    """What is written: `headers` beside Content-Type and Content-Length."""

    status: int
    body: bytes
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """What was read; the names of `headers` are as they were sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Slot:
    """Where this worker tells how many calls it began, and since when the present one is under way."""

    def __init__(self, descriptor: int, number: int) -> None:
        self._map = mmap.mmap(descriptor, 0)
        self._place = number * _SLOT.size
        self._begun: int = _SLOT.unpack_from(self._map, self._place)[0]
        self.end()

    def begin(self) -> None:
        """A call is taken up."""
        self._begun = (self._begun + 1) % _MOST_COUNTED  # whatever the model has written there
        _SLOT.pack_into(self._map, self._place, self._begun, monotonic_ns())

    def end(self) -> None:
        """No call is under way."""
        _SLOT.pack_into(self._map, self._place, self._begun, 0)


def serve(listener: Socket, slot: Slot, answer: Callable[[Request], WrittenAnswer]) -> NoReturn:
    """Answer calls until the process ends."""
    listener.settimeout(None)
    own = getpid()
    while True:
        try:
            descriptor, _ = listener._accept()  # type: ignore[attr-defined]  # as socket.py has it
            if descriptor < _STANDARD:
                descriptor = _set_aside(descriptor)
            connection = Socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
            connection.settimeout(None)
            try:
                _answer_all(connection, slot, answer, own)
                connection.shutdown(SHUT_RDWR)  # a process that a handler started may hold it, too
            finally:
                connection.close()
        except BaseException as error:  # edge: an alarm of the model's that rang between two calls, say
            if getpid() != own:
                _exit(0)
            slot.end()
            number = error.errno if isinstance(error, OSError) else None
            if number is None:
                traceback.print_exc()
            elif number not in _GONE:
                _end(1)  # the model closed descriptors, or has used all that there are


def fill_standard_streams() -> None:
    """Have something at their descriptors, which the model may have closed: no print is to meet a caller."""
    for number in range(_STANDARD):
        try:
            fstat(number)
        except OSError:
            set_inheritable(
                open_file(devnull, O_RDWR), True
            )  # gets the lowest free number, which is this one


def _set_aside(descriptor: int) -> int:
    moved = fcntl(descriptor, F_DUPFD_CLOEXEC, _STANDARD)
    close(descriptor)
    fill_standard_streams()
    return moved


def _end(status: int) -> NoReturn:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        _exit(status)


def _answer_all(connection: Socket, slot: Slot, answer: Callable[[Request], WrittenAnswer], own: int) -> None:
    """Answer what comes over one connection, one call after the other."""
    received = b""
    while True:
        request, received = _read(connection, received)
        if request is None or (not received and _has_gone(connection)):
            return
        slot.begin()
        reply = answer(request)
        if getpid() != own:
            _exit(0)  # a child that the handler forked
        _write(connection, reply)
        slot.end()


def _has_gone(connection: Socket) -> bool:
    """Whether nobody waits for the answer any more: callers close at once, never one direction alone."""
    try:
        return not connection.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _read(connection: Socket, received: bytes) -> tuple[Request | None, bytes]:
    """The next request, and what came behind it; None at the end."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        more = connection.recv(_FIRST_BYTES)
        if not more or len(received) > _MOST_HEAD_BYTES:
            return None, b""
        received += more
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    headers = {}
    missing = 0
    for line in lines:
        name, _, value = line.partition(":")
        headers[name] = value = value.strip(" \t")
        if name.lower() == "content-length":
            missing = int(value)
    method, path, _ = first.split(" ", 2)
    begin, after = end + 4, end + 4 + missing
    body = received[begin:after]
    if len(body) < missing:
        body = _rest(connection, body, missing)
    return (Request(method, path, headers, body) if len(body) == missing else None), received[after:]


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


def _write(connection: Socket, answer: WrittenAnswer) -> None:
    status, body, content_type, headers = answer
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n"
    if content_type is not None:
        head += f"Content-Type: {content_type}\r\n"
    for name, value in headers:
        head += f"{name}: {value}\r\n"
    whole = f"{head}\r\n".encode("latin-1")
    if len(body) < _FIRST_BYTES:
        connection.sendall(whole + body, _NO_SIGNAL)
    else:
        connection.sendall(whole, _NO_SIGNAL)
        connection.sendall(body, _NO_SIGNAL)
