"""Statistics of summaries: what adds up is exact, percentiles are within the width of a span."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.cloudwatch.statistics import (
    Sample,
    Summary,
    in_periods,
    is_statistic,
    span_of,
    statistic,
    summary_of,
    values_of,
    without_units,
)

_NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


def summary(*values: float) -> Summary:
    return summary_of(values, [1.0] * len(values))


@given(st.lists(_NUMBERS, min_size=1, max_size=50), st.lists(_NUMBERS, min_size=1, max_size=50))
def test_two_summaries_together_are_the_summary_of_all(one: list[float], other: list[float]) -> None:
    both, whole = summary(*one).plus(summary(*other)), summary(*one, *other)
    assert (both.count, both.least, both.greatest) == (whole.count, whole.least, whole.greatest)
    assert both.total == pytest.approx(whole.total, abs=1e-3)
    assert both.spans == whole.spans


@given(_NUMBERS)
def test_a_value_lies_in_its_span_of_one_per_cent(value: float) -> None:
    low, high = span_of(value)
    slack = abs(value) * 1e-9 + 1e-11
    assert low - slack <= value <= high + slack
    assert high - low <= abs(value) * 0.0101 + 1e-11


def test_percentiles_are_within_one_per_cent() -> None:
    chance = random.Random(7)
    values = sorted(chance.lognormvariate(0, 2) for _ in range(20_000))
    found = summary(*values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
        assert statistic(name, found) == pytest.approx(values[int(share * len(values)) - 1], rel=0.011)
    assert statistic("p0", found) == pytest.approx(values[0], rel=0.011)
    assert statistic("p100", found) == pytest.approx(values[-1], rel=0.011)


def test_plain_statistics_are_exact() -> None:
    found = summary_of([1.0, 4.0], [3.0, 1.0])
    told = {name: statistic(name, found) for name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")}
    assert told == {"SampleCount": 4.0, "Sum": 7.0, "Average": 1.75, "Minimum": 1.0, "Maximum": 4.0}


def test_a_percentile_of_what_was_told_in_sums_is_known_only_where_all_are_equal() -> None:
    told = Summary(10.0, 30.0, 1.0, 5.0)
    assert statistic("p50", told) is None
    assert statistic("p50", told.plus(summary(1.0))) is None
    assert statistic("p50", Summary(3.0, 6.0, 2.0, 2.0)) == 2.0


def test_never_more_spans_are_kept_than_a_thousand() -> None:
    found = summary(*(math.exp(number / 10) for number in range(-200, 200)), *range(1, 3000))
    assert len(found.spans) <= 1000
    assert sum(found.spans.values()) == found.count


@pytest.mark.parametrize("name", ["Sum", "p0", "p50", "p99.99", "p100"])
def test_names_that_are_known(name: str) -> None:
    assert is_statistic(name)


@pytest.mark.parametrize("name", ["sum", "p", "p101", "tm99", "p-1", "IQM", "p99.9x"])
def test_names_that_are_not(name: str) -> None:
    assert not is_statistic(name)


def test_samples_are_joined_by_periods_from_the_start_and_by_unit() -> None:
    samples = [
        Sample(at_s, unit, summary(value))
        for at_s, unit, value in (
            (59, "None", 1),
            (60, "None", 2),
            (179, "None", 3),
            (100, "Count", 4),
            (180, "None", 5),
        )
    ]
    found = in_periods(samples, 60, 180, 120)
    assert {key: each.total for key, each in found.items()} == {(60, "None"): 5.0, (60, "Count"): 4.0}
    assert list(values_of("Sum", without_units(found))) == [(60, 9.0)]
