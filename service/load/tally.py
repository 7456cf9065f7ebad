"""What came of a run: answers, errors and latencies per variant and interval. Merges over processes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.load import histogram
from service.load.histogram import Histogram

MOST_INTERVALS = 60
SHORT_S = 0.25
"""The interval of a run of which nobody knows how long it takes; it is coarsened in the end."""

_NICE_S = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900)


@dataclass(slots=True)
class Errors:
    """Failed requests of one code, and what the first of them was told."""

    count: int
    example: str


@dataclass(slots=True)
class Series:
    """One variant: latencies of its answers by interval, failed requests by interval and by code."""

    answers: dict[int, Histogram] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)
    errors: dict[str, Errors] = field(default_factory=dict)

    def latencies(self) -> Histogram:
        """The latencies of the whole run."""
        whole = Histogram()
        for part in self.answers.values():
            whole.merge(part)
        return whole

    def coarser(self, factor: int) -> "Series":
        """The same with every `factor` intervals as one."""
        whole = Series(errors=self.errors)
        for interval, part in self.answers.items():
            whole.answers.setdefault(interval // factor, Histogram()).merge(part)
        for interval, count in self.failed.items():
            whole.failed[interval // factor] = whole.failed.get(interval // factor, 0) + count
        return whole

    def merge(self, other: "Series") -> None:
        """Add what another process saw."""
        for interval, part in other.answers.items():
            self.answers.setdefault(interval, Histogram()).merge(part)
        for interval, count in other.failed.items():
            self.failed[interval] = self.failed.get(interval, 0) + count
        for code, errors in other.errors.items():
            self.errors.setdefault(code, Errors(0, errors.example)).count += errors.count


@dataclass(slots=True)
class Tally:
    """Everything that is counted in a run.

    Args:
        interval_s: length of the intervals that latencies are kept by.
        series: by the variant's name; "" for failures whose answer names none.
        waits: open loop: how long requests were due before the tester sent them although a connection was
            free, in seconds. That is the tester's own lateness.
        service: times from sending to the answer, in seconds; the latencies of `series` count from when due.
        most_backlog: most requests that were due at one time and found no free connection.
        unfinished: requests that were not answered because the run was ended early. Not errors.
    """

    interval_s: float
    series: dict[str, Series] = field(default_factory=dict)
    waits: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    most_backlog: int = 0
    unfinished: int = 0
    answered: int = 0
    failed: int = 0

    def answer(self, variant: str, at_s: float, latency_s: float) -> None:
        """Count an answer to a request that was due `at_s` seconds after the start."""
        series = self.series.get(variant)
        if series is None:
            series = self.series[variant] = Series()
        interval = int(at_s / self.interval_s)
        part = series.answers.get(interval)
        if part is None:
            part = series.answers[interval] = Histogram()
        part.add(latency_s)
        self.answered += 1

    def fail(self, variant: str, at_s: float, code: str, example: str) -> None:
        """Count a failed request that was due `at_s` seconds after the start."""
        series = self.series.setdefault(variant, Series())
        series.errors.setdefault(code, Errors(0, example)).count += 1
        interval = int(at_s / self.interval_s)
        series.failed[interval] = series.failed.get(interval, 0) + 1
        self.failed += 1

    def merge(self, other: "Tally") -> None:
        """Add what another process counted, over the same intervals."""
        for name, series in other.series.items():
            self.series.setdefault(name, Series()).merge(series)
        self.waits.merge(other.waits)
        self.service.merge(other.service)
        self.most_backlog += other.most_backlog
        self.unfinished += other.unfinished
        self.answered += other.answered
        self.failed += other.failed

    def coarsen(self, duration_s: float) -> None:
        """Join so many intervals to one each that a run of this length has not too many of them."""
        factor = math.ceil(duration_s / self.interval_s / MOST_INTERVALS)
        if factor <= 1:
            return
        self.interval_s *= factor
        for name, series in self.series.items():
            self.series[name] = series.coarser(factor)

    def dump(self) -> dict[str, Any]:
        """The tally as JSON can hold it."""
        return {
            "interval_s": self.interval_s,
            "series": {name: _dump_series(series) for name, series in self.series.items()},
            "waits": self.waits.dump(),
            "service": self.service.dump(),
            "most_backlog": self.most_backlog,
            "unfinished": self.unfinished,
            "answered": self.answered,
            "failed": self.failed,
        }


def load(document: Mapping[str, Any]) -> Tally:
    """The tally that `Tally.dump` wrote down."""
    parts = {
        "series": {name: _load_series(series) for name, series in document["series"].items()},
        "waits": histogram.load(document["waits"]),
        "service": histogram.load(document["service"]),
    }
    return Tally(**{**document, **parts})


def interval_for(duration_s: float) -> float:
    """A round length that cuts a run into at most MOST_INTERVALS intervals."""
    fitting = (nice_s for nice_s in _NICE_S if duration_s / nice_s <= MOST_INTERVALS)
    return next(fitting, duration_s / MOST_INTERVALS)


def _dump_series(series: Series) -> dict[str, Any]:
    return {
        "answers": [(interval, part.dump()) for interval, part in series.answers.items()],
        "failed": list(series.failed.items()),
        "errors": {code: (errors.count, errors.example) for code, errors in series.errors.items()},
    }


def _load_series(document: Mapping[str, Any]) -> Series:
    return Series(
        {interval: histogram.load(part) for interval, part in document["answers"]},
        dict(document["failed"]),
        {code: Errors(*errors) for code, errors in document["errors"].items()},
    )
