import asyncio

from service.invoke.directory import EMPTY, fleets_of, next_directory
from tests.invoke.conftest import Open

_AB = """
default_endpoint: iris
endpoints:
  iris: {variants: {a: {model: iris-logistic, weight: 9}, b: {model: iris-forest, weight: 0}}}
  all: {variants: {v: {models: ./}}}
"""


def test_nothing_is_routed_before_the_store_was_read() -> None:
    assert (EMPTY.routes, EMPTY.default, EMPTY.registered) == ({}, None, {})


def test_a_snapshot_becomes_routes_once_endpoints_are_in_service(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_AB)
            early = next_directory(EMPTY, here.store.changes_since(0), here.host.replica, here.registry)
            assert set(early.endpoints) == {"iris", "all"}
            assert early.routes == {}
            assert sum(len(fleets_of(endpoint)) for endpoint in early.endpoints.values()) == 2
            await here.settle()
            directory = here.follower.directory
            assert directory.default == "iris"
            assert set(directory.routes) == {"iris", "all"}
            route = directory.routes["iris"]
            assert set(route.targets) == {"a", "b"}
            assert dict(route.traffic.shares()) == {"a": 1.0, "b": 0.0}
            assert (route.multi, directory.routes["all"].multi) == (False, True)
            assert directory.revision == here.store.revision()

    asyncio.run(run())
