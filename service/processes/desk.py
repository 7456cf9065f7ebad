"""Large control documents, answered by another process of the family.

A document is read and checked in a few steps that hold a process's interpreter for as long as they take: a
gateway that read one of two megabytes would keep its callers waiting for a third of a second. So gateways
hand such requests in here, and the keeper, for whom nobody waits, answers them.

What takes long is done one after the other by a thread of its own, so that all else goes past it.

Each request travels over a pair of sockets of its own, of which one end is passed to the keeper: neither a
gateway nor a keeper that dies in the middle leaves anything behind for the next one.
"""

import asyncio
import contextlib
import json
import mmap
import os
import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from service.domain.caller import Caller
from service.errors import Unavailable
from service.http.asgi import Headers
from service.http.reply import Asked, Reply
from service.log import get_logger

_AT_ONCE = 2
_WAIT_S = 60.0
_LOOK_S = 0.1
_LATE_S = 0.3  # requests that gateways hand in while they do not yet know that the family stops
_RETRY_S = 0.01
_NICENESS = 10
_LENGTHS = struct.Struct("!II")  # of the head and of the body
_PIECE_BYTES = 1 << 18
_AWAY = "The server could not finish the request: try again."


class _Handed(NamedTuple):
    """A request that was read, and where its answer goes."""

    connection: socket.socket
    caller: Caller
    asked: Asked


class Desk:
    """Where requests are handed in and answered. Made before the family forks."""

    def __init__(self) -> None:
        self._outside, self._inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._outside.setblocking(False)
        self._inside.settimeout(_LOOK_S)
        self._closed = mmap.mmap(-1, 1)
        self._clerks: list[threading.Thread] = []
        self._over = threading.Event()
        self._long: queue.SimpleQueue[_Handed] = queue.SimpleQueue()
        self._log = get_logger("sagebird.desk")

    # ---- a gateway's side

    @property
    def is_open(self) -> bool:
        """Whether requests are still taken."""
        return not self._closed[0]

    async def hand_in(self, caller: Caller, asked: Asked) -> Reply:
        """The answer to a caller's request. Raises Unavailable: begun, not finished, or taken by nobody."""
        try:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:  # no more files may be open
            raise Unavailable(_AWAY) from error
        with theirs:
            mine.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=mine)
            try:
                async with asyncio.timeout(_WAIT_S):
                    await self._pass_on(theirs)
                    theirs.close()  # so that the keeper's end is the only one: its death is the end
                    writer.write(
                        _packed([caller, asked.request_id, asked.path, _texts(asked.headers)], asked.body)
                    )
                    lengths = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
                    status, headers = json.loads(await reader.readexactly(lengths[0]))
                    return Reply(status, _bytes(headers), await reader.readexactly(lengths[1]))
            except (OSError, EOFError, TimeoutError) as error:
                raise Unavailable(_AWAY) from error
            finally:
                writer.close()

    async def _pass_on(self, end: socket.socket) -> None:
        while True:
            try:
                socket.send_fds(self._outside, [b"\0"], [end.fileno()])
            except (BlockingIOError, InterruptedError):  # many wait there already
                await asyncio.sleep(_RETRY_S)
            else:
                return

    # ---- the keeper's side

    def open(
        self,
        answer: Callable[[Caller, Asked], Reply],
        takes_long: Callable[[Asked], bool] = lambda asked: False,
    ) -> None:
        """Have requests answered, in threads. `answer` raises nothing."""
        lives = [partial(self._work, answer, takes_long)] * _AT_ONCE
        for number, life in enumerate([*lives, partial(self._work_long, answer)]):
            clerk = threading.Thread(target=life, name=f"desk-{number}", daemon=True)
            clerk.start()
            self._clerks.append(clerk)

    def waiting_long(self) -> int:
        """How many requests that take long nobody has begun yet."""
        return self._long.qsize()

    def close(self) -> None:
        """Finish what was handed in, and take no more."""
        self._closed[0] = 1
        time.sleep(_LATE_S)
        self._over.set()
        for clerk in self._clerks:
            clerk.join(_WAIT_S)

    def dispose(self) -> None:
        """Give this process's ends back."""
        self._outside.close()
        self._inside.close()

    def _work(self, answer: Callable[[Caller, Asked], Reply], takes_long: Callable[[Asked], bool]) -> None:
        _give_way()
        while True:
            try:
                _, ends, _, _ = socket.recv_fds(self._inside, 1, 1)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            except OSError:
                self._log.exception("desk is closed")
                return
            for end in ends:
                handed = self._read(socket.socket(fileno=end))
                if handed is not None and takes_long(handed.asked):
                    self._long.put(handed)
                elif handed is not None:
                    self._serve(handed, answer)

    def _work_long(self, answer: Callable[[Caller, Asked], Reply]) -> None:
        _give_way()
        while True:
            try:
                handed = self._long.get(timeout=_LOOK_S)
            except queue.Empty:
                if self._over.is_set():
                    return
                continue
            if _is_left(handed.connection):  # whoever tries again does not wait for both
                handed.connection.close()
            else:
                self._serve(handed, answer)

    def _read(self, connection: socket.socket) -> _Handed | None:
        try:
            connection.settimeout(_WAIT_S)
            lengths = _LENGTHS.unpack(_read_exactly(connection, _LENGTHS.size))
            caller, request_id, path, headers = json.loads(_read_exactly(connection, lengths[0]))
            body = _read_exactly(connection, lengths[1])
        except (OSError, EOFError) as error:  # the gateway is gone
            self._log.warning("request not read", reason=str(error))
            connection.close()
            return None
        return _Handed(connection, Caller(*caller), Asked(_bytes(headers), body, request_id, path))

    def _serve(self, handed: _Handed, answer: Callable[[Caller, Asked], Reply]) -> None:
        with handed.connection as connection:
            try:
                reply = answer(handed.caller, handed.asked)
                connection.sendall(_packed([reply.status, _texts(reply.headers)], reply.body))
            except OSError as error:  # the gateway is gone
                self._log.warning("request not answered", reason=str(error))


def _give_way() -> None:
    """Let all that serves calls go before this thread."""
    with contextlib.suppress(OSError, AttributeError):  # a thread has a niceness of its own on Linux only
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def _is_left(connection: socket.socket) -> bool:
    """Whether nobody waits for the answer any more."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_WAIT_S)


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes. Raises EOFError: not all of them came."""
    found = bytearray()
    while len(found) < count:
        part = connection.recv(min(count - len(found), _PIECE_BYTES))
        if not part:
            raise EOFError("not all of it came")
        found += part
    return bytes(found)


def _packed(head: Any, body: bytes) -> bytes:
    written = json.dumps(head).encode("ascii")
    return b"".join((_LENGTHS.pack(len(written), len(body)), written, body))


def _texts(headers: Headers) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]


def _bytes(headers: list[list[str]]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
