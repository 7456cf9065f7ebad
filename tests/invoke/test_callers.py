"""Whose an invocation is: the front door names the caller, and every door and face hands him on."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from service.domain.caller import Caller
from tests.contracts.http_server import Talk
from tests.invoke.conftest import ROW, Open, World
from tests.invoke.door import Door, ask

_FILE = """
default_endpoint: iris
endpoints:
  iris: {variants: {a: {model: iris-logistic}}}
  forest: {variants: {b: {model: iris-forest}}}
"""
_PATHS = ("/endpoints/iris/invocations", "/endpoints/forest/invocations", "/invocations")


def _run(world: Open, run: Callable[[World], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with world() as here:
            here.declare(_FILE)
            await here.settle()
            await run(here)

    asyncio.run(opened())


@pytest.mark.parametrize("fast", [True, False])
def test_a_remembered_head_is_its_callers_until_the_epoch_moves(world: Open, fast: bool) -> None:
    door = Door()

    def act(talk: Talk) -> None:
        for path in _PATHS:
            for who in ("alice", "bob", "alice", "alice"):
                assert ask(talk, path, who, ROW) == (200, b"[0]")
                assert door.who() == [Caller(door.account, "cn-north-1", who)]

    async def run(here: World) -> None:
        await door.serve(here.follower.directory, here.registry, fast, act, act)
        assert door.account == "222222222222"

    _run(world, run)


@pytest.mark.parametrize("fast", [True, False])
def test_a_refusal_names_its_callers_account_and_region(world: Open, fast: bool) -> None:
    door = Door()

    def act(talk: Talk) -> None:
        status, body = ask(talk, "/endpoints/nobody/invocations", "alice", ROW)
        assert (status, f"Endpoint nobody of account {door.account} not found." in body.decode()) == (
            400,
            True,
        )
        status, body = ask(talk, _PATHS[0], "alice", b"junk")
        document = json.loads(body)
        assert (status, document["LogStreamArn"]) == (
            424,
            f"arn:aws-cn:logs:cn-north-1:{door.account}:log-group:/aws/sagemaker/Endpoints/iris",
        )
        assert f"in account {door.account} for more" in document["Message"]
        assert [one.principal for one in door.who()] == ["alice"]

    _run(world, lambda here: door.serve(here.follower.directory, here.registry, fast, act, act))
