"""Statistics of values of which sums are kept: how many, their total, the least, the greatest, and spans.

Spans are what percentiles are made out by: how many values lie between two bounds. Within one they are taken
to be evenly spread, so that a percentile is as exact as its span is narrow.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

Span = tuple[float, float]
"""A lower and an upper bound."""

# Values that are told one by one are kept by spans of one per cent.
_GROWTH: Final = math.log(1.01)
_MOST_SPANS: Final = 1_000
_SMALLEST: Final = 1e-12
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{0,10})?|100)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of some values; `spans` are empty where nobody told more than the other four."""

    count: float
    total: float
    least: float
    greatest: float
    spans: Mapping[Span, float] = field(default_factory=dict)

    def plus(self, other: "Summary") -> "Summary":
        """Both together."""
        return joined((self, other))


def joined(summaries: Sequence[Summary]) -> Summary:
    """One or more together. Percentiles of values of which some were told without spans are not known."""
    if len(summaries) == 1:
        return summaries[0]
    spans: dict[Span, float] = {}
    if all(each.spans for each in summaries):
        for each in summaries:
            for span, count in each.spans.items():
                spans[span] = spans.get(span, 0.0) + count
    return Summary(
        sum(each.count for each in summaries),
        sum(each.total for each in summaries),
        min(each.least for each in summaries),
        max(each.greatest for each in summaries),
        _narrowed(spans),
    )


def summary_of(values: Sequence[float], counts: Sequence[float]) -> Summary:
    """The summary of values, each of which was there so often; there is one at least, and it counts."""
    spans: dict[Span, float] = {}
    for value, count in zip(values, counts, strict=True):
        span = span_of(value)
        spans[span] = spans.get(span, 0.0) + count
    total = math.fsum(value * count for value, count in zip(values, counts, strict=True))
    return Summary(sum(counts), total, min(values), max(values), _narrowed(spans))


def span_of(value: float) -> Span:
    """The span of one per cent that a value lies in."""
    if abs(value) < _SMALLEST:
        return (0.0, 0.0)
    place = math.floor(math.log(abs(value)) / _GROWTH)
    low, high = math.exp(place * _GROWTH), math.exp((place + 1) * _GROWTH)
    return (low, high) if value > 0 else (-high, -low)


def _narrowed(spans: dict[Span, float]) -> dict[Span, float]:
    """No more spans than are kept: the lowest become one."""
    if len(spans) <= _MOST_SPANS:
        return spans
    ordered = sorted(spans)
    low = ordered[: len(ordered) - _MOST_SPANS + 1]
    kept = {span: spans[span] for span in ordered[len(low) :]}
    return {(low[0][0], low[-1][1]): sum(spans[span] for span in low), **kept}


def is_statistic(name: str) -> bool:
    """Whether `statistic` knows a name."""
    return name in _PLAIN or is_percentile(name)


def is_percentile(name: str) -> bool:
    """Whether it is the name of a percentile, as p99.9."""
    return _PERCENTILE.fullmatch(name) is not None


def statistic(name: str, summary: Summary) -> float | None:
    """A statistic by CloudWatch's name; None where nobody can tell it."""
    if name in _PLAIN:
        return _PLAIN[name](summary)
    return _percentile(float(name[1:]) / 100, summary)


def _percentile(share: float, summary: Summary) -> float | None:
    if summary.least == summary.greatest:
        return summary.least
    if not summary.spans:
        return None
    wanted = share * sum(summary.spans.values())
    until = 0.0
    found = summary.greatest
    for (low, high), count in sorted(summary.spans.items()):
        until += count
        if until >= wanted and count > 0:
            found = high - (high - low) * (until - wanted) / count
            break
    return min(max(found, summary.least), summary.greatest)


_PLAIN: Final = MappingProxyType[str, Callable[[Summary], float]](
    {
        "SampleCount": lambda summary: summary.count,
        "Sum": lambda summary: summary.total,
        "Average": lambda summary: summary.total / summary.count,
        "Minimum": lambda summary: summary.least,
        "Maximum": lambda summary: summary.greatest,
    }
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of the values of a time that begins at `begin_s`, and their unit."""

    begin_s: int
    unit: str
    summary: Summary


def in_periods(
    samples: Iterable[Sample], start_s: int, end_s: float, period_s: int
) -> dict[tuple[int, str], Summary]:
    """Samples that begin from `start_s` up to before `end_s`, joined by unit and by periods from then on."""
    found: dict[tuple[int, str], list[Summary]] = {}
    for sample in samples:
        if start_s <= sample.begin_s < end_s:
            begin_s = start_s + (sample.begin_s - start_s) // period_s * period_s
            found.setdefault((begin_s, sample.unit), []).append(sample.summary)
    return {key: joined(summaries) for key, summaries in found.items()}


def without_units(periods: Mapping[tuple[int, str], Summary]) -> dict[int, Summary]:
    """The same, whatever the unit."""
    found: dict[int, Summary] = {}
    for (begin_s, _), summary in periods.items():
        found[begin_s] = found[begin_s].plus(summary) if begin_s in found else summary
    return found


def values_of(name: str, periods: Mapping[int, Summary]) -> Iterator[tuple[int, float]]:
    """A statistic of each period in which it is known, in their order."""
    for begin_s in sorted(periods):
        value = statistic(name, periods[begin_s])
        if value is not None and math.isfinite(value):
            yield begin_s, value
