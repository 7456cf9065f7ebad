"""A gateway over states that a later release has written."""

import asyncio
from dataclasses import replace

from service.domain.kinds import Kind
from tests.invoke.conftest import Open
from tests.store.later import with_unknown_members

_ONE = "endpoints: {iris: {variants: {a: {model: iris-logistic}}}}"


def test_a_gateway_serves_endpoints_whose_states_have_members_that_it_does_not_know(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_ONE)
            await here.settle()
            with here.store.change() as change:
                for kind in Kind:
                    for resource in change.of_kind(kind):
                        change.put(replace(resource, state=with_unknown_members(resource.state)))
        async with world() as here:
            await here.follower.begin()
            await here.settle()

            assert here.follower.problems() == []
            assert here.follower.statuses() == {"iris": "InService"}
            assert [entry.key.name for entry in here.host.cache.loaded] == ["iris-logistic"]

    asyncio.run(run())
