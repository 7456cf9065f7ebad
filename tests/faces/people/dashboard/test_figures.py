"""VariantRates, sums and curves of the last hour: the numbers that the dashboard shows."""

from pathlib import Path

import pytest

from service.faces.people.dashboard.figures import Hour, VariantRates
from service.faces.people.dashboard.render import write_ms, write_rate, write_size
from service.observe.counts import Registry
from service.observe.series import MINUTE_S, SeriesKeeping, VariantSeries
from tests.observe.test_series import NOON_S, Place

_PAIR = ("e", "v")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _hour(place: Place) -> Hour:
    hour, now_s = Hour(), place.clock.now().timestamp()
    hour.take(place.series.read(now_s - 3600, now_s), now_s)
    return hour


def test_an_hour_sums_what_is_written_and_what_is_not(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    counter = registry.invocation(*_PAIR)
    counter.count(0.002, 0.001, 50)
    registry.flush()
    place.pass_time(MINUTE_S)
    counter.count_error(4.0, "ModelError", 5, 0.001)
    registry.invocation("e", "w").count_error(0.002, "ModelError", 4)
    registry.flush()
    place.clock.advance(30)

    sums, every = _hour(place).sums(_PAIR), _hour(place).sums()

    assert (sums.requests, sums.errors_4xx, sums.errors_5xx, sums.errors) == (51, 0, 1, 1)
    assert sums.p50_ms is not None
    assert sums.p99_ms is not None
    assert 1.5 <= sums.p50_ms <= 2.0 < sums.p99_ms <= 5000
    assert (every.requests, every.errors_4xx, every.errors_5xx) == (52, 1, 1)
    assert _hour(place).sums(("e", "unknown")).p50_ms is None


def test_curves_have_sixty_minutes_of_which_the_last_is_not_over(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    registry.invocation(*_PAIR).count(0.002, 0.001, 120)
    registry.flush()
    place.pass_time(MINUTE_S)
    registry.invocation(*_PAIR).count_error(0.002, "ModelError", 4)
    registry.flush()
    place.clock.advance(10)

    hour = _hour(place)
    curves = hour.curves(_PAIR)

    assert hour.minutes()[-2:] == [NOON_S, NOON_S + MINUTE_S]
    assert {len(curve) for curve in curves.values()} == {60} == {len(hour.minutes())}
    assert (curves["rate"][-3:], curves["errors"][-3:]) == ([0.0, 2.0, 0.1], [0.0, 0.0, 0.1])
    assert curves["p50"][-3] is None
    assert curves["p50"][-2] == pytest.approx(1.75)


def test_a_minute_that_has_just_begun_tells_no_rate_yet(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    registry.invocation(*_PAIR).count(0.002)
    registry.flush()
    place.clock.advance(1)
    curves = _hour(place).curves(_PAIR)
    assert (curves["rate"][-1], curves["errors"][-1]) == (None, None)
    assert curves["p50"][-1] is not None


def test_rates_are_of_the_last_seconds_over_all_slots(place: Place) -> None:
    registries = [Registry(place.metrics, slot) for slot in ("g0", "g1")]
    rates = VariantRates()
    assert rates.of([each.snapshot() for each in registries], 0.0) == {}
    for each in registries:
        each.invocation(*_PAIR).count(0.1, 0.1, 10)
    assert rates.of([each.snapshot() for each in registries], 2.0) == {_PAIR: 10.0}
    assert rates.of([each.snapshot() for each in registries], 6.0) == {_PAIR: 0.0}
    assert rates.of([each.snapshot() for each in registries], 60.0) == {}


def test_the_minute_of_a_restart_is_put_together(place: Place) -> None:
    registry = Registry(place.metrics, "g0")
    registry.invocation(*_PAIR).count(0.1, 0.1, 10)
    registry.flush()
    SeriesKeeping(place.file, place.metrics, place.keep_s, place.clock.now).catch_up()
    registry.invocation(*_PAIR).count(0.1, 0.1, 10)
    registry.flush()
    place.clock.advance(10)
    assert VariantSeries(place.file, place.metrics).read(0, NOON_S + 10).latest[0].requests == 10
    assert _hour(place).curves(_PAIR)["rate"][-1] == 2.0


@pytest.mark.parametrize(
    ("write", "number", "text"),
    [
        (write_ms, None, "\u2013"),
        (write_ms, 0.0843, "84 µs"),
        (write_ms, 1.234, "1.23 ms"),
        (write_ms, 1234.0, "1.23 s"),
        (write_rate, None, "\u2013"),
        (write_rate, 0.0, "0"),
        (write_rate, 1.25, "1.2"),
        (write_rate, 12345.6, "12,346"),
        (write_size, 512, "512 B"),
        (write_size, 1536, "1.5 kB"),
        (write_size, 20 << 20, "20 MB"),
    ],
)
def test_numbers_are_written_in_the_unit_that_reads_best(write: object, number: float, text: str) -> None:
    assert callable(write)
    assert write(number) == text
