"""Series of minutes: nothing is lost or counted twice, whatever restarts, and they stay bounded."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.clock import ManualClock
from service.observe.counter import FINE_BOUNDS_S, InvocationCounter
from service.observe.counts import Registry
from service.observe.series import MINUTE_S, Datapoint, SeriesKeeping, VariantSeries, quantile_s

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
NOON_S = int(NOON.timestamp())
_DAY_S = 86_400.0


class Place:
    """A data folder with its series, as the processes of a family use it."""

    def __init__(self, folder: Path, keep_s: float = 15 * _DAY_S) -> None:
        self.metrics, self.file = folder / "metrics", folder / "series.db"
        self.clock = ManualClock(NOON)
        self.keep_s = keep_s
        self.keeping = self.new_keeping()
        self.series = VariantSeries(self.file, self.metrics)

    def new_keeping(self) -> SeriesKeeping:
        return SeriesKeeping(self.file, self.metrics, self.keep_s, self.clock.now)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.keeping.look()

    def read(self, back_s: float = 3600.0, endpoint: str | None = None) -> list[Datapoint]:
        now_s = self.clock.now().timestamp()
        found = self.series.read(now_s - back_s, now_s, endpoint=endpoint)
        return [*found.written, *found.latest]

    def fleet(self, generation: int) -> dict[str, tuple[int, int]]:
        """Requests and failures of each variant of a fleet."""
        found = self.series.fleet("e", generation)
        return {name: (counter.requests, counter.errors_of(5)) for name, counter in found.items()}

    def restart(self) -> None:
        """End all processes, as the next server's start does."""
        self.keeping.catch_up()
        for file in self.metrics.glob("*.json"):
            file.unlink()
        self.keeping = self.new_keeping()

    def requests(self, back_s: float = 10 * 365 * _DAY_S) -> int:
        return sum(datapoint.requests for datapoint in self.read(back_s))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def count(registry: Registry, requests: int, seconds: float = 0.25, variant: str = "v") -> None:
    registry.invocation("e", variant).count(seconds, seconds / 2, requests)
    registry.flush()


def test_a_minute_holds_what_all_gateways_counted_in_it(place: Place) -> None:
    one, two = Registry(place.metrics, "g0"), Registry(place.metrics, "g1")
    count(one, 3)
    count(two, 4)
    place.pass_time(MINUTE_S)
    count(one, 5)
    two.invocation("e", "v").count_error(0.5, "ModelError", 4, 0.125)
    two.invocation("e", "v").count_error(0.5, "ModelError", 5, 0.125)
    two.flush()
    place.pass_time(MINUTE_S)

    first, second = place.read()

    assert (first.begin_s, first.period_s, first.requests) == (NOON_S, MINUTE_S, 7)
    assert (second.begin_s, second.requests) == (NOON_S + MINUTE_S, 7)
    assert (second.errors_4xx, second.errors_5xx) == (1, 1)
    assert (first.counter.seconds, first.counter.model_seconds) == (7 * 0.25, 7 * 0.125)
    assert sum(first.counter.model) == sum(first.counter.overhead) == sum(first.counter.latency) == 7


def test_the_minute_that_is_not_over_is_there_already(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    count(registry, 2)
    (only,) = place.read()
    assert (only.begin_s, only.requests) == (NOON_S, 2)
    place.pass_time(MINUTE_S)
    count(registry, 3)
    assert [datapoint.requests for datapoint in place.read()] == [2, 3]


def test_what_is_idle_has_no_datapoints(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    count(registry, 1)
    for _ in range(5):
        place.pass_time(MINUTE_S)
    assert [datapoint.begin_s for datapoint in place.read()] == [NOON_S]


def test_variants_and_endpoints_are_told_apart(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    count(registry, 1, variant="a")
    count(registry, 2, variant="b")
    registry.invocation("other", "a").count(1.0)
    registry.flush()
    place.pass_time(MINUTE_S)
    found = {(datapoint.endpoint, datapoint.variant): datapoint.requests for datapoint in place.read()}
    assert found == {("e", "a"): 1, ("e", "b"): 2, ("other", "a"): 1}
    assert {datapoint.endpoint for datapoint in place.read(endpoint="other")} == {"other"}
    registry.invocation("other", "a").count(1.0)
    registry.flush()
    assert [datapoint.requests for datapoint in place.read(endpoint="other")] == [1, 1]


def test_a_killed_gateway_and_a_killed_keeper_lose_nothing_that_was_flushed(place: Place) -> None:
    count(Registry(place.metrics, "g0"), 3)
    place.pass_time(MINUTE_S)
    count(Registry(place.metrics, "g0"), 4)  # the next process in the slot goes on from its file
    place.keeping = place.new_keeping()
    assert place.requests() == 7
    place.pass_time(MINUTE_S)
    assert [datapoint.requests for datapoint in place.read()] == [3, 4]


def test_a_slot_that_begins_anew_is_not_taken_for_one_that_went_on(place: Place) -> None:
    count(Registry(place.metrics, "g0"), 3)
    place.pass_time(MINUTE_S)
    (place.metrics / "g0.json").unlink()
    count(Registry(place.metrics, "g0"), 10)  # more than before: no number went back
    place.pass_time(MINUTE_S)
    assert [datapoint.requests for datapoint in place.read()] == [3, 10]


def test_what_a_fleet_did_is_known_apart_from_that_of_other_fleets_over_restarts(place: Place) -> None:
    one, two = Registry(place.metrics, "g0"), Registry(place.metrics, "g1")
    one.invocation("e", "v", 3).count_error(0.25, "ModelError", 5)
    for registry in (one, two):
        registry.invocation("e", "v", 5).count(0.25, requests=2)
        registry.flush()
    place.pass_time(MINUTE_S)
    one.invocation("e", "v", 5).count(0.25)
    one.invocation("e", "w", 5).count_error(0.25, "ModelError", 5)
    one.flush()
    before = place.fleet(5)
    place.restart()

    assert before == place.fleet(5) == {"v": (5, 0), "w": (1, 1)}
    assert place.fleet(3) == {"v": (1, 1)}
    assert place.fleet(4) == {}
    assert place.requests() == 7


def test_what_many_fleets_did_is_not_kept_for_ever(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    for generation in range(1, 11):
        registry.invocation("e", "v", generation).count(0.25)
        registry.flush()
        place.pass_time(MINUTE_S)
    assert [place.fleet(generation) for generation in (1, 2, 10)] == [{}, {}, {"v": (1, 0)}]
    assert place.requests() == 10
    place.pass_time(place.keep_s + MINUTE_S)
    place.restart()
    place.pass_time(MINUTE_S)
    assert place.fleet(10) == {}


def test_a_file_of_the_release_before_is_read_on(place: Place) -> None:
    with closing(sqlite3.connect(place.file)) as connection:
        connection.execute("create table seen (slot text primary key, born integer, invocations blob)")
        connection.execute(
            "create table datapoints (endpoint text, variant text, begin_s, period_s, numbers)"
        )
        connection.execute("pragma user_version = 7")
    registry = Registry(place.metrics, "g0")
    registry.invocation("e", "v", 1).count(0.25)
    registry.flush()

    assert (place.requests(), place.fleet(1)) == (1, {"v": (1, 0)})


def test_a_restart_keeps_what_was_counted_last_in_its_minute(place: Place) -> None:
    count(Registry(place.metrics, "g0"), 3)
    os.utime(place.metrics / "g0.json", (NOON_S + 5, NOON_S + 5))
    place.clock.advance(600)
    place.new_keeping().catch_up()
    (place.metrics / "g0.json").unlink()
    assert [(datapoint.begin_s, datapoint.requests) for datapoint in place.read()] == [(NOON_S, 3)]
    place.new_keeping().catch_up()
    count(Registry(place.metrics, "g0"), 1)
    assert place.requests() == 4


def test_catching_up_twice_counts_once(place: Place) -> None:
    count(Registry(place.metrics, "g0"), 3)
    place.keeping.catch_up()
    place.keeping.catch_up()
    assert place.requests() == 3


def test_old_minutes_become_longer_ones_and_go_in_the_end(tmp_path: Path) -> None:
    place = Place(tmp_path, keep_s=4 * _DAY_S)
    registry = Registry(place.metrics, "g0")
    for _ in range(10):
        count(registry, 1)
        place.pass_time(MINUTE_S)
    assert {datapoint.period_s for datapoint in place.read()} == {60}
    place.pass_time(6 * 3600)
    assert {datapoint.period_s: datapoint.requests for datapoint in place.read(_DAY_S)} == {300: 5}
    assert place.requests() == 10
    place.pass_time(3 * _DAY_S)
    (only,) = place.read(4 * _DAY_S)
    assert (only.begin_s, only.period_s, only.requests) == (NOON_S, 3600, 10)
    place.pass_time(2 * _DAY_S)
    assert place.read(10 * _DAY_S) == []


def test_the_last_hour_is_there_in_minutes(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    for _ in range(75):
        count(registry, 1)
        place.pass_time(MINUTE_S)
    found = place.read()
    assert {datapoint.period_s for datapoint in found} == {60}
    assert len(found) == 60


def test_what_is_known_is_read_again_only_when_there_is_more(place: Place) -> None:
    count(registry := Registry(place.metrics, "g0"), 1)
    place.pass_time(MINUTE_S)
    now_s = place.clock.now().timestamp()
    first = place.series.read(0, now_s)
    again = place.series.read(0, now_s, known=first)
    assert again.written[0] is first.written[0]
    count(registry, 1)
    place.pass_time(MINUTE_S)
    assert [datapoint.requests for datapoint in place.series.read(0, now_s, known=first).written] == [1, 1]


def test_a_damaged_file_is_put_aside_and_the_series_begin_anew(place: Place) -> None:
    place.file.write_bytes(b"no database at all" * 100)
    count(Registry(place.metrics, "g0"), 2)
    place.pass_time(MINUTE_S)
    assert place.file.with_suffix(".damaged").exists()
    place.pass_time(MINUTE_S)
    assert place.requests() == 2


def test_what_cannot_be_written_now_is_written_later(place: Place) -> None:
    place.file.mkdir()  # nothing that can be opened
    count(Registry(place.metrics, "g0"), 2)
    place.pass_time(MINUTE_S)
    place.file.rmdir()
    place.keeping.look()
    assert place.requests() == 2


def test_a_file_without_tables_has_no_datapoints(place: Place) -> None:
    sqlite3.connect(place.file).close()
    place.file.touch()
    count(Registry(place.metrics, "g0"), 2)
    assert [datapoint.requests for datapoint in place.read()] == [2]


def test_quantiles_lie_in_the_bucket_of_the_request_that_they_mean() -> None:
    counter = InvocationCounter()
    assert quantile_s(counter.latency, 0.5) is None
    for _ in range(99):
        counter.count(0.00009)
    counter.count(0.4)
    median, tail = quantile_s(counter.latency, 0.5), quantile_s(counter.latency, 0.995)
    assert median is not None
    assert tail is not None
    assert 0.000075 < median <= 0.0001
    assert 0.2 < tail <= 0.5
    counter.count(1e6, requests=1000)
    assert quantile_s(counter.latency, 0.99) == FINE_BOUNDS_S[-1]


steps = st.lists(
    st.tuples(
        st.sampled_from(["count", "minute", "keeper", "gateway", "restart"]),
        st.sampled_from(["g0", "g1"]),
        st.integers(1, 5),
    ),
    max_size=30,
)


@settings(max_examples=20)
@given(steps)
def test_each_request_is_counted_once_whatever_restarts(
    tmp_path_factory: pytest.TempPathFactory, happened: list[tuple[str, str, int]]
) -> None:
    place = Place(tmp_path_factory.mktemp("series"))
    registries = {slot: Registry(place.metrics, slot) for slot in ("g0", "g1")}
    wanted = 0
    for what, slot, number in happened:
        if what == "count":
            count(registries[slot], number)
            wanted += number
        elif what == "minute":
            place.pass_time(MINUTE_S * number)
        elif what == "keeper":
            place.keeping = place.new_keeping()
        elif what == "gateway":
            registries[slot] = Registry(place.metrics, slot)
        else:
            place.keeping.catch_up()
            for file in place.metrics.glob("*.json"):
                file.unlink()
            place.keeping = place.new_keeping()
            registries = {slot: Registry(place.metrics, slot) for slot in registries}
        assert place.requests() == wanted
    place.clock.advance(timedelta(days=1).total_seconds())
    place.keeping.look()
    assert place.requests() == wanted
