"""Calls of one container from one event loop, without threads.

A worker takes one connection at a time and answers all calls of it, one after the other. So a connection is
kept for as long as calls are waiting here, and closed as soon as none is: workers are shared with the other
gateways, and whoever connects next gets the next one that is free. After some calls it is closed in any case,
lest the others wait for ever. One call more than a worker is at may lie in its socket, so that it need not
wait for us.
"""

import asyncio
import socket
from collections import deque
from contextlib import suppress
from typing import Final

from service.errors import ModelDied, ModelFault, ModelUnreachable
from service.hosting.containers.calls import ENDED, READ_BYTES, Incoming, written
from service.hosting.host import Answer, Call

_DEPTH: Final = 2
_MOST_CALLS: Final = 64  # of one connection
_FULL_S: Final = 0.002  # to wait where more connections than the system keeps are in line

_Waiting = tuple[bytes, "asyncio.Future[Answer]"]


class CallLine:
    """Where calls of one container wait for a worker; each gets its own answer."""

    def __init__(self, address: str, workers: int) -> None:
        """`address` is the container's socket; so many `workers` take calls there at once."""
        self._address = address
        self._workers = workers
        self._waiting: deque[_Waiting] = deque()
        self._connections: list[_Connection] = []

    async def ask(self, call: Call) -> Answer:
        """Answer one call; who gives up waiting cancels it.

        Raises:
            ModelUnreachable: nobody took the call, so that it may be sent again.
            ModelDied: its process ended.
            ModelFault: the model's own refusal or failure.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((written(call), answer))
        self.serve()
        return await answer

    def serve(self) -> None:
        """Send what waits as far as workers may take it."""
        while self._waiting:
            if self._waiting[0][1].done():
                self._waiting.popleft()
                continue
            connection = self._free()
            if connection is None:
                return
            connection.send(self._waiting.popleft())

    def take_back(self, calls: "deque[_Waiting]") -> None:
        """Calls that no worker had begun when their connection ended; they are first in line again."""
        self._waiting.extendleft(reversed(calls))

    def leave(self, connection: "_Connection") -> None:
        """A connection is closed."""
        with suppress(ValueError):
            self._connections.remove(connection)

    def _free(self) -> "_Connection | None":
        best = min(self._connections, key=lambda each: each.load, default=None)
        if best is not None and (best.load == 0 or len(self._connections) >= self._workers):
            return best if best.load < _DEPTH else None
        try:
            connection = _Connection(self, self._address)
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_FULL_S, self.serve)
            return None
        except OSError as error:
            self._refuse(ModelUnreachable(f"The model's process cannot be reached: {error}."))
            return None
        self._connections.append(connection)
        return connection

    def _refuse(self, fault: ModelFault) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(fault)


class _Connection:
    """One connection, and the calls that were sent over it, in their order."""

    def __init__(self, line: CallLine, address: str) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Waiting] = deque()
        self._sent = 0
        self._unsent = b""
        self._reply = Incoming()
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

    def send(self, call: _Waiting) -> None:
        """Send a call; at most `_DEPTH` at once."""
        self._calls.append(call)
        self._sent += 1
        call[1].add_done_callback(self._given_up)
        try:
            sent = self._socket.send(call[0])
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reader hears of it
        if sent < len(call[0]):
            self._unsent = call[0][sent:]
            self._loop.add_writer(self._socket, self._write)

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
            self._take(self._socket.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            self._end(ModelDied(ENDED))
        except ModelFault as fault:
            self._end(fault)

    def _take(self, data: bytes) -> None:
        whole = self._reply.add(data)
        while whole and self._calls:
            _, answer = self._calls.popleft()
            reply, self._reply = self._reply, Incoming(self._reply.rest())
            if not answer.done():
                answer.remove_done_callback(self._given_up)
                _settle(answer, reply)
            whole = self._reply.is_whole()
        self._line.serve()
        if not self._calls:
            self._end(None)

    def _given_up(self, answer: "asyncio.Future[Answer]") -> None:
        """Who waited has gone: the worker that is at this call sees it, and the one behind goes elsewhere."""
        if self._calls and self._calls[0][1] is answer:
            self._end(None)

    def _end(self, fault: ModelFault | None) -> None:
        """Close; the call that the worker is at fails by the fault, those behind it are sent elsewhere."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._line.leave(self)
        calls, self._calls = self._calls, deque()
        for _, answer in calls:
            answer.remove_done_callback(self._given_up)
        if calls and (fault is not None or calls[0][1].done()):
            _, answer = calls.popleft()
            if not answer.done() and fault is not None:
                answer.set_exception(fault)
        self._line.take_back(calls)
        self._line.serve()


def _settle(answer: "asyncio.Future[Answer]", reply: Incoming) -> None:
    try:
        answer.set_result(reply.answer())
    except ModelFault as fault:
        answer.set_exception(fault)
