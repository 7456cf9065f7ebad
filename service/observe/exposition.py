"""The counts of all processes as Prometheus text; no other file knows metric names or prometheus_client."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.log import get_logger
from service.observe.counter import BOUNDS_S, InvocationCounter
from service.observe.counts import (
    MAX_NAMES,
    Counts,
    Gauges,
    Registry,
    Snapshot,
    read_all,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The Content-Type of what `render` returns."""

_WELL = "InService"
_VARIANT = ("endpoint", "variant")
_GAUGES = {
    "cache_bytes": ("sagebird_model_cache_bytes", "Bytes held by loaded models, over all gateways."),
    "cache_budget_bytes": (
        "sagebird_model_cache_budget_bytes",
        "Bytes that loaded models may hold, over all gateways.",
    ),
    "models_loaded": ("sagebird_models_loaded", "Loaded models; one loaded in two gateways counts twice."),
    "in_flight": ("sagebird_requests_in_flight", "Requests being answered at this moment."),
}


def render(directory: Path, own: Registry, statuses: Mapping[str, str] | None = None) -> bytes:
    """The sums over all slots in `directory`, this process's own of this moment, as Prometheus text.

    `statuses` are those of the endpoints, by name.
    """
    try:
        # Written before it is shown: whichever process answers the next scrape knows at least these numbers.
        mine = own.flush()
    except OSError as error:
        get_logger(__name__).warning("metrics not written", slot=own.slot, reason=str(error))
        mine = own.snapshot()
    others = [snapshot for snapshot in read_all(directory) if snapshot.slot != own.slot]
    registry = CollectorRegistry()
    registry.register(_Sums([mine, *others], statuses or {}))
    return generate_latest(registry)


class _Sums(Collector):
    """Gives prometheus_client the sums over snapshots: counts of all of them, gauges of the live ones."""

    def __init__(self, snapshots: Iterable[Snapshot], statuses: Mapping[str, str]) -> None:
        self._statuses = statuses
        self._counts = Counts()
        self._live: list[Gauges] = []
        for snapshot in snapshots:
            self._counts.add(snapshot.counts)
            if snapshot.live:
                self._live.append(snapshot.gauges)

    def collect(self) -> Iterator[Metric]:
        counters = sorted(self._counts.invocations.items())
        yield from _collect_requests(counters)
        yield from _collect_errors(counters)
        yield _count_by(
            "sagebird_refused_requests",
            "Runtime requests that failed before they reached an endpoint.",
            ("code",),
            (((code,), number) for code, number in self._counts.refusals.items()),
        )
        yield from _collect_models(self._counts)
        yield from _collect_statuses(self._statuses)
        yield from self._collect_gauges()

    def _collect_gauges(self) -> Iterator[Metric]:
        for attribute, (name, text) in _GAUGES.items():
            yield GaugeMetricFamily(name, text, sum(getattr(gauges, attribute) for gauges in self._live))
        yield GaugeMetricFamily("sagebird_gateways", "Live gateway processes.", len(self._live))


_Counters = list[tuple[tuple[str, str], InvocationCounter]]


def _collect_requests(counters: _Counters) -> Iterator[Metric]:
    yield _count_by(
        "sagebird_invocations",
        "Requests sent to a variant, answered or not.",
        _VARIANT,
        ((pair, counter.requests) for pair, counter in counters),
    )
    latency = HistogramMetricFamily(
        "sagebird_invocation_seconds", "Latency of requests, overhead included.", labels=_VARIANT
    )
    ends = [*map(str, BOUNDS_S), "+Inf"]
    for pair, counter in counters:
        numbers = [float(number) for number in accumulate(counter.buckets)]
        latency.add_metric(pair, list(zip(ends, numbers, strict=True)), counter.seconds)
    yield latency
    yield _count_by(
        "sagebird_invocation_model_seconds",
        "The models' part of the latency; the rest of sagebird_invocation_seconds_sum is overhead.",
        _VARIANT,
        ((pair, counter.model_seconds) for pair, counter in counters),
    )


def _collect_errors(counters: _Counters) -> Iterator[Metric]:
    by_code: dict[tuple[str, ...], int] = {}
    by_class: dict[tuple[str, ...], int] = {}
    for pair, counter in counters:
        for (code, status_class), number in counter.errors.items():
            by_code[*pair, code] = by_code.get((*pair, code), 0) + number
            status = f"{status_class}xx"
            by_class[*pair, status] = by_class.get((*pair, status), 0) + number
    yield _count_by(
        "sagebird_invocation_errors",
        "Failed requests by AWS error code.",
        (*_VARIANT, "code"),
        by_code.items(),
    )
    yield _count_by(
        "sagebird_invocation_status_errors",
        "Failed requests by class of the status, for a ModelError of the container's status.",
        (*_VARIANT, "status"),
        by_class.items(),
    )


def _collect_statuses(statuses: Mapping[str, str]) -> Iterator[Metric]:
    """How many endpoints have each status, and the status of each; of very many those that are not well."""
    counts = GaugeMetricFamily("sagebird_endpoints", "Endpoints by status.", labels=("status",))
    for status, number in sorted(Counter([_WELL, *statuses.values()]).items()):
        counts.add_metric((status,), number - (status == _WELL))
    yield counts
    each = GaugeMetricFamily(
        "sagebird_endpoint_status",
        f"1 for the status that an endpoint has; of more than {MAX_NAMES} the {_WELL} ones may be left out.",
        labels=("endpoint", "status"),
    )
    ordered = sorted(statuses.items(), key=lambda item: (item[1] == _WELL, item[0]))
    for name, status in sorted(ordered[:MAX_NAMES]):
        each.add_metric((name, status), 1)
    yield each


def _collect_models(counts: Counts) -> Iterator[Metric]:
    yield _count_by(
        "sagebird_model_loads", "Attempts to load a model.", ("model", "outcome"), counts.loads.items()
    )
    yield _count_by(
        "sagebird_model_load_seconds",
        "Seconds spent on loading a model, failed attempts included.",
        ("model",),
        (((model,), seconds) for model, seconds in counts.load_seconds.items()),
    )
    yield _count_by(
        "sagebird_model_evictions", "Models unloaded.", ("model", "reason"), counts.evictions.items()
    )


def _count_by(
    name: str, text: str, labels: tuple[str, ...], numbers: Iterable[tuple[tuple[str, ...], float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in sorted(numbers):
        family.add_metric(values, number)
    return family
