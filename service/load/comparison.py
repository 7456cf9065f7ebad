"""A run beside an earlier one: what has surely become slower or faster, and what fails more often."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.experiments.guards import SLOW_SHARE, quantile_interval
from service.experiments.intervals import difference_interval
from service.experiments.sums import Sums, count_up
from service.experiments.words import as_range

_ALPHA = 0.05


def compare_runs(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The whole, and each variant that both runs have: figures of both, and a sentence for what changed.

    Both are documents of report.py.
    """
    rows = [_beside("total", now["total"], before["total"])]
    earlier = {variant["name"]: variant for variant in before["variants"] if variant["name"]}
    for variant in now["variants"]:
        if variant["name"] in earlier:
            rows.append(_beside(variant["name"], variant, earlier[variant["name"]]))
    return rows


def _beside(name: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "now": _figures(now),
        "before": _figures(before),
        "changes": [*_slower(now, before), *_failing(now, before)],
    }


def _figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    latency = figures["latency"]
    return {
        "requests": figures["requests"],
        "failed": figures["failed"],
        "answers_per_second": figures["answers_per_second"],
        "p50_s": latency["p50_s"],
        "p99_s": latency["p99_s"],
    }


def _slower(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    for title, share in (("p50", 0.5), ("p99", SLOW_SHARE)):
        low, high = quantile_interval(now["latency"]["histogram"], share, _ALPHA / 2)
        lowest, highest = quantile_interval(before["latency"]["histogram"], share, _ALPHA / 2)
        if low > highest or high < lowest:
            word = "longer" if low > highest else "shorter"
            spans = [
                f"{as_range(one * 1e3, two * 1e3, False)} ms" for one, two in ((low, high), (lowest, highest))
            ]
            yield f"{title} is {word}: {spans[0]}, before {spans[1]}"


def _failing(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    interval = difference_interval([_failures(before)], [_failures(now)], True, _ALPHA)
    if interval is not None and (interval.lower > 0 or interval.upper < 0):
        near, far = sorted((abs(interval.lower), abs(interval.upper)))
        yield f"fails {'more' if interval.lower > 0 else 'less'} often, by {as_range(near, far, True)}"


def _failures(figures: Mapping[str, Any]) -> Sums:
    return count_up(figures["failed"], figures["requests"])
