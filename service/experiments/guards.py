"""What a challenger must not do whatever its outcomes: fail more often, or answer later, than the control."""

from collections.abc import Mapping, Sequence
from math import inf, log

from service.experiments.intervals import difference_interval
from service.experiments.proportions import log_evidence_share
from service.experiments.sums import Sums
from service.experiments.words import as_range

ALPHA = 0.01
"""Of challengers that are no worse, so many ever break a rail."""

SLOW_SHARE = 0.99
"""The quantile of latencies that is compared."""

Bucket = tuple[float, float, int]
"""Latencies from, below, and how many."""


def failure_warnings(control: str, failures: Mapping[str, Sequence[Sums]]) -> dict[str, str]:
    """A sentence for each challenger that surely fails more often, by its name.

    `failures` are requests as 1 (failed) or 0, by variant and period of unchanged weights.
    """
    warnings = {}
    for name in (name for name in failures if name != control):
        interval = difference_interval(failures[control], failures[name], True, ALPHA)
        if interval is not None and interval.lower > 0:
            how = as_range(interval.lower, interval.upper, True)
            warnings[name] = f"{name} fails more often than {control}: by {how}."
    return warnings


def latency_warnings(control: str, latencies: Mapping[str, Sequence[Bucket]]) -> dict[str, str]:
    """A sentence for each challenger whose slowest hundredth is surely slower, from ascending buckets."""
    lowest, highest = quantile_interval(latencies[control], SLOW_SHARE, ALPHA / 2)
    warnings = {}
    for name in (name for name in latencies if name != control):
        lower, upper = quantile_interval(latencies[name], SLOW_SHARE, ALPHA / 2)
        if lower > highest:
            times = f"{_milliseconds(lower, upper)} against {_milliseconds(lowest, highest)}"
            warnings[name] = f"{name} answers later than {control}: p99 {times}."
    return warnings


def quantile_interval(buckets: Sequence[Bucket], share: float, alpha: float) -> tuple[float, float]:
    """Between which values a quantile is, at any time; (0, inf) if nothing is known.

    How many values are at most the true quantile is a count of yes-or-no outcomes of probability `share`: the
    counts that are not excluded are ranks. Source: Howard, Ramdas, "Sequential estimation of quantiles with
    applications to A/B testing and best-arm identification" (2022), with another bound.
    """
    count = sum(number for _, _, number in buckets)
    middle = round(share * count)
    first, last = (_last_left(count, middle, end, share, alpha) for end in (0, count))
    lower = _at_rank(buckets, first)[0] if first > 0 else 0.0
    upper = _at_rank(buckets, last + 1)[1] if last < count else inf
    return lower, upper


def _last_left(count: int, inside: int, outside: int, share: float, alpha: float) -> int:
    """The last rank, on the way from `inside` to `outside`, that is not excluded."""

    def is_excluded(rank: int) -> bool:
        return log_evidence_share(rank, count, share) > -log(alpha)

    if not is_excluded(outside):
        return outside
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (inside, middle) if is_excluded(middle) else (middle, outside)
    return inside


def _at_rank(buckets: Sequence[Bucket], rank: int) -> tuple[float, float]:
    passed = 0
    for low, high, number in buckets:
        passed += number
        if passed >= rank:
            return low, high
    return 0.0, inf


def _milliseconds(lower_s: float, upper_s: float) -> str:
    return as_range(lower_s * 1e3, upper_s * 1e3, False) + " ms"
