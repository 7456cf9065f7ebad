"""Calls over the listening socket: HTTP/1.1, one connection each, one at a time in this process."""

from __future__ import annotations

import errno
import mmap
import socket
import sys
import traceback
from _socket import socket as Socket  # not that of the module, which user code may patch, as gevent does
from collections.abc import Callable
from os import _exit, getpid
from socket import AF_UNIX, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, SHUT_WR, SOCK_STREAM
from struct import Struct
from time import monotonic_ns
from typing import NamedTuple, NoReturn

_FIRST_BYTES = 1 << 16
_MOST_HEAD_BYTES = 1 << 20
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)
_SLOT = Struct("<QQ")
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
        self._begun += 1
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
            slot.begin()
            connection = Socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
            connection.settimeout(None)
            try:
                request = _read(connection)
                if request is not None and not _is_closed(connection):
                    reply = answer(request)
                    if getpid() != own:
                        _exit(0)  # a child that the handler forked
                    _write(connection, reply)
            finally:
                connection.close()
            slot.end()
        except BaseException as error:  # edge: an alarm of the model's that rang between two calls, say
            if getpid() != own:
                _exit(0)
            slot.end()
            number = error.errno if isinstance(error, OSError) else None
            if number is None:
                traceback.print_exc()
            elif number not in _GONE:
                _end(1)  # the model closed descriptors, or has used all that there are


def _end(status: int) -> NoReturn:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        _exit(status)


def _read(connection: Socket) -> Request | None:
    received = connection.recv(_FIRST_BYTES)
    while (end := received.find(b"\r\n\r\n")) < 0:
        more = connection.recv(_FIRST_BYTES)
        if not more or len(received) > _MOST_HEAD_BYTES:
            return None
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
    body = received[end + 4 :]
    if len(body) < missing:
        body = _rest(connection, body, missing)
    return Request(method, path, headers, body) if len(body) == missing else None


def _is_closed(connection: Socket) -> bool:
    """Whether the caller has given up, in which case no handler need run: callers never half-close."""
    try:
        return not connection.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False


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
    connection.shutdown(SHUT_WR)  # a process that the handler started may hold the connection, too
