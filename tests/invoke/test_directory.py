import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clock import SystemClock
from service.domain.endpoint import Endpoint, EndpointStatus, Fleet, ModelSource, Variant
from service.domain.endpoint_state import endpoint_to_state
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.inline import HostLimits, InlineHost
from service.invoke.directory import EMPTY, Directory, Route, fleets_of, next_directory
from service.observe.counts import Registry
from service.store.store import DEFAULT_ENDPOINT, REGISTERED_MODELS, Delta
from tests.invoke.conftest import Open, Quiet

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
A = Variant("a", 9.0, ModelSource("file:///m/a"))
B = Variant("b", 1.0, ModelSource("file:///m/b"))
MULTI = Variant("all", 1.0, ModelSource("file:///m/", multi=True))

Follow = Callable[..., Directory]

_AB = """
default_endpoint: iris
endpoints:
  iris: {variants: {a: {model: iris-logistic, weight: 9}, b: {model: iris-forest, weight: 0}}}
  all: {variants: {v: {models: ./}}}
"""


@pytest.fixture(scope="module")
def follow(tmp_path_factory: pytest.TempPathFactory) -> Follow:
    """The directory after resources were put and removed, one revision later."""
    folder = tmp_path_factory.mktemp("directory")
    artifacts = ArtifactStore([folder], folder / "unpacked", Limits(2**30, 1000, 100.0))
    host = InlineHost(artifacts, HostLimits(2**30), SystemClock(), Quiet())
    registry = Registry(folder / "metrics", "test")

    def step(
        before: Directory,
        *put: Resource,
        removed: tuple[tuple[Kind, str], ...] = (),
        facts: dict[str, Any] | None = None,
        complete: bool = False,
    ) -> Directory:
        delta = Delta(before.revision + 1, complete, put, removed, {} if facts is None else facts)
        return next_directory(before, delta, host.replica, registry)

    return step


def serving(name: str, *variants: Variant, **changes: Any) -> Resource:
    """An endpoint in service with these variants, but for `changes`."""
    endpoint = Endpoint(name, EndpointStatus.IN_SERVICE, Fleet("config", 1, variants), generation=1)
    return as_resource(replace(endpoint, **changes))


def as_resource(endpoint: Endpoint) -> Resource:
    state = endpoint_to_state(endpoint)
    return Resource(Kind.ENDPOINT, endpoint.name, {}, NOON, NOON, endpoint.status, state=state)


def shares(route: Route) -> dict[str, float]:
    """What the traffic's shares are, by variant, of a route that has one fleet."""
    return {variant: share for (_, variant), share in route.traffic.shares().items()}


def test_nothing_is_routed_before_the_store_was_read() -> None:
    assert (EMPTY.routes, EMPTY.default, EMPTY.registered, EMPTY.unsettled) == ({}, None, {}, {})


def test_what_the_store_holds_becomes_routes_once_endpoints_are_in_service(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_AB)
            early = next_directory(EMPTY, here.store.changes_since(0), here.host.replica, here.registry)
            assert set(early.endpoints) == set(early.unsettled) == {"iris", "all"}
            assert early.routes == {}
            assert sum(len(fleets_of(endpoint)) for endpoint in early.endpoints.values()) == 2
            await here.settle()
            directory = here.follower.directory
            assert directory.default == "iris"
            assert set(directory.routes) == {"iris", "all"}
            assert directory.unsettled == {}
            route = directory.routes["iris"]
            assert set(route.named) == {"a", "b"}
            assert shares(route) == {"a": 1.0, "b": 0.0}
            assert (route.multi, directory.routes["all"].multi) == (False, True)
            assert directory.revision == here.store.revision()

    asyncio.run(run())


def test_a_change_leaves_other_endpoints_as_they_are(follow: Follow) -> None:
    before = follow(EMPTY, serving("one", A, B), serving("two", A), facts={DEFAULT_ENDPOINT: "one"})

    after = follow(before, serving("two", B), serving("three", B))

    assert after.endpoints["one"] is before.endpoints["one"]
    assert after.routes["one"] is before.routes["one"]
    assert set(after.routes) == {"one", "two", "three"}
    assert after.default == "one"
    assert (set(before.routes), before.revision, after.revision) == ({"one", "two"}, 1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"put": [replace(serving("one", A, B), tags={"team": "new"})]},
        {"put": [Resource(Kind.MODEL, "one", {}, NOON, NOON)]},
        {"facts": {DEFAULT_ENDPOINT: "two", REGISTERED_MODELS: {"m": "file:///m"}}},
        {"removed": ((Kind.MODEL, "one"), (Kind.ENDPOINT, "never there"))},
    ],
    ids=["tags", "a model", "facts", "a removed model"],
)
def test_what_no_route_depends_on_changes_no_route(follow: Follow, change: dict[str, Any]) -> None:
    before = follow(EMPTY, serving("one", A, B), facts={DEFAULT_ENDPOINT: "one"})

    after = follow(before, *change.pop("put", ()), **change)

    assert after.routes["one"] is before.routes["one"]
    assert after.endpoints["one"] is before.endpoints["one"]
    assert after.revision == 2


def test_facts_are_followed_one_by_one(follow: Follow) -> None:
    first = follow(EMPTY, facts={DEFAULT_ENDPOINT: "one", REGISTERED_MODELS: {"m": "file:///m"}})
    second = follow(first, facts={DEFAULT_ENDPOINT: None})
    third = follow(second, facts={REGISTERED_MODELS: {}})

    assert (second.default, second.registered) == (None, {"m": "file:///m"})
    assert (third.default, third.registered) == (None, {})


def test_other_weights_are_shared_out_among_the_same_replicas(follow: Follow) -> None:
    before = follow(EMPTY, serving("one", A, B)).routes["one"]

    after = follow(follow(EMPTY, serving("one", A, B)), serving("one", replace(A, weight=0.0), B))
    changed = follow(after, serving("one", A, B)).routes["one"]

    assert shares(before) == shares(changed) == {"a": 0.9, "b": 0.1}
    assert shares(after.routes["one"]) == {"a": 0.0, "b": 1.0}
    assert after.routes["one"].named["a"].variant.weight == 0.0
    assert after.routes["one"].named["a"].replica is changed.named["a"].replica
    assert after.routes["one"].named["b"] is changed.named["b"]


def test_a_variant_with_another_model_gets_a_replica_of_its_own(follow: Follow) -> None:
    before = follow(EMPTY, serving("one", A, B))
    other = replace(A, source=replace(A.source, environment=(("DEPTH", "3"),)))

    after = follow(before, serving("one", other, B, active=Fleet("next", 2, (other, B))))

    assert after.routes["one"].named["a"].replica is not before.routes["one"].named["a"].replica
    assert after.routes["one"].named["a"].replica.source == other.source
    assert after.routes["one"].named["b"].replica is before.routes["one"].named["b"].replica


def test_what_a_new_fleet_does_is_counted_apart_from_what_the_one_before_it_did(follow: Follow) -> None:
    before = follow(EMPTY, serving("one", A, B))
    reweighed = follow(before, serving("one", replace(A, weight=1.0), B)).routes["one"].named
    after = follow(before, serving("one", A, B, active=Fleet("next", 2, (A, B)))).routes["one"].named

    for name, target in before.routes["one"].named.items():
        assert reweighed[name].counter is target.counter
        assert after[name].counter is not target.counter
        assert after[name].replica is target.replica


def test_targets_are_told_apart_by_fleet_and_variant_and_a_new_fleet_has_those_of_its_own(
    follow: Follow,
) -> None:
    before = follow(EMPTY, serving("one", A, B))

    after = follow(before, serving("one", A, active=Fleet("next", 2, (A,))))

    assert set(before.routes["one"].targets) == {(1, "a"), (1, "b")}
    assert set(after.routes["one"].targets) == {(2, "a")}
    assert after.routes["one"].traffic.pick(0.5) == (2, "a")


def test_the_route_stays_while_an_update_is_prepared(follow: Follow) -> None:
    before = follow(EMPTY, serving("one", A))
    updating = before.endpoints["one"].begin("next", (B,))

    during = follow(before, as_resource(updating))

    assert during.routes["one"] is before.routes["one"]
    assert during.unsettled == {"one": updating}


def test_a_deleted_endpoint_takes_no_requests_at_once_and_is_forgotten_when_it_is_gone(
    follow: Follow,
) -> None:
    before = follow(EMPTY, serving("one", A), serving("two", MULTI))

    deleting = follow(before, as_resource(before.endpoints["one"].remove(2)))
    gone = follow(deleting, removed=((Kind.ENDPOINT, "one"),))
    again = follow(gone, serving("one", A))

    assert set(deleting.routes) == {"two"}
    assert fleets_of(deleting.endpoints["one"]) == ()
    assert set(deleting.unsettled) == {"one"}
    assert set(gone.endpoints) == {"two"}
    assert gone.unsettled == {}
    assert set(again.routes) == {"one", "two"}


def test_everything_anew_forgets_the_rest_but_keeps_what_is_the_same(follow: Follow) -> None:
    facts = {DEFAULT_ENDPOINT: "one", REGISTERED_MODELS: {"m": "file:///m"}}
    before = follow(EMPTY, serving("one", A), serving("two", B), facts=facts)

    after = follow(before, serving("one", A), complete=True)

    assert set(after.endpoints) == {"one"}
    assert after.routes["one"] is before.routes["one"]
    assert (after.default, after.registered) == (None, {})


_variants = st.sampled_from([(A,), (B,), (A, B), (replace(A, weight=0.0), B), (MULTI,)])
_endpoints = st.builds(
    Endpoint,
    name=st.sampled_from(["one", "two", "three"]),
    status=st.sampled_from(EndpointStatus),
    active=st.none() | st.builds(Fleet, st.just("config"), st.integers(1, 2), _variants),
    pending=st.none() | st.builds(Fleet, st.just("next"), st.integers(3, 4), _variants),
    heals=st.booleans(),
)


@given(st.lists(st.one_of(_endpoints, st.sampled_from(["one", "two", "three"])), max_size=12))
def test_step_by_step_leads_to_the_same_directory_as_all_at_once(
    follow: Follow, changes: list[Endpoint | str]
) -> None:
    directory, there = EMPTY, dict[str, Resource]()
    for change in changes:
        if isinstance(change, str):
            there.pop(change, None)
            directory = follow(directory, removed=((Kind.ENDPOINT, change),))
        else:
            there[change.name] = as_resource(change)
            directory = follow(directory, there[change.name])

    at_once = follow(EMPTY, *there.values(), complete=True)

    assert directory.endpoints == at_once.endpoints
    assert directory.unsettled == at_once.unsettled
    assert set(directory.routes) == set(at_once.routes)
    for name, route in directory.routes.items():
        other = at_once.routes[name]
        assert (dict(route.traffic.shares()), route.multi) == (dict(other.traffic.shares()), other.multi)
        assert [target.variant for target in route.targets.values()] == [
            target.variant for target in other.targets.values()
        ]
        assert all(target.replica.source == target.variant.source for target in route.targets.values())
