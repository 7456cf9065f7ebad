from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.kinds import Kind
from service.domain.listing import ListQuery, SortKey
from service.domain.resource import Resource
from service.store.store import Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ORDERS: tuple[SortKey, ...] = ("name", "created_at", "modified_at", "status")

# Few values, so that many are equal; names with all that patterns and languages treat in a way of their own.
_times = st.integers(0, 4).map(lambda number: NOON + timedelta(seconds=number * 0.1))
_names = st.text("aAb0-_%\\/*é😀", min_size=1, max_size=4)
_statuses = st.sampled_from(["", "Creating", "InService", "inservice"])
_resources = st.builds(
    Resource,
    kind=st.sampled_from([Kind.ENDPOINT, Kind.ENDPOINT, Kind.MODEL]),
    name=_names,
    document=st.just({}),
    created_at=_times,
    modified_at=_times,
    status=_statuses,
)
_listings = st.builds(
    ListQuery,
    order=st.sampled_from(ORDERS),
    descending=st.booleans(),
    limit=st.integers(1, 5),
    name_contains=st.none() | st.text("aAbB0-_%\\/éÉ", max_size=2),
    status=st.none() | _statuses,
    created_after=st.none() | _times,
    created_before=st.none() | _times,
    modified_after=st.none() | _times,
    modified_before=st.none() | _times,
)
_once_per_example = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fill(store: Store, resources: list[Resource]) -> None:
    with store.change() as change:
        for kind in Kind:
            for resource in change.of_kind(kind):
                change.remove(kind, resource.name)
        for resource in resources:
            change.put(resource)


def read_pages(store: Store, listing: ListQuery, between: Callable[[], None] = lambda: None) -> list[str]:
    """The names on all pages, page by page."""
    names: list[str] = []
    while True:
        with store.view() as view:
            page = view.page(Kind.ENDPOINT, listing)
        assert len(page) <= listing.limit
        names += [resource.name for resource in page]
        if len(page) < listing.limit:
            return names
        between()
        listing = replace(listing, after=listing.place_of(page[-1]))


def lowered(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def expected(resources: list[Resource], listing: ListQuery) -> list[str]:
    def wanted(resource: Resource) -> bool:
        return (
            resource.kind is Kind.ENDPOINT
            and lowered(listing.name_contains or "") in lowered(resource.name)
            and listing.status in (None, resource.status)
            and within(resource.created_at, listing.created_after, listing.created_before)
            and within(resource.modified_at, listing.modified_after, listing.modified_before)
        )

    def place(resource: Resource) -> tuple[Any, str]:
        return getattr(resource, listing.order), resource.name

    found = sorted(filter(wanted, resources), key=place, reverse=listing.descending)
    return [resource.name for resource in found]


def within(time: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or time > after) and (before is None or time < before)


@_once_per_example
@given(st.lists(_resources, max_size=15, unique_by=lambda each: (each.kind, each.name)), _listings)
def test_the_pages_together_are_all_that_is_asked_for_in_order(
    store: Store, resources: list[Resource], listing: ListQuery
) -> None:
    fill(store, resources)

    assert read_pages(store, listing) == expected(resources, listing)


@_once_per_example
@given(
    st.lists(_resources, min_size=2, max_size=15, unique_by=lambda each: (each.kind, each.name)),
    st.builds(ListQuery, order=st.sampled_from(ORDERS), descending=st.booleans(), limit=st.integers(1, 5)),
    st.data(),
)
def test_what_comes_and_goes_between_pages_moves_nothing_else(
    store: Store, resources: list[Resource], listing: ListQuery, data: st.DataObject
) -> None:
    passing, staying = resources[: len(resources) // 2], resources[len(resources) // 2 :]
    fill(store, staying)

    def disturb() -> None:
        for resource in data.draw(st.lists(st.sampled_from(passing))):
            with store.change() as change:
                if change.get(resource.kind, resource.name) is None:
                    change.put(resource)
                else:
                    change.remove(resource.kind, resource.name)

    found = read_pages(store, listing, disturb)

    stays = {resource.name for resource in staying if resource.kind is Kind.ENDPOINT}
    assert [name for name in found if name in stays] == expected(staying, listing)
    assert len(found) == len(set(found))


def test_a_page_is_the_ten_newest_unless_asked_otherwise(store: Store) -> None:
    fill(
        store,
        [
            Resource(Kind.ENDPOINT, f"e{number}", {}, NOON + timedelta(seconds=number), NOON)
            for number in range(12)
        ],
    )

    with store.view() as view:
        page = view.page(Kind.ENDPOINT, ListQuery())

    assert [resource.name for resource in page] == [f"e{number}" for number in range(11, 1, -1)]


@pytest.mark.parametrize("part", ["%", "_", "/", "\\", "*", "é", "/%"])
def test_no_sign_in_a_part_of_a_name_means_more_than_itself(store: Store, part: str) -> None:
    names = ["plain", "a%", "a_", "a/", "a\\", "a*", "aé", "aÉ", "a/%"]
    fill(store, [Resource(Kind.ENDPOINT, name, {}, NOON, NOON) for name in names])

    found = read_pages(store, ListQuery("name", descending=False, name_contains=part))

    assert found == sorted(name for name in names if part in name)


def test_a_change_sees_its_own_pages(store: Store) -> None:
    with store.change() as change:
        change.put(Resource(Kind.MODEL, "m", {}, NOON, NOON))

        assert [resource.name for resource in change.page(Kind.MODEL, ListQuery())] == ["m"]
