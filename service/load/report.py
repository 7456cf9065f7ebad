"""What a run says, as one document of plain values: shares, rates, percentiles, histograms, failures."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from service.load.binomial import bounds
from service.load.histogram import Histogram
from service.load.plan import Plan
from service.load.processes import LoadResult
from service.load.tally import Series

VERSION = 2
"""Of the document. It grows when a member changes its meaning or goes."""

NOBODY = "(none)"
"""What people see in place of a variant's name where failures name none."""

PERCENTILES: Mapping[str, float] = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99, "p999_s": 0.999}
_BUSY_CPU = 0.9
_LATE_S = 0.005
_LATE_PART = 0.1


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a run was about: the endpoint, the server's address, when it began, and the variants' weights.

    `weights` is None when they are not known; `note` says why, or what else a reader should know.
    """

    endpoint: str
    url: str
    began: datetime
    weights: Mapping[str, float] | None
    note: str = ""
    interrupted: bool = False


def make_report(occasion: Occasion, plan: Plan, result: LoadResult) -> dict[str, Any]:
    """The document. Times are in seconds, shares from 0 to 1; `variants` are in the order of the weights.

    Latencies are those of answers with a 2xx status, in an open loop counted from when the request was due.
    Each histogram bucket is (from, below, count). Shares count all requests, failed ones too. Failures that
    name no variant are a last one without a name, so that the variants add up to the total.
    """
    tally, duration_s = result.tally, result.counted_s
    answers = {name: series.latencies() for name, series in tally.series.items()}
    return {
        "version": VERSION,
        "endpoint": occasion.endpoint,
        "url": occasion.url,
        "began": occasion.began.isoformat(),
        "duration_s": duration_s,
        "interrupted": occasion.interrupted,
        "note": occasion.note,
        "plan": _plan(plan),
        "total": _total(result, answers),
        "variants": _variants(occasion, plan, result, answers),
        "stages": _stages(plan, result),
        "service": _latency(tally.service),
        "tester": _tester(plan, result),
    }


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "loop": "closed" if plan.rate is None else "open",
        "rate": plan.rate,
        "arrivals": None if plan.rate is None else "poisson" if plan.poisson else "even",
        "connections": plan.connections,
        "duration_s": plan.duration_s,
        "warm_up_s": plan.warm_up_s,
        "most_requests": plan.most_requests,
        "timeout_s": plan.timeout_s,
        "bodies": len(plan.bodies),
        "stages": [asdict(stage) for stage in plan.stages],
        "target_variant": plan.variant or None,
    }


def _total(result: LoadResult, answers: Mapping[str, Histogram]) -> dict[str, Any]:
    every, whole = Series(), Histogram()
    for series in result.tally.series.values():
        every.merge(series)
    for part in answers.values():
        whole.merge(part)
    return _figures(every, whole, result.counted_s, result.tally.interval_s) | {
        "unfinished": result.tally.unfinished
    }


def _figures(series: Series, latencies: Histogram, duration_s: float, interval_s: float) -> dict[str, Any]:
    failed = sum(errors.count for errors in series.errors.values())
    return {
        "requests": latencies.total + failed,
        "answers": latencies.total,
        "failed": failed,
        "errors": [
            {"code": code, "count": errors.count, "example": errors.example}
            for code, errors in sorted(series.errors.items(), key=lambda item: -item[1].count)
        ],
        "answers_per_second": latencies.total / duration_s if duration_s else 0.0,
        "latency": _latency(latencies),
        "timeline": _timeline(series, interval_s, duration_s),
    }


def _latency(latencies: Histogram) -> dict[str, Any]:
    values = latencies.percentiles(PERCENTILES.values())
    return {
        "mean_s": latencies.mean_s,
        **dict(zip(PERCENTILES, values, strict=True)),
        "max_s": latencies.largest_s,
        "histogram": latencies.rows(),
    }


def _timeline(series: Series, interval_s: float, duration_s: float) -> list[dict[str, Any]]:
    """What came of the requests that were due in each interval; the last one may be shorter."""
    intervals = math.ceil(duration_s / interval_s - 1e-9)
    rows = []
    for interval in range(intervals):
        part = series.answers.get(interval, Histogram())
        p50_s, p99_s = part.percentiles((0.5, 0.99))
        rows.append(
            {
                "at_s": interval * interval_s,
                "length_s": min(interval_s, duration_s - interval * interval_s),
                "answers": part.total,
                "failed": series.failed.get(interval, 0),
                "p50_s": p50_s,
                "p99_s": p99_s,
                "max_s": part.largest_s,
            }
        )
    return rows


def _stages(plan: Plan, result: LoadResult) -> list[dict[str, Any]]:
    """What came of the requests that were due in each stage; one that never began is left out."""
    rows, begins_s = [], 0.0
    for number, stage in enumerate(plan.stages):
        length_s = min(stage.duration_s, result.counted_s - begins_s)
        if length_s <= 0:
            break
        series = result.tally.stages.get(number, Series())
        figures = _figures(series, series.latencies(), length_s, length_s)
        del figures["timeline"]
        rows.append({"rate": stage.rate, "at_s": begins_s, "length_s": length_s} | figures)
        begins_s += stage.duration_s
    return rows


def _variants(
    occasion: Occasion, plan: Plan, result: LoadResult, answers: Mapping[str, Histogram]
) -> list[dict[str, Any]]:
    series, weights = result.tally.series, occasion.weights or {}
    names = [] if plan.variant else [*weights]
    names += sorted((name for name in series if name not in names), key=lambda name: (not name, name))
    rows = []
    for name in names:
        part, latencies = series.get(name, Series()), answers.get(name, Histogram())
        figures = _figures(part, latencies, result.counted_s, result.tally.interval_s)
        rows.append({"name": name, "weight": weights.get(name), "share": 0.0, "expected": None} | figures)
    asked = sum(row["requests"] for row in rows)
    picked = sum(row["requests"] for row in rows if row["name"])
    for row in rows:
        row["share"] = row["requests"] / asked if asked else 0.0
        if weights and not plan.variant and row["name"]:
            row["expected"] = _expected(row, picked, asked, sum(weights.values()))
    return rows


def _expected(row: Mapping[str, Any], picked: int, asked: int, weights: float) -> dict[str, Any] | None:
    """The share that a weight stands for, and what 95 % of runs of this length have.

    Weights share out what is `picked`, that is, what some variant got. All shares are of what was `asked`.
    """
    if not picked or not weights:
        return None
    share = (row["weight"] or 0.0) / weights
    lower, upper = bounds(picked, share)
    return {
        "share": share * picked / asked,
        "lower": lower / asked,
        "upper": upper / asked,
        "inside": lower <= row["requests"] <= upper,
    }


def _tester(plan: Plan, result: LoadResult) -> dict[str, Any]:
    late_s = result.tally.waits.percentile(0.99)
    busy = max(result.cpu_shares, default=0.0)
    limits = []
    if busy > _BUSY_CPU:
        limits.append(f"it used {busy:.0%} of a CPU: let more --processes share the work")
    if late_s > max(_LATE_S, _LATE_PART * result.tally.service.percentile(0.99)):
        limits.append(f"for lack of CPU it sent 1 % of the requests {late_s * 1e3:.0f} ms late or later")
    return {
        "processes": len(result.cpu_shares),
        "cpu_shares": list(result.cpu_shares),
        "lateness_p99_s": late_s,
        "lateness_max_s": result.tally.waits.largest_s,
        "most_backlog": result.tally.most_backlog,
        "was_the_limit": bool(limits),
        "limits": limits,
    }
