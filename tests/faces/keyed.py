"""A front door that asks for keys, over real sockets, by both ways in; its faces echo who asks what."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from service.access.key_file import open_key_file
from service.access.keyring import Keyring
from service.access.minting import Minted, mint
from service.access.sessions import Session, SessionMaker
from service.access.token_buckets import TokenBuckets
from service.domain.access_keys import AccessKey, Permission
from service.domain.caller import Caller
from service.faces.front_door import Gateway
from service.faces.identity import caller_of
from service.faces.keyed import KeyedDoor
from service.faces.limits import RateLimits
from service.http.asgi import App, Headers, Receive, Scope, Send, read_body, send_reply
from service.http.connections import ConnectionLimits
from service.http.edge import asgi_protocol
from service.http.fastpath import fast_protocol
from service.http.guard import Guard
from service.http.remembered import Epoch
from service.http.reply import Answered, Answering, Reply
from service.http.server import Server
from service.invoke.round import Round
from service.rates import RequestRate
from service.wire.protocols.rest_json import fault_reply
from service.wire.spec import Service, load_service

ORIGIN = "http://pages.example"
LIMIT_BYTES = 1_000_000
_WAIT_S = 30.0


class KeyedServer:
    """A server for the length of a `with` block."""

    SELDOM = RequestRate(1e-3, 4)
    """How often the endpoint `seldom` may be asked."""

    def __init__(self, folder: Path, *, fast: bool) -> None:
        self._key_file = open_key_file(folder / "key")
        self.keyring = Keyring(self._key_file, time.time)
        self.epoch = Epoch()
        self.bodies: list[bytes] = []
        """What reached a face that acts, in any way."""
        self.rounds: list[int] = []
        """How many bodies were answered together, by the fast way."""
        self.closing: list[Callable[[], None]] = []
        """What is called at the end, before the server stops."""
        self.fast = fast
        self._keys: dict[str, AccessKey] = {}
        self._service: Service = load_service("sagemaker-runtime")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> "KeyedServer":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread.start()
        assert self._ready.wait(_WAIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._thread.join(_WAIT_S)
        self._listener.close()
        assert not self._thread.is_alive()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()
        return host, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    def mint(
        self,
        *permissions: Permission,
        endpoints: Sequence[str] = ("*",),
        rate: RequestRate | None = None,
        most_body_bytes: int | None = None,
        concurrency: int | None = None,
    ) -> Minted:
        """A new key, which is good from now on."""
        allowed = permissions or (Permission.INVOKE,)
        name, now_s = f"k{len(self._keys)}", time.time()
        limits = (rate, most_body_bytes, concurrency)
        minted = mint(name, allowed, endpoints, self._key_file, now_s, None, *limits)
        self._keys[minted.key.id] = minted.key
        self._have_keys()
        return minted

    def begin_session(self, minted: Minted) -> Session:
        """Credentials of a key for a while, as STS gives them."""
        return SessionMaker(self._key_file).begin(minted.key.id, time.time() + 900)

    def begin_anew(self) -> None:
        """Forget all keys, and what was asked."""
        self._keys.clear()
        self._have_keys()
        self.bodies.clear()
        self.rounds.clear()

    def close_lines(self) -> None:
        """Close what was opened here."""
        for close in self.closing:
            close()
        self.closing.clear()

    def revoke(self, minted: Minted) -> None:
        """Take a key back."""
        del self._keys[minted.key.id]
        self._have_keys()

    def _have_keys(self) -> None:
        done = threading.Event()

        def have() -> None:
            self.keyring.replace(list(self._keys.values()))
            self.epoch.move()
            done.set()

        self._loop.call_soon_threadsafe(have)
        assert done.wait(_WAIT_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        rounds = Round(self._loop)
        limits = RateLimits(TokenBuckets(), {"seldom": self.SELDOM})
        door = Gateway(
            self._reading("runtime"),
            self._reading("invocations"),
            self._reading("control"),
            self._pages,
            Guard("127.0.0.1", origins=[ORIGIN]),
            KeyedDoor(self.keyring, Caller("000000000000", "us-east-1"), limits),
            LIMIT_BYTES,
            prepare_endpoint=self._prepare,
            epoch=self.epoch,
            limits=limits,
        )
        most = ConnectionLimits()
        protocol = fast_protocol(door, rounds, LIMIT_BYTES, most) if self.fast else asgi_protocol(most)
        app: App = door
        self._server = Server(app, _WAIT_S, lambda: None, protocol)
        self._loop.call_soon(self._ready.set)
        await self._server.serve([self._listener])

    def _reading(self, name: str) -> App:
        """A face that reads the whole body before it acts, as those do that answer predictions."""

        async def face(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                body = await read_body(scope, receive, LIMIT_BYTES)
                self.bodies.append(body)
                reply = _echo(name, caller_of(scope), body)
            except Exception as error:
                reply = fault_reply(error, self._service, "id")
            await send_reply(send, reply.status, reply.headers, reply.body)

        return face

    async def _pages(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A face that acts before it reads."""
        self.bodies.append(b"acted")
        reply = _echo("pages", caller_of(scope), await read_body(scope, receive, LIMIT_BYTES))
        await send_reply(send, reply.status, reply.headers, reply.body)

    def _prepare(self, endpoint: str, caller: Caller, headers: Headers) -> Answering:
        del headers
        return Answering((endpoint, caller), self._answer_all)

    def _answer_all(
        self, asked: Sequence[tuple[tuple[str, Caller], Sequence[bytes]]]
    ) -> list[list[Answered]]:
        self.rounds.append(sum(len(bodies) for _, bodies in asked))
        for _, bodies in asked:
            self.bodies.extend(bodies)
        return [[_echo("fast", caller, body) for body in bodies] for (_, caller), bodies in asked]


def _echo(face: str, caller: Caller, body: bytes) -> Reply:
    headers = [(b"x-face", face.encode()), (b"x-by", caller.principal.encode())]
    return Reply(200, [*headers, (b"x-may", caller.permissions.encode())], body)
