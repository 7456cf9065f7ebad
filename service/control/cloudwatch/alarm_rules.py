"""Which alarms can be kept: what PutMetricAlarm may ask for, and what is refused with its reason."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from service.control.cloudwatch.context import CloudWatchFields
from service.control.cloudwatch.data import check_queries
from service.control.cloudwatch.periods import check_period
from service.domain.cloudwatch.alarm import COMPARISONS, TREATMENTS, Rule
from service.domain.cloudwatch.statistics import is_percentile
from service.errors import ServiceFault

_DAY_S: Final = 86_400
_WEEK_S: Final = 7 * _DAY_S
_HOUR_S: Final = 3_600
_ALARM_PERIODS_S: Final = (10, 20, 30)
_MOST_METRICS: Final = 10
_OF_A_METRIC: Final = ("MetricName", "Namespace", "Period")
# What alarms of other kinds have: bands that somebody would have to learn, PromQL, windows.
_NOT_SERVED: Final = (
    "ThresholdMetricId",
    "EvaluationCriteria",
    "EvaluationInterval",
    "EvaluationWindow",
    "WarmUpConfiguration",
)


def rule_of(given: Mapping[str, Any]) -> Rule:
    """When an alarm is one."""
    needed = given["EvaluationPeriods"]
    return Rule(
        given["ComparisonOperator"],
        given["Threshold"],
        needed,
        given.get("DatapointsToAlarm", needed),
        given.get("TreatMissingData", "missing"),
    )


def period_of(given: Mapping[str, Any]) -> int:
    """By which periods an alarm is judged: the longest of its metrics."""
    if "Period" in given:
        return int(given["Period"])
    return max(int(each["MetricStat"]["Period"]) for each in given["Metrics"] if "MetricStat" in each)


def check_alarm(fields: CloudWatchFields) -> None:
    """Raise ServiceFault for what PutMetricAlarm does not take."""
    for name in _NOT_SERVED:
        if name in fields:
            raise _refused(
                f"{name} is not served by sagebird: alarms are on a metric and a number, or on metric math."
            )
    for name in ("EvaluationPeriods", "ComparisonOperator", "Threshold"):
        if name not in fields:
            raise ServiceFault("MissingParameter", f"The request must contain the parameter {name}")
    if not isfinite(fields["Threshold"]):
        raise _refused("Threshold must be a number")
    if fields["ComparisonOperator"] not in COMPARISONS:
        raise _refused(
            f"ComparisonOperator {fields['ComparisonOperator']} needs a band, which sagebird does not serve."
        )
    if fields.get("TreatMissingData", "missing") not in TREATMENTS:
        raise _refused("TreatMissingData must be one of breaching, notBreaching, ignore and missing")
    if fields.get("DatapointsToAlarm", 1) > fields["EvaluationPeriods"]:
        raise _refused("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
    if "Metrics" in fields:
        _check_math(fields)
    else:
        _check_metric(fields)
    _check_length(period_of(fields), fields["EvaluationPeriods"])


def _check_metric(fields: CloudWatchFields) -> None:
    for name in _OF_A_METRIC:
        if name not in fields:
            raise ServiceFault("MissingParameter", f"The request must contain the parameter {name}")
    if ("Statistic" in fields) == ("ExtendedStatistic" in fields):
        raise ServiceFault(
            "InvalidParameterCombination", "Exactly one of Statistic and ExtendedStatistic must be specified"
        )
    extended = fields.get("ExtendedStatistic", "p50")
    if not is_percentile(extended):
        raise _refused(
            f"The value {extended} for parameter ExtendedStatistic is not supported: percentiles are."
        )
    if fields["Period"] not in _ALARM_PERIODS_S and fields["Period"] % 60:
        raise _refused("Period must be 10, 20, 30 or a multiple of 60")


def _check_math(fields: CloudWatchFields) -> None:
    if any(
        name in fields for name in (*_OF_A_METRIC, "Statistic", "ExtendedStatistic", "Dimensions", "Unit")
    ):
        raise ServiceFault(
            "InvalidParameterCombination", "Metrics may not be specified beside a metric of its own"
        )
    queries = check_queries(fields["Metrics"])
    metrics = [query["MetricStat"] for query in queries.values() if "MetricStat" in query]
    if not 0 < len(metrics) <= _MOST_METRICS:
        raise _refused(f"Metrics must have from 1 to {_MOST_METRICS} metrics")
    for metric in metrics:
        check_period(metric["Period"])
    if len({metric["Period"] for metric in metrics}) > 1:
        raise _refused("The metrics of an alarm must have one period")
    if sum(query.get("ReturnData", True) for query in queries.values()) != 1:
        raise _refused("Exactly one element of the metrics list should return data.")


def _check_length(period_s: int, periods: int) -> None:
    most_s = _WEEK_S if period_s >= _HOUR_S else _DAY_S
    if period_s * periods > most_s:
        raise _refused(
            f"Metrics cannot be checked across more than {'a week' if most_s == _WEEK_S else 'a day'} "
            "(EvaluationPeriods * Period must be <= "
            f"{most_s})."
        )


def _refused(text: str) -> ServiceFault:
    return ServiceFault("ValidationError", text)
