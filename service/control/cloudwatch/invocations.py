"""The metrics of endpoints, as CloudWatch names them: made of what gateways have counted.

Source: contract E.1. Counts and totals are exact. Least, greatest and percentiles of latencies are as exact
as the buckets that they are counted in.
"""

from itertools import pairwise
from typing import Final

from service.domain.cloudwatch.statistics import Span, Summary
from service.observe.counter import FINE_BOUNDS_S, InvocationCounter

NAMESPACE: Final = "AWS/SageMaker"
ENDPOINT: Final = "EndpointName"
VARIANT: Final = "VariantName"
NAMES: Final = (
    "Invocations",
    "InvocationsPerInstance",
    "Invocation4XXErrors",
    "Invocation5XXErrors",
    "InvocationModelErrors",
    "ModelLatency",
    "OverheadLatency",
)

_MICRO: Final = 1e6
_LATENCIES: Final = ("ModelLatency", "OverheadLatency")
_BOUNDS: Final = tuple(bound * _MICRO for bound in FINE_BOUNDS_S)
_SPANS: Final[tuple[Span, ...]] = (*pairwise((0.0, *_BOUNDS)), (_BOUNDS[-1], _BOUNDS[-1]))


def unit_of(name: str) -> str:
    """The unit that AWS gives a metric."""
    return "Microseconds" if name in _LATENCIES else "None"


def summarize(name: str, counter: InvocationCounter, instances: int) -> Summary:
    """What a metric says of requests that were counted; there is at least one."""
    requests = counter.requests
    match name:
        case "Invocations":
            return _equal(requests, 1.0)
        case "InvocationsPerInstance":
            return _equal(requests, 1.0 / max(instances, 1))
        case "Invocation4XXErrors":
            return _some(counter.errors_of(4), requests)
        case "Invocation5XXErrors":
            return _some(counter.errors_of(5), requests)
        case "InvocationModelErrors":
            of_model = [number for (code, _), number in counter.errors.items() if code == "ModelError"]
            return _some(sum(of_model), requests)
        case "ModelLatency":
            return _latency(counter.model, counter.model_seconds)
        case _:
            return _latency(counter.overhead, counter.seconds - counter.model_seconds)


def _equal(requests: int, value: float) -> Summary:
    return Summary(requests, requests * value, value, value, {(value, value): requests})


def _some(errors: int, requests: int) -> Summary:
    """Each request counts 1 if it failed so, else 0."""
    good = requests - errors
    spans = {(value, value): float(count) for value, count in ((0.0, good), (1.0, errors)) if count}
    return Summary(requests, float(errors), 1.0 if not good else 0.0, 1.0 if errors else 0.0, spans)


def _latency(buckets: list[int], seconds: float) -> Summary:
    spans = {span: float(count) for span, count in zip(_SPANS, buckets, strict=True) if count}
    return Summary(sum(buckets), seconds * _MICRO, min(spans)[0], max(spans)[1], spans)
