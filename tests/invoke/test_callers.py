"""Whose an invocation is: the front door names the caller, and every door and face hands him on."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.domain.caller import Caller
from service.faces.aws.runtime import RuntimeFace
from service.faces.container.face import InvocationsFace
from service.faces.front_door import Gateway
from service.http.asgi import Headers
from service.http.connections import ConnectionLimits
from service.http.edge import asgi_protocol
from service.http.fastpath import fast_protocol
from service.http.guard import Guard
from service.http.remembered import Epoch
from service.http.server import Server
from service.invoke.predict import Predictor
from service.invoke.round import Round
from service.invoke.settling import Settled
from tests.contracts.http_server import WAIT_S, Talk, request
from tests.invoke.conftest import ROW, Open, World

_FILE = """
default_endpoint: iris
endpoints:
  iris: {variants: {a: {model: iris-logistic}}}
  forest: {variants: {b: {model: iris-forest}}}
"""
_PATHS = ("/endpoints/iris/invocations", "/endpoints/forest/invocations", "/invocations")
_LIMIT_BYTES = 1 << 20


@dataclass
class Door:
    """A server whose requests say in a header who sends them."""

    epoch: Epoch = field(default_factory=Epoch)
    account: str = ""
    settled: list[Settled] = field(default_factory=list)

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

    async def serve(self, world: World, fast: bool, *acts: Callable[[Talk], None]) -> None:
        """Have `acts` talk to the server, in a thread of their own, each in another account."""
        rounds = Round(asyncio.get_running_loop())
        directory = world.follower.directory
        predictor = Predictor(lambda: directory, lambda: 0.0, world.registry, taps=[self.settled.append])
        runtime = RuntimeFace(predictor, rounds, _LIMIT_BYTES, self.epoch)
        container: Any = InvocationsFace(predictor, rounds, _LIMIT_BYTES)
        gateway = Gateway(
            runtime,
            container,
            container,
            container,
            Guard("127.0.0.1"),
            self.identify,
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


def _run(world: Open, run: Callable[[World], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with world() as here:
            here.declare(_FILE)
            await here.settle()
            await run(here)

    asyncio.run(opened())


def _ask(talk: Talk, path: str, who: str, body: bytes = ROW) -> tuple[int, bytes]:
    talk.send(request(body, b"Content-Type: text/csv", b"X-Who: " + who.encode(), path=path))
    status, _, answer = talk.answer()
    return status, answer


@pytest.mark.parametrize("fast", [True, False])
def test_a_remembered_head_is_its_callers_until_the_epoch_moves(world: Open, fast: bool) -> None:
    door = Door()

    def act(talk: Talk) -> None:
        for path in _PATHS:
            for who in ("alice", "bob", "alice", "alice"):
                assert _ask(talk, path, who) == (200, b"[0]")
                assert door.who() == [Caller(door.account, "cn-north-1", who)]

    async def run(here: World) -> None:
        await door.serve(here, fast, act, act)
        assert door.account == "222222222222"

    _run(world, run)


@pytest.mark.parametrize("fast", [True, False])
def test_a_refusal_names_its_callers_account_and_region(world: Open, fast: bool) -> None:
    door = Door()

    def act(talk: Talk) -> None:
        status, body = _ask(talk, "/endpoints/nobody/invocations", "alice")
        assert (status, f"Endpoint nobody of account {door.account} not found." in body.decode()) == (
            400,
            True,
        )
        status, body = _ask(talk, _PATHS[0], "alice", b"junk")
        document = json.loads(body)
        assert (status, document["LogStreamArn"]) == (
            424,
            f"arn:aws-cn:logs:cn-north-1:{door.account}:log-group:/aws/sagemaker/Endpoints/iris",
        )
        assert f"in account {door.account} for more" in document["Message"]
        assert [one.principal for one in door.who()] == ["alice"]

    _run(world, lambda here: door.serve(here, fast, act, act))
