import json
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from service.load import histogram
from service.load.histogram import ERROR, Histogram

_LATENCIES = st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=200)
_SHARES = st.floats(0, 1)


def _of(values: list[float]) -> Histogram:
    counted = Histogram()
    for value in values:
        counted.add(value)
    return counted


@given(_LATENCIES, _SHARES)
def test_every_percentile_is_within_one_percent_of_the_exact_one(values: list[float], share: float) -> None:
    exact = sorted(values)[max(0, ceil(share * len(values)) - 1)]

    assert abs(_of(values).percentile(share) - exact) <= ERROR * exact * (1 + 1e-9)


@given(_LATENCIES, _LATENCIES)
def test_what_is_merged_equals_what_is_counted_together(ones: list[float], others: list[float]) -> None:
    merged, together = _of(ones), _of(ones + others)
    merged.merge(_of(others))

    assert (merged.counts, merged.total, merged.largest_s) == (
        together.counts,
        together.total,
        together.largest_s,
    )
    assert abs(merged.sum_s - together.sum_s) <= 1e-9 * together.sum_s


@given(st.lists(st.floats(0, 1e300)))
def test_no_latency_makes_more_than_1273_buckets_or_an_error(values: list[float]) -> None:
    counted = _of(values)

    assert counted.total == len(values)
    assert all(0 <= bucket < 1273 for bucket in counted.counts)


@given(_LATENCIES)
def test_rows_hold_each_latency_once_between_their_bounds(values: list[float]) -> None:
    rows = _of(values).rows()

    assert sum(count for _, _, count in rows) == len(values)
    assert rows[0][0] <= min(values) * (1 + 1e-9)
    assert rows[-1][1] >= max(values) * (1 - 1e-9)
    assert [low for low, _, _ in rows] == sorted(low for low, _, _ in rows)


@given(_LATENCIES)
def test_json_keeps_all_of_it(values: list[float]) -> None:
    counted = _of(values)

    assert histogram.load(json.loads(json.dumps(counted.dump()))) == counted


def test_nothing_counted_has_percentiles_of_zero() -> None:
    assert Histogram().percentiles((0, 0.5, 1)) == [0, 0, 0]
    assert Histogram().mean_s == 0
    assert Histogram().rows() == []


def test_the_largest_latency_and_the_mean_are_exact() -> None:
    counted = _of([0.001, 0.002, 0.006])

    assert counted.largest_s == 0.006
    assert abs(counted.mean_s - 0.003) < 1e-12
    assert counted.percentile(1) <= 0.006
