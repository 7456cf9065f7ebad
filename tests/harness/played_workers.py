"""A container's socket whose workers a test plays, and calls that stand in line for them."""

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path

import uvloop

from service.hosting.containers.line import CallLine
from service.hosting.host import Answer, Call
from tests.harness.lines import ask

LIMIT_S = 30.0


class Workers:
    """A container's socket, whose workers this test plays."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "1.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.address)
        self.listener.listen(16)
        self.listener.setblocking(False)
        self._accepted: list[socket.socket] = []

    async def accept(self) -> "Worker":
        connection, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        self._accepted.append(connection)
        return Worker(connection)

    def close(self) -> None:
        for each in (self.listener, *self._accepted):
            each.close()


class Worker:
    """One worker at one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._rest = b""

    async def take(self) -> bytes:
        """The next call's body; b"end" where the caller has closed."""
        while b"\r\n\r\n" not in self._rest:
            data = await self._more()
            if not data:
                return b"end"
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(rest) < size:
            rest += await self._more(rest)
        self._rest = rest[size:]
        return rest[:size]

    async def _more(self, before: bytes = b"") -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self.connection, 65_536)
        if not before:
            self._rest += data
        return data

    async def answer(self, body: bytes, status: int = 200) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, _written(body, status))

    def answer_and_die(self, body: bytes, then: bytes) -> None:
        """All of it before the caller reads any."""
        reply = _written(body) + then
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(reply))
        assert self.connection.send(reply) == len(reply)
        self.die()

    def die(self) -> None:
        self.connection.close()


def _written(body: bytes, status: int = 200) -> bytes:
    head = b"HTTP/1.1 %d -\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return head + body


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, LIMIT_S))


def run_as_gateways_do(test: Coroutine[object, object, None]) -> None:
    """In their kind of event loop, which tells only once that somebody has gone."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, LIMIT_S))


def line_to(workers: Workers, number: int) -> CallLine:
    """One that keeps no connection without calls, and calls none back."""
    return CallLine(workers.address, number, kept_s=0.0, stuck_s=LIMIT_S)


def send(line: CallLine, *bodies: str) -> "list[asyncio.Task[Answer]]":
    return [asyncio.create_task(ask(line, Call(body.encode(), "text/plain", None))) for body in bodies]
