"""What came of a run: answers, errors and latencies per variant and interval. Merges over processes."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.load import histogram
from service.load.histogram import Histogram

MOST_INTERVALS = 60
SHORT_S = 0.25
"""The interval of a run of which nobody knows how long it takes; it is coarsened in the end."""

_ROUNDING_S = 1e-6  # of times since the machine started, which a stage's first request is due at
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

    def answer(self, interval: int, latency_s: float) -> None:
        """Count an answer."""
        part = self.answers.get(interval)
        if part is None:
            part = self.answers[interval] = Histogram()
        part.add(latency_s)

    def fail(self, interval: int, code: str, example: str) -> None:
        """Count a failed request."""
        self.errors.setdefault(code, Errors(0, example)).count += 1
        self.failed[interval] = self.failed.get(interval, 0) + 1

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
        stages: by the number of the stage that a request was due in; nothing if there are no `stage_ends_s`.
        answers: what each variant first answered to each body, by its number, where that is kept.
    """

    interval_s: float
    series: dict[str, Series] = field(default_factory=dict)
    waits: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    most_backlog: int = 0
    unfinished: int = 0
    answered: int = 0
    failed: int = 0
    stages: dict[int, Series] = field(default_factory=dict)
    answers: dict[str, dict[int, bytes]] = field(default_factory=dict)
    stage_ends_s: Sequence[float] = ()

    def answer(self, variant: str, at_s: float, latency_s: float) -> None:
        """Count an answer to a request that was due `at_s` seconds after the start."""
        series = self.series.get(variant)
        if series is None:
            series = self.series[variant] = Series()
        series.answer(int(at_s / self.interval_s), latency_s)
        if self.stage_ends_s:
            self._stage(at_s).answer(0, latency_s)
        self.answered += 1

    def keep(self, variant: str, body: int, answer: bytes) -> None:
        """Keep what a variant answered to a body, if it is the first time."""
        self.answers.setdefault(variant, {}).setdefault(body, answer)

    def fail(self, variant: str, at_s: float, code: str, example: str) -> None:
        """Count a failed request that was due `at_s` seconds after the start."""
        self.series.setdefault(variant, Series()).fail(int(at_s / self.interval_s), code, example)
        if self.stage_ends_s:
            self._stage(at_s).fail(0, code, example)
        self.failed += 1

    def _stage(self, at_s: float) -> Series:
        number = min(bisect_right(self.stage_ends_s, at_s + _ROUNDING_S), len(self.stage_ends_s) - 1)
        return self.stages.setdefault(number, Series())

    def merge(self, other: "Tally") -> None:
        """Add what another process counted, over the same intervals."""
        for name, series in other.series.items():
            self.series.setdefault(name, Series()).merge(series)
        for number, series in other.stages.items():
            self.stages.setdefault(number, Series()).merge(series)
        for name, answers in other.answers.items():
            self.answers[name] = answers | self.answers.get(name, {})
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
            "stages": [(number, _dump_series(series)) for number, series in self.stages.items()],
            "answers": {
                name: [(body, answer.decode("latin-1")) for body, answer in answers.items()]
                for name, answers in self.answers.items()
            },
        }


def load(document: Mapping[str, Any]) -> Tally:
    """The tally that `Tally.dump` wrote down."""
    parts = {
        "series": {name: _load_series(series) for name, series in document["series"].items()},
        "waits": histogram.load(document["waits"]),
        "service": histogram.load(document["service"]),
        "stages": {number: _load_series(series) for number, series in document["stages"]},
        "answers": {
            name: {body: answer.encode("latin-1") for body, answer in answers}
            for name, answers in document["answers"].items()
        },
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
