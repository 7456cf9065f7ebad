"""GetMetricStatistics, ListMetrics and PutMetricData."""

import base64
import binascii
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from service.control.cloudwatch.context import CloudWatchContext, CloudWatchFields
from service.control.cloudwatch.periods import check_period, count_periods, first_period, read_span
from service.control.cloudwatch.sources import all_metrics, dimensions_of, metric_of, samples_of
from service.domain.cloudwatch.statistics import (
    Sample,
    Summary,
    in_periods,
    is_percentile,
    statistic,
    summary_of,
)
from service.errors import ServiceFault
from service.store.samples import Metric, ToldSample

_MOST_DATAPOINTS: Final = 1_440
_PAGE: Final = 500
_ACTIVE_S: Final = 3 * 3600
_LISTED_S: Final = 14 * 86_400
_MOST_DATA: Final = 1_000
_MOST_VALUES: Final = 150
_OLD_S: Final = 14 * 86_400
_EARLY_S: Final = 2 * 3600
_MOST_NUMBER: Final = 2.0**360


def get_metric_statistics(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """GetMetricStatistics."""
    plain, percentiles = fields.get("Statistics", []), fields.get("ExtendedStatistics", [])
    if not plain and not percentiles:
        raise ServiceFault(
            "MissingParameter",
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        )
    for name in percentiles:
        if not is_percentile(name):
            raise ServiceFault(
                "InvalidParameterValue",
                f"The value {name} for parameter ExtendedStatistics is not supported: p99.9 and such are.",
            )
    period_s, span = fields["Period"], read_span(fields["StartTime"], fields["EndTime"], context.now_s)
    check_period(period_s)
    if (asked := count_periods(span, period_s)) > _MOST_DATAPOINTS:
        raise ServiceFault(
            "InvalidParameterCombination",
            f"You have requested up to {asked:,} datapoints, which exceeds the limit of {_MOST_DATAPOINTS:,}."
            " You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
        )
    metric = metric_of(fields["Namespace"], fields["MetricName"], fields.get("Dimensions", []))
    start_s = first_period(span, period_s)
    samples = samples_of(context, metric, start_s, span.end_s)
    periods = in_periods(_of_unit(samples, fields), start_s, span.end_s, period_s)
    told = [_datapoint(*key, periods[key], plain, percentiles) for key in sorted(periods)]
    return {"Label": metric.name, "Datapoints": told}


def _of_unit(samples: Sequence[Sample], fields: CloudWatchFields) -> Iterator[Sample]:
    unit = fields.get("Unit")
    return (sample for sample in samples if unit in (None, sample.unit))


def _datapoint(
    begin_s: int, unit: str, summary: Summary, plain: Sequence[str], percentiles: Sequence[str]
) -> dict[str, Any]:
    told: dict[str, Any] = {"Timestamp": begin_s, "Unit": unit}
    told |= {name: statistic(name, summary) for name in plain}
    extended = {name: statistic(name, summary) for name in percentiles}
    known = {name: value for name, value in extended.items() if value is not None}
    return {**told, "ExtendedStatistics": known} if known else told


# ListMetrics


def list_metrics(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """ListMetrics: those of the last two weeks, 500 on a page."""
    back_s = _ACTIVE_S if "RecentlyActive" in fields else _LISTED_S
    after = _read_token(fields["NextToken"]) if "NextToken" in fields else None
    filters = [(each["Name"], each.get("Value")) for each in fields.get("Dimensions", [])]
    found = [
        metric
        for metric in all_metrics(context, context.now_s - back_s)
        if fields.get("Namespace") in (None, metric.namespace)
        and fields.get("MetricName") in (None, metric.name)
        and all(_has(metric, *each) for each in filters)
        and (after is None or metric > after)
    ]
    told = [
        {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions_of(metric)}
        for metric in found[:_PAGE]
    ]
    more = {"NextToken": _token(found[_PAGE - 1])} if len(found) > _PAGE else {}
    return {"Metrics": told, **more}


def _has(metric: Metric, name: str, value: str | None) -> bool:
    return any(name == own and value in (None, of_own) for own, of_own in metric.dimensions)


def _token(metric: Metric) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([*metric])).decode()


def _read_token(token: str) -> Metric:
    try:
        namespace, name, dimensions = orjson.loads(base64.urlsafe_b64decode(token.encode()))
        return Metric(str(namespace), str(name), tuple((str(one), str(other)) for one, other in dimensions))
    except (ValueError, TypeError, binascii.Error):
        raise ServiceFault("InvalidParameterValue", "Request parameter NextToken is invalid.") from None


# PutMetricData


def put_metric_data(context: CloudWatchContext, fields: CloudWatchFields) -> None:
    """PutMetricData: kept when it is answered, all of it or nothing."""
    namespace = fields["Namespace"]
    if namespace.startswith("AWS/"):
        raise _invalid(f"The value {namespace} for parameter Namespace is invalid.")
    data = list(fields.get("MetricData", []))
    for group in fields.get("EntityMetricData", []):
        data += group.get("MetricData", [])
    if not data:
        raise ServiceFault("MissingParameter", "The parameter MetricData is required.")
    if len(data) > _MOST_DATA:
        raise _invalid(f"The collection MetricData must not have a size greater than {_MOST_DATA}.")
    now_s = context.now_s
    told = [
        _told(namespace, datum, f"MetricData.member.{number}", now_s) for number, datum in enumerate(data, 1)
    ]
    with context.kept.change() as change:
        change.put_samples(told, now_s)


def _told(namespace: str, datum: Mapping[str, Any], place: str, now_s: float) -> ToldSample:
    at_s = datum["Timestamp"].timestamp() if "Timestamp" in datum else now_s
    if not now_s - _OLD_S <= at_s <= now_s + _EARLY_S:
        raise _invalid(
            f"The parameter {place}.Timestamp must specify a time within the past two weeks, and no more "
            "than two hours in the future."
        )
    dimensions = datum.get("Dimensions", [])
    if len({each["Name"] for each in dimensions}) != len(dimensions):
        raise _invalid(f"No Dimension name in {place}.Dimensions may be there twice.")
    sample = Sample(int(at_s), datum.get("Unit", "None"), _summary(datum, place))
    period_s = 1 if datum.get("StorageResolution", 60) == 1 else 60
    return ToldSample(metric_of(namespace, datum["MetricName"], dimensions), sample, period_s)


def _summary(datum: Mapping[str, Any], place: str) -> Summary:
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if len(given) != 1:
        raise ServiceFault(
            "InvalidParameterCombination" if given else "MissingParameter",
            f"Exactly one of {place}.Value, {place}.Values and {place}.StatisticValues must be specified.",
        )
    if "StatisticValues" in datum:
        told = datum["StatisticValues"]
        numbers = [told["SampleCount"], told["Sum"], told["Minimum"], told["Maximum"]]
        least, greatest = numbers[2:]
        spans = {(least, greatest): numbers[0]} if least == greatest else {}
        summary = Summary(numbers[0], numbers[1], least, greatest, spans)
    else:
        values = datum.get("Values", [datum.get("Value")])
        counts = datum.get("Counts", [1.0] * len(values))
        if (
            not 0 < len(values) <= _MOST_VALUES
            or len(counts) != len(values)
            or min(counts) < 0
            or not sum(counts)
        ):
            raise _invalid(
                f"The parameters {place}.Values and {place}.Counts must be of one size, 150 at most."
            )
        numbers = [*values, *counts]
        _check_numbers(numbers, place)
        summary = summary_of(values, counts)
    _check_numbers(numbers, place)
    if summary.count <= 0 or summary.least > summary.greatest:
        raise _invalid(f"The parameter {place}.StatisticValues is of no values.")
    return replace(summary, count=float(summary.count))


def _check_numbers(numbers: Sequence[float], place: str) -> None:
    if not all(math.isfinite(number) and abs(number) <= _MOST_NUMBER for number in numbers):
        raise _invalid(f"The value of {place} must be a number from -2^360 to 2^360.")


def _invalid(text: str) -> ServiceFault:
    return ServiceFault("InvalidParameterValue", text)
