"""A server over real sockets whose answers are simple, with the fast path on or off, and raw talk to it."""

import asyncio
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from service.errors import ClientGone, PayloadTooLarge
from service.http.asgi import App, Headers, Receive, Scope, Send, header_lines, read_body, send_reply
from service.http.connections import ConnectionLimits
from service.http.edge import asgi_protocol
from service.http.fastpath import fast_protocol
from service.http.remembered import Epoch
from service.http.reply import Answered, Answering, Preparing, Reply, Written
from service.http.server import Server
from service.invoke.round import Round
from service.promise import Promise

LIMIT_BYTES = 100_000
WAIT_S = 30.0
HOT = "/hot"
REFUSED = "/refused"


class FrontDoor:
    """Echoes bodies. `POST /hot` may be answered without ASGI, but not a body that starts with `wait`.

    One that starts with `promise` waits as well, but needs no task for it.

    `/refused` is answered before its body is read.
    """

    def __init__(self) -> None:
        self.draining = False
        self.epoch = Epoch()
        self.may_answer = asyncio.Event()
        self.waits = threading.Semaphore(0)
        self.together: list[int] = []
        self.heads: list[int] = []
        self.prepared: list[Headers] = []
        self.answered_now: list[bytes] = []
        self._promised: set[asyncio.Future[Reply]] = set()

    def prepares(self, target: bytes) -> Preparing | None:
        return self._prepare if target == HOT.encode() else None

    def _prepare(self, headers: Headers) -> Answering:
        self.prepared.append(headers)
        return Answering(len(self.prepared), self._answer_all)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == REFUSED:
            await send_reply(send, 404, [], b"refused")
            return
        try:
            reply = await self._answer(await read_body(scope, receive, LIMIT_BYTES))
        except ClientGone:
            return
        except PayloadTooLarge as error:
            reply = Reply(413, [], error.message.encode())
        if self.draining:
            reply.headers.append((b"connection", b"close"))
        await send_reply(send, reply.status, reply.headers, reply.body)

    def _answer_all(self, asked: Sequence[tuple[int, Sequence[bytes]]]) -> list[list[Answered]]:
        self.heads.append(len(asked))
        self.together += [len(bodies) for _, bodies in asked]
        return [[self._answer_one(body) for body in bodies] for _, bodies in asked]

    def _answer_one(self, body: bytes) -> Answered:
        if body.startswith(b"wait"):
            return self._answer(body)
        if body.startswith(b"promise"):
            return self._promise(body)
        self.answered_now.append(body)
        reply = _echo(body)
        ready = reply.status == 200 and not body.startswith(b"reply")
        return Written(header_lines(reply.headers), body) if ready else reply

    def _promise(self, body: bytes) -> Promise[Written | Reply]:
        promise: Promise[Written | Reply] = Promise()
        waiting = asyncio.ensure_future(self._answer(body))
        self._promised.add(waiting)
        waiting.add_done_callback(self._promised.discard)
        bug = ZeroDivisionError() if body == b"promise nothing" else None
        waiting.add_done_callback(lambda done: promise.keep(bug or done.result()))
        return promise

    async def _answer(self, body: bytes) -> Reply:
        if body.startswith((b"wait", b"promise")):
            self.waits.release()
            await self.may_answer.wait()
        return _echo(body)


def _echo(body: bytes) -> Reply:
    status = 204 if body == b"nothing" else 200
    return Reply(status, [(b"Content-Type", b"text/plain"), (b"X-Length", b"%d" % len(body))], body)


class Running:
    """The server in a thread of its own, for the length of a `with` block."""

    def __init__(
        self,
        fast: bool,
        keep_alive_s: float = 75.0,
        drain_s: float = WAIT_S,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self.fast = fast
        self._limits = limits or ConnectionLimits(keep_alive_s=keep_alive_s)
        self._drain_s = drain_s
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._ready = threading.Event()

    def __enter__(self) -> "Running":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_answer()
        self.begin_stop()
        self._thread.join(WAIT_S)
        self._listener.close()
        assert not self._thread.is_alive()

    def begin_stop(self) -> None:
        """As SIGTERM does."""
        self._server.stop()

    def hold_up(self, seconds: float) -> None:
        """Have the server do nothing for a while: what comes meanwhile is there all at once."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    def move_epoch(self) -> None:
        """Have what is remembered of heads be good no longer, before any request that is sent from now on."""
        moved = threading.Event()
        self._loop.call_soon_threadsafe(self.front.epoch.move)
        self._loop.call_soon_threadsafe(moved.set)
        assert moved.wait(WAIT_S)

    def let_answer(self) -> None:
        """Have what waits be answered."""
        self._loop.call_soon_threadsafe(self.front.may_answer.set)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._server.server_state.connections)

    def connect(self) -> "Talk":
        """A connection of one's own."""
        return Talk.to(self._listener.getsockname())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.front = FrontDoor()
        app: App = self.front
        limits = self._limits
        rounds = Round(self._loop)
        fast = self.fast
        protocol = fast_protocol(self.front, rounds, LIMIT_BYTES, limits) if fast else asgi_protocol(limits)
        self._server = Server(app, self._drain_s, self._begin_draining, protocol)
        self._loop.call_soon(self._ready.set)
        await self._server.serve([self._listener])

    def _begin_draining(self) -> None:
        self.front.draining = True


class Talk:
    """One connection, byte by byte."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    @classmethod
    def to(cls, address: tuple[str, int]) -> "Talk":
        """A new connection."""
        return cls(socket.create_connection(address, timeout=WAIT_S))

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def reset(self) -> None:
        """End the connection at once (RST)."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def narrow(self) -> None:
        """Have little room for what is not read yet."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def hurry(self) -> None:
        """Give up soon what the other side does not take."""
        self._connection.settimeout(0.5)

    def is_over(self) -> bool:
        """Whether the server has closed; waits a moment for it."""
        ready, _, _ = select.select([self._connection], [], [], 0.02)
        return bool(ready)

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def send_no_more(self) -> None:
        """Say that nothing more will be sent; answers are still read."""
        self._connection.shutdown(socket.SHUT_WR)

    def piece(self) -> bytes:
        """What the server sent at once."""
        return self._connection.recv(1 << 20)

    def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head without its date, and body of the next answer."""
        while b"\r\n\r\n" not in self._received:
            self._more()
        head, _, rest = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: ([0-9]+)", head)
        size = int(length[1]) if length else 0
        while len(rest) < size:
            self._more()
            rest = self._received.partition(b"\r\n\r\n")[2]
        self._received = rest[size:]
        dated = re.sub(rb"date: [^\r]*GMT", b"date: now", head)
        return int(head[9:12]), dated, rest[:size]

    def end(self) -> bytes:
        """What comes until the server closes the connection."""
        while self._more(must_come=False):
            pass
        return self._received

    def abort(self) -> None:
        self._connection.close()

    def _more(self, must_come: bool = True) -> bool:
        try:
            part = self._connection.recv(1 << 20)
        except ConnectionResetError:
            part = b""
        assert part or not must_come, f"closed after {self._received!r}"
        self._received += part
        return bool(part)


def request(
    body: bytes = b"x", *lines: bytes, path: str = HOT, method: str = "POST", version: str = "1.1"
) -> bytes:
    """One request with a Content-Length."""
    head = f"{method} {path} HTTP/{version}\r\nHost: localhost".encode()
    return b"\r\n".join([head, *lines, b"Content-Length: %d" % len(body), b"", body])
