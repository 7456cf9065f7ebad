from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.store.database import Location
from service.store.store import Delta, Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
Picture = tuple[dict[tuple[Kind, str], str], dict[str, Any]]

_things = st.tuples(st.sampled_from([Kind.ENDPOINT, Kind.MODEL]), st.sampled_from("abc"))
_steps = st.one_of(
    st.tuples(st.just("put"), _things, st.sampled_from(["x", "y"])),
    st.tuples(st.just("remove"), _things, st.none()),
    st.tuples(st.just("fact"), st.sampled_from("fg"), st.none() | st.integers(0, 3)),
)
_changes = st.lists(st.lists(_steps, max_size=4), max_size=12)


def model(name: str, status: str = "") -> Resource:
    return Resource(Kind.MODEL, name, {}, NOON, NOON, status=status)


def apply(picture: Picture, delta: Delta) -> Picture:
    """What a follower has after a delta."""
    resources, facts = ({}, {}) if delta.complete else (dict(picture[0]), dict(picture[1]))
    for thing in delta.removed:
        resources.pop(thing, None)
    for resource in delta.changed:
        resources[resource.kind, resource.name] = resource.status
    return resources, facts | dict(delta.facts)


def take_picture(store: Store) -> Picture:
    with store.view() as view:
        resources = [resource for kind in Kind for resource in view.of_kind(kind)]
        facts = {name: value for name in "fg" if (value := view.fact(name)) is not None}
    return {(resource.kind, resource.name): resource.status for resource in resources}, facts


def without_nothing(picture: Picture) -> Picture:
    """A fact that is None is one that is not there."""
    return picture[0], {name: value for name, value in picture[1].items() if value is not None}


def carry_out(store: Store, steps: list[tuple[str, Any, Any]]) -> None:
    with store.change() as change:
        for verb, thing, value in steps:
            if verb == "put":
                kind, name = thing
                change.put(Resource(kind, name, {}, NOON, NOON, status=value))
            elif verb == "remove":
                change.remove(*thing)
            else:
                change.put_fact(thing, value)


@pytest.fixture(params=[2, 10_000], ids=["forgetful", "as it is"])
def following(request: pytest.FixtureRequest, location: Location) -> Iterator[Store]:
    opened = Store(location, kept_revisions=request.param)
    yield opened
    opened.close()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_changes)
def test_a_delta_leads_from_any_revision_to_what_there_is(
    following: Store, changes: list[list[tuple[str, Any, Any]]]
) -> None:
    pictures: dict[int, Picture] = {0: ({}, {}), following.revision(): take_picture(following)}
    for steps in changes:
        carry_out(following, steps)
        pictures[following.revision()] = take_picture(following)

    for revision, picture in pictures.items():
        delta = following.changes_since(revision)
        assert without_nothing(apply(picture, delta)) == take_picture(following)
        assert delta.revision == following.revision()
        assert not {(each.kind, each.name) for each in delta.changed} & set(delta.removed)
        assert not (delta.complete and delta.removed)


def test_one_change_among_many_is_all_that_a_delta_holds(store: Store) -> None:
    with store.change() as change:
        for name in "abc":
            change.put(model(name))
        change.put_fact("f", 1)
    before = store.revision()

    with store.change() as change:
        change.put(model("b", "new"))
        change.remove(Kind.MODEL, "c")

    delta = store.changes_since(before)
    assert delta == Delta(before + 1, False, (model("b", "new"),), ((Kind.MODEL, "c"),), {})
    assert [resource.revision for resource in delta.changed] == [before + 1]


def test_nothing_new_is_an_empty_delta(store: Store) -> None:
    with store.change() as change:
        change.put(model("a"))
        change.put_fact("f", 1)

    assert store.changes_since(store.revision()) == Delta(store.revision(), complete=False)


def test_a_delta_can_be_asked_for_some_kinds(store: Store) -> None:
    with store.change() as change:
        change.put(model("a"))
        change.put(model("gone"))
        change.put(Resource(Kind.ENDPOINT, "e", {}, NOON, NOON))
    before = store.revision()
    with store.change() as change:
        change.put(model("a"))
        change.remove(Kind.MODEL, "gone")
        change.put(Resource(Kind.ENDPOINT, "e", {}, NOON, NOON))
        change.put_fact("f", 1)

    for revision in (0, before):
        delta = store.changes_since(revision, (Kind.ENDPOINT,))
        assert [resource.name for resource in delta.changed] == ["e"]
        assert delta.removed == ()
        assert delta.facts == {"f": 1}


def test_who_fell_too_far_behind_gets_everything(location: Location) -> None:
    store = Store(location, kept_revisions=3)
    for name in "ab":
        with store.change() as change:
            change.put(model(name))
    stale = store.revision()
    with store.change() as change:
        change.remove(Kind.MODEL, "a")
    for number in range(3):
        assert not store.changes_since(stale).complete
        with store.change() as change:
            change.put_fact("f", number)

    assert store.changes_since(stale) == Delta(stale + 4, True, (model("b"),), (), {"f": 2})
    assert not store.changes_since(stale + 1).complete
    store.close()


def test_a_revision_of_another_database_gets_everything(store: Store) -> None:
    with store.change() as change:
        change.put(model("a"))

    assert store.changes_since(store.revision() + 5) == store.changes_since(0)
    assert store.changes_since(0).complete
