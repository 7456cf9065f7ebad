"""Where metrics come from: what gateways counted, what variants used, and what clients told."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from service.control.cloudwatch import invocations
from service.control.cloudwatch.context import CloudWatchContext
from service.control.cloudwatch.instances import INSTANCE_NAMES, INSTANCE_UNIT, INSTANCES, used
from service.control.cloudwatch.invocations import ENDPOINT, NAMES, NAMESPACE, VARIANT
from service.domain.cloudwatch.statistics import Sample, Summary, in_periods, values_of, without_units
from service.errors import Unavailable
from service.observe.series import Datapoint
from service.store.samples import Dimensions, Metric

_MOST_SPANS: Final = 500_000  # some 100 MB

_Found = TypeVar("_Found")


class MetricWindow(NamedTuple):
    """What of a metric is asked for: of one unit or of any, by which periods from when until when."""

    metric: Metric
    unit: str | None
    start_s: int
    end_s: float
    period_s: int


class MetricReader:
    """Reads metrics for one question or one look, each once: who asks again gets what was read."""

    def __init__(self, context: CloudWatchContext) -> None:
        self._context = context
        self._periods: dict[MetricWindow, Mapping[int, Summary]] = {}
        self._values: dict[tuple[MetricWindow, str], Mapping[int, float]] = {}
        self._spans = 0

    def values(self, window: MetricWindow, name: str) -> Mapping[int, float]:
        """A statistic by when periods begin, where it is known. Raises: Unavailable."""
        key = (window, name)
        if key not in self._values:
            self._values[key] = dict(values_of(name, self._summaries(window)))
        return self._values[key]

    def _summaries(self, window: MetricWindow) -> Mapping[int, Summary]:
        if window not in self._periods:
            metric, unit, start_s, end_s, period_s = window
            samples = samples_of(self._context, metric, start_s, end_s)
            wanted = (sample for sample in samples if unit in (None, sample.unit))
            found = without_units(in_periods(wanted, start_s, end_s, period_s))
            if self._spans > _MOST_SPANS:  # what many metrics are made of is not held all at once
                self._periods.clear()
                self._spans = 0
            self._spans += sum(1 + len(summary.spans) for summary in found.values())
            self._periods[window] = found
        return self._periods[window]


def metric_of(namespace: str, name: str, dimensions: Sequence[dict[str, str]]) -> Metric:
    """A metric by the members that name it."""
    return Metric(namespace, name, tuple(sorted((each["Name"], each["Value"]) for each in dimensions)))


def dimensions_of(metric: Metric) -> list[dict[str, str]]:
    """The member that names a metric's dimensions."""
    return [{"Name": name, "Value": value} for name, value in metric.dimensions]


def samples_of(context: CloudWatchContext, metric: Metric, since_s: float, until_s: float) -> list[Sample]:
    """What is known of a metric, of times that begin from one moment up to before another.

    Raises: Unavailable.
    """
    if metric.namespace == NAMESPACE:
        return list(_counted(context, metric, since_s))
    measured = _measured(context, metric, since_s) if metric.namespace == INSTANCES else ()
    with context.kept.view() as view:
        return [*measured, *view.samples(metric, since_s, until_s)]


def all_metrics(context: CloudWatchContext, since_s: float) -> list[Metric]:
    """The metrics of which anything is known since then, in order. Raises: Unavailable."""
    pairs = {(each.endpoint, each.variant) for each in _datapoints(context, since_s)}
    counted = [Metric(NAMESPACE, name, _variant(*pair)) for pair in pairs for name in NAMES]
    seen = _readable(lambda: context.utilization.pairs(since_s))
    measured = [Metric(INSTANCES, name, _variant(*pair)) for pair in seen for name in INSTANCE_NAMES]
    with context.kept.view() as view:
        told = view.metrics(since_s)
    return sorted({*counted, *measured, *told})


def _counted(context: CloudWatchContext, metric: Metric, since_s: float) -> Iterator[Sample]:
    named = dict(metric.dimensions)
    pair = (named.get(ENDPOINT, ""), named.get(VARIANT, ""))
    if metric.name not in NAMES or metric.dimensions != _variant(*pair):
        return
    unit = invocations.unit_of(metric.name)
    instances = context.instances(*pair) if metric.name == "InvocationsPerInstance" else 1
    for each in _datapoints(context, since_s, pair[0]):
        if each.variant == pair[1]:
            yield Sample(each.begin_s, unit, invocations.summarize(metric.name, each.counter, instances))


def _measured(context: CloudWatchContext, metric: Metric, since_s: float) -> Iterator[Sample]:
    named = dict(metric.dimensions)
    pair = (named.get(ENDPOINT, ""), named.get(VARIANT, ""))
    if metric.name in INSTANCE_NAMES and metric.dimensions == _variant(*pair):
        for each in _readable(lambda: context.utilization.read(*pair, since_s)):
            yield Sample(each.begin_s, INSTANCE_UNIT, used(metric.name, each))


def _datapoints(context: CloudWatchContext, since_s: float, endpoint: str | None = None) -> list[Datapoint]:
    found = _readable(lambda: context.series.read(since_s, context.now_s, endpoint=endpoint))
    return [*found.written, *found.latest]


def _readable(read: Callable[[], _Found]) -> _Found:
    """What is read of the series. Raises: Unavailable."""
    try:
        return read()
    except sqlite3.Error as error:
        raise Unavailable("What was counted cannot be read now: try again.") from error


def _variant(endpoint: str, variant: str) -> Dimensions:
    return ((ENDPOINT, endpoint), (VARIANT, variant))
