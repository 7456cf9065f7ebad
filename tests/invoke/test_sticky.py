"""A call that says for which user it is goes to that user's variant, whichever door and face it comes by."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from service.domain.traffic import Traffic
from service.domain.user_shares import UserShares
from service.errors import ValidationFault
from service.hosting.host import Call
from service.invoke.invocation import Invocation
from service.invoke.routing import Routing
from tests.contracts.http_server import Talk, request
from tests.invoke.conftest import CALLER, ROW, Open, World
from tests.invoke.door import Door

_FILE = """
default_endpoint: iris
endpoints:
  iris:
    variants:
      a: {model: iris-logistic, weight: %d}
      b: {model: iris-forest, weight: %d}
"""
_PATHS = ("/endpoints/iris/invocations", "/invocations")
_USERS = [b"user-%d" % number for number in range(40)]


def _run(world: Open, run: Callable[[World], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with world() as here:
            await run(here)

    asyncio.run(opened())


async def _weigh(here: World, a: int, b: int) -> None:
    here.declare(_FILE % (a, b))
    await here.settle()


def _variant(talk: Talk, path: str, *lines: bytes) -> str:
    talk.send(request(ROW, b"Content-Type: text/csv", b"X-Who: me", *lines, path=path))
    status, head, _ = talk.answer()
    named = re.search(rb"x-amzn-invoked-production-variant: ([^\r]+)", head, re.IGNORECASE)
    assert status == 200
    assert named is not None
    return named[1].decode()


@pytest.mark.parametrize("fast", [True, False])
def test_users_who_share_a_connection_have_a_variant_each(world: Open, fast: bool) -> None:
    door = Door()
    seen: list[list[str]] = []

    def act(talk: Talk) -> None:
        for path in _PATHS:
            for _ in range(2):  # the second time heads are known
                seen.append([_variant(talk, path, b"X-Sagebird-User: " + user) for user in _USERS])
            assert _variant(talk, path) == "a"  # nobody's: what the world draws is 0.0

    async def run(here: World) -> None:
        await _weigh(here, 1, 1)
        await door.serve(here.follower.directory, here.registry, fast, act)

    _run(world, run)
    assert all(one == seen[0] for one in seen)
    assert set(seen[0]) == {"a", "b"}


@pytest.mark.parametrize("fast", [True, False])
def test_a_named_variant_counts_more_than_the_user(world: Open, fast: bool) -> None:
    def act(talk: Talk) -> None:
        for user in _USERS[:10]:
            for named in (b"a", b"b"):
                asked = b"X-Amzn-SageMaker-Target-Variant: " + named
                assert _variant(talk, _PATHS[0], b"X-Sagebird-User: " + user, asked) == named.decode()

    async def run(here: World) -> None:
        await _weigh(here, 1, 1)
        await Door().serve(here.follower.directory, here.registry, fast, act)

    _run(world, run)


def test_nobody_leaves_a_variant_that_grows_whatever_the_weights_were_before(world: Open) -> None:
    seen: list[list[str]] = []

    def act(talk: Talk) -> None:
        seen.append([_variant(talk, _PATHS[0], b"X-Sagebird-User: " + user) for user in _USERS])

    async def run(here: World) -> None:
        for a, b in ((9, 1), (2, 1), (1, 1), (1, 9)):
            await _weigh(here, a, b)
            await Door().serve(here.follower.directory, here.registry, True, act)

    _run(world, run)
    for before, after in pairwise(seen):
        assert {user for user, variant in enumerate(before) if variant == "b"} <= {
            user for user, variant in enumerate(after) if variant == "b"
        }
    assert seen[0].count("b") < seen[2].count("b") < seen[3].count("b")


def test_users_are_refused_as_everybody_where_no_variant_has_weight(world: Open) -> None:
    async def run(here: World) -> None:
        await _weigh(here, 1, 1)
        here.draws.append(0.5)
        before = here.follower.directory
        idle = UserShares("iris", [("a", 0.0), ("b", 0.0)])
        nothing = Traffic([(key, 0.0) for key in before.routes["iris"].targets])
        route = replace(before.routes["iris"], users=idle, traffic=nothing)
        routing = Routing(lambda: replace(before, routes={"iris": route}), here.draws.pop, None)
        for user in (None, b"anna"):
            asked = Invocation(CALLER, "iris", Call(ROW, "text/csv", None), user=user)
            with pytest.raises(ValidationFault, match="Every variant of endpoint iris has weight 0"):
                routing.choose(asked)

    _run(world, run)
