"""GetMetricData: metrics and expressions over them, in pages."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from service.control.cloudwatch.context import CloudWatchContext, CloudWatchFields
from service.control.cloudwatch.periods import TimeRange, check_period, count_periods, first_period, read_span
from service.control.cloudwatch.sources import MetricReader, MetricWindow, metric_of
from service.domain.cloudwatch.expressions import (
    FUNCTIONS,
    MathBudget,
    MathSeries,
    MathSetting,
    evaluate,
    names_in,
)
from service.domain.cloudwatch.statistics import is_statistic
from service.errors import ServiceFault, ValidationFault

MOST_QUERIES: Final = 500
_MOST_DATAPOINTS: Final = 100_800  # of a page, as on AWS
_MOST_AT_ONCE: Final = 3 * _MOST_DATAPOINTS  # of expressions and what they name, which are held together
_MOST_LEVELS: Final = 20
_METRICS: Final = "METRICS"
_ID: Final = re.compile(r"[a-z][a-zA-Z0-9_]*", re.ASCII)


@dataclass(slots=True)
class QueryAnswers:
    """The series of each query, by its id, and by which periods they are."""

    reader: MetricReader
    queries: Mapping[str, Mapping[str, Any]]
    span: TimeRange
    aligned: bool = False
    _known: dict[str, MathSeries] = field(default_factory=dict)
    _periods_s: dict[str, int] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _budget: MathBudget = field(default_factory=MathBudget)

    def size(self) -> int:
        """How many datapoints expressions and what they name can have, without looking for one.

        Metrics that no expression names are read one after the other, as far as a page goes. Raises
        ServiceFault, as `series`.
        """
        held = {identifier for identifier, query in self.queries.items() if "Expression" in query}
        held.update(*(self._named(self.queries[identifier]) for identifier in [*held]))
        return sum(count_periods(self.span, self.period_s(identifier)) for identifier in held)

    def period_s(self, identifier: str) -> int:
        """By which periods a query is: its own, or the longest of what it names. Raises ServiceFault."""
        if identifier not in self._periods_s:
            with self._entered(identifier) as query:
                if "MetricStat" in query:
                    self._periods_s[identifier] = query["MetricStat"]["Period"]
                else:
                    periods_s = [self.period_s(name) for name in self._named(query)]
                    self._periods_s[identifier] = max(periods_s, default=query.get("Period", 60))
        return self._periods_s[identifier]

    def series(self, identifier: str) -> MathSeries:
        """The series of a query. Raises ServiceFault: it is none that is served, or too much work."""
        if identifier not in self._known:
            period_s = self.period_s(identifier)
            with self._entered(identifier) as query:
                self._known[identifier] = (
                    self._of_metric(query["MetricStat"])
                    if "MetricStat" in query
                    else self._of_expression(query, period_s)
                )
        return self._known[identifier]

    @contextmanager
    def _entered(self, identifier: str) -> Iterator[Mapping[str, Any]]:
        if identifier in self._open or len(self._open) > _MOST_LEVELS:
            raise _refused(f"The expression '{identifier}' refers to itself, or is nested too deeply.")
        self._open.append(identifier)
        yield self.queries[identifier]
        self._open.pop()

    def _of_metric(self, told: Mapping[str, Any]) -> MathSeries:
        metric = metric_of(
            told["Metric"].get("Namespace", ""),
            told["Metric"].get("MetricName", ""),
            told["Metric"].get("Dimensions", []),
        )
        start_s = self._start_s(told["Period"])
        window = MetricWindow(metric, told.get("Unit"), start_s, self.span.end_s, told["Period"])
        return self.reader.values(window, told["Stat"])

    def _of_expression(self, query: Mapping[str, Any], period_s: int) -> MathSeries:
        series = {name: self.series(name) for name in self._named(query)}
        start_s = self._start_s(period_s)
        begins = range(start_s, start_s + period_s * count_periods(self.span, period_s), period_s)
        try:
            return evaluate(query["Expression"], MathSetting(series, begins, self._budget))
        except ValidationFault as error:
            raise _refused(f"Error in expression '{query['Id']}': {error.message}.") from None

    def _named(self, query: Mapping[str, Any]) -> list[str]:
        """The queries that an expression names, each once."""
        if query["Id"] not in self._names:
            self._names[query["Id"]] = self._look_up(query)
        return self._names[query["Id"]]

    def _look_up(self, query: Mapping[str, Any]) -> list[str]:
        try:
            found = dict.fromkeys(names_in(query["Expression"]))
        except ValidationFault as error:
            raise _refused(f"Error in expression '{query['Id']}': {error.message}.") from None
        metrics = [one for one, each in self.queries.items() if "MetricStat" in each]
        of_all = metrics if _METRICS in found else []
        names = [name for name in found if name not in FUNCTIONS]
        for name in names:
            if name not in self.queries:
                raise _refused(
                    f"Error in expression '{query['Id']}': {name} is no query and no function served here."
                )
        return list(dict.fromkeys((*of_all, *names)))

    def _start_s(self, period_s: int) -> int:
        return (
            int(self.span.start_s) // period_s * period_s
            if self.aligned
            else first_period(self.span, period_s)
        )


def get_metric_data(context: CloudWatchContext, fields: CloudWatchFields) -> Mapping[str, Any]:
    """GetMetricData."""
    span = read_span(fields["StartTime"], fields["EndTime"], context.now_s)
    queries = check_queries(fields["MetricDataQueries"])
    answers = QueryAnswers(MetricReader(context), queries, span)
    _check_size(answers.size())
    descending = fields.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    wanted = [query for query in queries.values() if query.get("ReturnData", True)]
    most = min(fields.get("MaxDatapoints", _MOST_DATAPOINTS), _MOST_DATAPOINTS)

    def told(query: Mapping[str, Any]) -> Sequence[tuple[int, float]]:
        return sorted(answers.series(query["Id"]).items(), reverse=descending)

    return _page(wanted, told, max(most, 1), _read_token(fields.get("NextToken")))


def check_queries(queries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Queries by their ids. Raises ServiceFault: one cannot be asked so."""
    if not queries or len(queries) > MOST_QUERIES:
        raise _refused(f"The collection MetricDataQueries must have a size from 1 to {MOST_QUERIES}.")
    found: dict[str, Mapping[str, Any]] = {}
    for number, query in enumerate(queries, 1):
        place = f"MetricDataQueries.member.{number}"
        identifier = query["Id"]
        if not _ID.fullmatch(identifier):
            raise _refused(
                f"The value {identifier} for parameter {place}.Id is not matching the expected pattern."
            )
        if identifier in found:
            raise _refused(f"The values for parameter id in MetricDataQueries are not unique: {identifier}.")
        if ("MetricStat" in query) == ("Expression" in query):
            raise _refused(f"Exactly one of {place}.MetricStat and {place}.Expression must be specified.")
        if "MetricStat" in query:
            _check_stat(query["MetricStat"], place)
        elif "Period" in query:
            check_period(query["Period"])
        found[identifier] = query
    return found


def _check_stat(told: Mapping[str, Any], place: str) -> None:
    check_period(told["Period"])
    if not is_statistic(told["Stat"]):
        raise _refused(f"The value {told['Stat']} for parameter {place}.MetricStat.Stat is not supported.")


def _check_size(asked: int) -> None:
    """Refuse what would be too much to compute, before anything is spent on it."""
    if asked > _MOST_AT_ONCE:
        raise _refused(
            f"You have requested up to {asked:,} datapoints, which exceeds the limit of {_MOST_AT_ONCE:,}."
            " You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )


def _page(
    wanted: Sequence[Mapping[str, Any]],
    told: Callable[[Mapping[str, Any]], Sequence[tuple[int, float]]],
    most: int,
    begin: tuple[int, int],
) -> Mapping[str, Any]:
    """From one datapoint of one query on, so many of them; what comes behind is not looked for."""
    results: list[dict[str, Any]] = []
    left = most
    for place, query in enumerate(wanted[begin[0] :], begin[0]):
        values = told(query)
        first = begin[1] if place == begin[0] else 0
        some = values[first : first + left]
        left -= len(some)
        rest = len(values) - first - len(some)
        results.append(_result(query, some, "PartialData" if rest else "Complete"))
        if rest or (not left and place + 1 < len(wanted)):
            following = (place, first + len(some)) if rest else (place + 1, 0)
            token = base64.urlsafe_b64encode(orjson.dumps(following)).decode()
            return {"MetricDataResults": results, "NextToken": token, "Messages": []}
    return {"MetricDataResults": results, "Messages": []}


def _result(query: Mapping[str, Any], values: Sequence[tuple[int, float]], status: str) -> dict[str, Any]:
    stat = query.get("MetricStat", {})
    label = query.get("Label", stat.get("Metric", {}).get("MetricName", query["Id"]))
    return {
        "Id": query["Id"],
        "Label": label,
        "Timestamps": [begin_s for begin_s, _ in values],
        "Values": [value for _, value in values],
        "StatusCode": status,
    }


def _read_token(token: str | None) -> tuple[int, int]:
    if token is None:
        return 0, 0
    try:
        place, first = orjson.loads(base64.urlsafe_b64decode(token.encode()))
        return max(int(place), 0), max(int(first), 0)
    except (ValueError, TypeError, binascii.Error):
        raise ServiceFault("InvalidNextToken", "Request parameter NextToken is invalid.") from None


def _refused(text: str) -> ServiceFault:
    return ServiceFault("ValidationError", text)
