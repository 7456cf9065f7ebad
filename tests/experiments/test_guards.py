from math import inf

from service.experiments.guards import failure_warnings, latency_warnings, quantile_interval
from service.experiments.sums import count_up


def buckets(count: int, first_ms: int, last_ms: int) -> list[tuple[float, float, int]]:
    """So many latencies in each millisecond of a span."""
    return [(at / 1e3, (at + 1) / 1e3, count) for at in range(first_ms, last_ms)]


def test_a_quantile_is_where_ranks_are_not_excluded() -> None:
    lower, upper = quantile_interval(buckets(100, 0, 100), 0.5, 0.05)

    assert lower < 0.050 < upper
    assert upper - lower < 0.06
    narrow = quantile_interval(buckets(100_000, 0, 100), 0.5, 0.05)
    assert lower < narrow[0] <= 0.050 <= narrow[1] < upper


def test_of_few_values_a_quantile_may_be_almost_anything() -> None:
    assert quantile_interval([], 0.5, 0.01) == (0.0, inf)
    assert quantile_interval([(0.001, 0.002, 3)], 0.5, 0.01) == (0.0, inf)
    assert quantile_interval([(0.001, 0.002, 3)], 0.99, 0.01) == (0.001, inf)  # three of three are not above


def test_of_some_the_slowest_hundredth_has_no_end() -> None:
    lower, upper = quantile_interval(buckets(2, 0, 100), 0.99, 0.01)

    assert lower > 0.05
    assert upper == inf


def test_who_is_surely_slower_or_fails_more_often_is_named() -> None:
    slow = {"a": buckets(200, 1, 11), "b": buckets(200, 11, 21), "c": buckets(200, 1, 11)}
    fails = {"a": [count_up(3, 2_000)], "b": [count_up(200, 2_000)], "c": [count_up(4, 2_000)]}

    ((slower, later),) = latency_warnings("a", slow).items()
    ((failing, often),) = failure_warnings("a", fails).items()

    assert (slower, failing) == ("b", "b")
    assert later.startswith("b answers later than a: p99 ")
    assert later.endswith(" ms.")
    assert often.startswith("b fails more often than a: by ")
    assert often.endswith(" points.")


def test_who_is_faster_and_never_fails_breaks_no_rail() -> None:
    assert latency_warnings("a", {"a": buckets(200, 11, 21), "b": buckets(200, 1, 11)}) == {}
    assert failure_warnings("a", {"a": [count_up(200, 2_000)], "b": [count_up(0, 2_000)]}) == {}


def test_slowness_without_an_end_is_said_as_at_least() -> None:
    (later,) = latency_warnings("a", {"a": buckets(2_000, 1, 2), "b": buckets(2, 100, 200)}).values()

    assert "p99 at least " in later
