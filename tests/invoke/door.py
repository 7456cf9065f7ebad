"""Both doors and both faces over a directory, on real sockets; requests say in a header who sends them."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.domain.caller import Caller
from service.faces.aws.runtime import RuntimeFace
from service.faces.container.face import InvocationsFace
from service.faces.front_door import Gateway
from service.faces.identity import OpenDoor
from service.faces.recorded import Recording
from service.http.asgi import Headers
from service.http.connections import ConnectionLimits
from service.http.edge import asgi_protocol
from service.http.fastpath import fast_protocol
from service.http.guard import Guard
from service.http.remembered import Epoch
from service.http.server import Server
from service.invoke.directory import Directory
from service.invoke.predict import Predictor
from service.invoke.round import Round
from service.invoke.settling import Settled
from service.observe.counts import Registry
from tests.contracts.http_server import WAIT_S, Talk, request

_LIMIT_BYTES = 1 << 20


def ask(talk: Talk, path: str, who: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a request of somebody."""
    talk.send(request(body, b"Content-Type: text/csv", b"X-Who: " + who.encode(), path=path))
    status, _, answer = talk.answer()
    return status, answer


@dataclass
class Door:
    """A server whose requests say in a header who sends them."""

    epoch: Epoch = field(default_factory=Epoch)
    account: str = ""
    settled: list[Settled] = field(default_factory=list)
    recording: Recording | None = None

    def identify(self, headers: Headers) -> Caller:
        return Caller(self.account, "cn-north-1", dict(headers).get(b"x-who", b"nobody").decode())

    def move_to(self, account: str) -> None:
        """Have all callers be of another account, in another epoch."""
        self.account = account
        self.epoch.move()

    def who(self) -> list[Caller]:
        """Whose invocations were told to the tap since this was asked last."""
        found = [one.invocation.caller for one in self.settled]
        self.settled.clear()
        return found

    async def serve(
        self, directory: Directory, registry: Registry, fast: bool, *acts: Callable[[Talk], None]
    ) -> None:
        """Have `acts` talk to the server, in a thread of their own, each in another account."""
        rounds = Round(asyncio.get_running_loop())
        predictor = Predictor(lambda: directory, lambda: 0.0, registry, taps=[self.settled.append])
        runtime = RuntimeFace(predictor, rounds, _LIMIT_BYTES, recording=self.recording)
        container: Any = InvocationsFace(predictor, rounds, _LIMIT_BYTES, recording=self.recording)
        gateway = Gateway(
            runtime,
            container,
            container,
            container,
            Guard("127.0.0.1"),
            OpenDoor(self.identify),
            _LIMIT_BYTES,
            prepare_endpoint=runtime.prepare,
            prepare_default=container.prepare,
            epoch=self.epoch,
        )
        limits = ConnectionLimits()
        protocol = fast_protocol(gateway, rounds, _LIMIT_BYTES, limits) if fast else asgi_protocol(limits)
        server = Server(gateway, WAIT_S, lambda: None, protocol)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            with Talk.to(listener.getsockname()) as talk:
                for number, act in enumerate(acts, 1):
                    self.move_to(f"{number}" * 12)
                    await asyncio.to_thread(act, talk)
            server.stop()
            await serving
