"""Finds out, again and again, what state each alarm is in. One process of the family does it.

Actions are kept and not run: nothing is told to anybody but by an alarm's state and its history.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import orjson

from service.control.cloudwatch.alarm_rules import period_of, rule_of
from service.control.cloudwatch.alarms import ALARM, set_state
from service.control.cloudwatch.context import SERVICE, CloudWatchContext
from service.control.cloudwatch.data import QueryAnswers, check_queries
from service.control.cloudwatch.periods import TimeRange
from service.control.cloudwatch.sources import MetricReader
from service.domain.cloudwatch.alarm import BEYOND, AlarmState, Judgement, Rule, judge, window
from service.errors import SagebirdError, ServiceFault
from service.log import Trouble, get_logger
from service.store.documents import KeptDocument

_LOOK_S: Final = 1.0
_SHARE: Final = 10  # of the time that looks took, so much passes between them at least
_CLEAR_S: Final = 60.0
_WORDS: Final = MappingProxyType(
    {
        "GreaterThanOrEqualToThreshold": "greater than or equal to",
        "GreaterThanThreshold": "greater than",
        "LessThanThreshold": "less than",
        "LessThanOrEqualToThreshold": "less than or equal to",
    }
)


class AlarmClock:
    """Looks after the alarms of one server, and lets go of what clients told of metrics long ago."""

    def __init__(self, context: CloudWatchContext) -> None:
        self._context = context
        self._next_s = 0.0
        self._clear_s = 0.0
        self._trouble = Trouble(get_logger("sagebird.alarms"), "alarms cannot be looked after")

    def look(self) -> None:
        """Do what is due. What it cannot do is said in the log, and tried again."""
        clock = self._context.clock
        began_s = clock.monotonic()
        if began_s < self._next_s or not self._context.kept.is_there:
            return
        try:
            self.evaluate()
            if began_s >= self._clear_s:
                self._clear()
                self._clear_s = began_s + _CLEAR_S
            self._trouble.end()
        except SagebirdError as error:  # locked, full, damaged: endpoints go on
            self._trouble.meet(error.message)
        took_s = clock.monotonic() - began_s
        self._next_s = began_s + took_s + max(_LOOK_S, _SHARE * took_s)

    def evaluate(self) -> None:
        """Bring all alarms into the states that they are in now. Raises Unavailable, StateDamaged."""
        with self._context.kept.view() as view:
            alarms = view.all(SERVICE, ALARM)
        for kept in alarms:
            judgement = judge_alarm(self._context, kept)
            if judgement.state != kept.document["state"]["value"]:
                self._move(kept, judgement)

    def _move(self, kept: KeptDocument, judgement: Judgement) -> None:
        now_s = self._context.now_s
        reason, data = _told(kept.document["given"], judgement, now_s)
        with self._context.kept.change() as change:
            if change.find(SERVICE, ALARM, kept.name) == kept:  # nobody changed or set it meanwhile
                set_state(change, kept, now_s, judgement.state, reason, data)

    def _clear(self) -> None:
        with self._context.kept.change() as change:
            change.clear_samples(self._context.now_s, self._context.keep_s)


def judge_alarm(context: CloudWatchContext, kept: KeptDocument) -> Judgement:
    """What state an alarm is in now. Raises Unavailable, StateDamaged."""
    given = kept.document["given"]
    before = AlarmState(kept.document["state"]["value"])
    rule, period_s, now_s = rule_of(given), period_of(given), context.now_s
    current_s = int(now_s) // period_s * period_s
    span = TimeRange(current_s - period_s * (rule.needed + BEYOND), current_s + period_s)
    queries = given.get("Metrics") or [_query(given)]
    answers = QueryAnswers(MetricReader(context), check_queries(queries), span, aligned=True)
    wanted = next(query["Id"] for query in queries if query.get("ReturnData", True))
    try:
        values = answers.series(wanted)
    except ServiceFault:  # an expression that goes by what is not served
        return Judgement(AlarmState.INSUFFICIENT)
    early = "Statistic" in given and rule.judges_early(given["Statistic"])
    return judge(rule, window(rule, values, now_s, period_s, early=early), before)


def _query(given: Mapping[str, Any]) -> dict[str, Any]:
    metric = {"Namespace": given["Namespace"], "MetricName": given["MetricName"]}
    stat = given.get("Statistic", given.get("ExtendedStatistic"))
    told = {
        "Metric": {**metric, "Dimensions": given.get("Dimensions", [])},
        "Period": given["Period"],
        "Stat": stat,
    }
    return {"Id": "m", "MetricStat": {**told, "Unit": given["Unit"]} if "Unit" in given else told}


def _told(given: Mapping[str, Any], judgement: Judgement, now_s: float) -> tuple[str, str]:
    """Why an alarm is in a state, in CloudWatch's words, and as a document."""
    rule, values = rule_of(given), [value for _, value in judgement.datapoints]
    data = {
        "version": "1.0",
        "queryDate": _date(now_s),
        "statistic": given.get("Statistic", given.get("ExtendedStatistic")),
        "period": period_of(given),
        "recentDatapoints": values,
        "threshold": rule.threshold,
    }
    return _reason(rule, judgement)[:1023], orjson.dumps(data).decode()[:4000]


def _reason(rule: Rule, judgement: Judgement) -> str:
    if not judgement.datapoints:
        how = {"breaching": "treated as [Breaching]", "notBreaching": "treated as [NonBreaching]"}
        unknown = f"no datapoints were received for {rule.needed} period(s)"
        treated = how.get(rule.missing)
        if treated is None:
            return f"Insufficient Data: {unknown}."
        return f"Threshold Crossed: {unknown} and {rule.needed} missing datapoint(s) were {treated}."
    is_alarm = judgement.state == AlarmState.ALARM
    count = judgement.breaching if is_alarm else len(judgement.datapoints) - judgement.breaching
    told = ", ".join(f"{value} ({_day(at_s)})" for at_s, value in judgement.datapoints[-5:])
    was = "was" if count == 1 else "were"
    move = "OK -> ALARM" if is_alarm else "ALARM -> OK"
    least = rule.breaching if is_alarm else rule.needed - rule.breaching + 1
    return (
        f"Threshold Crossed: {count} out of the last {len(judgement.datapoints)} datapoints [{told}] {was} "
        f"{'' if is_alarm else 'not '}{_WORDS[rule.comparison]} the threshold ({rule.threshold}) "
        f"(minimum {least} datapoint{'' if least == 1 else 's'} for {move} transition)."
    )


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%d/%m/%y %H:%M:%S")
