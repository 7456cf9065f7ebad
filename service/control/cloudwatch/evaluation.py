"""Finds out, again and again, what state each alarm is in. One process of the family does it.

Actions are kept and not run: nothing is told to anybody but by an alarm's state and its history.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Thread
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
from service.errors import SagebirdError, StateDamaged, Unavailable
from service.log import Trouble, get_logger
from service.store.documents import KeptDocument

_LOOK_S: Final = 1.0
_BUDGET_S: Final = 0.25  # of one look, and what one alarm takes; the next look goes on with the next alarms
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
        self._last = ""
        self._unjudged: dict[str, str] = {}
        self._log = get_logger("sagebird.alarms")
        self._trouble = Trouble(self._log, "alarms cannot be looked after")
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Look, if it is time to, in a thread of its own: one alarm alone may take long. Does not wait."""
        if self._is_due and (self._thread is None or not self._thread.is_alive()):
            self._thread = Thread(target=self.look, name="alarms", daemon=True)
            self._thread.start()

    def look(self) -> None:
        """Do what is due. What it cannot do is said in the log, and tried again."""
        if not self._is_due:
            return
        clock = self._context.clock
        began_s = clock.monotonic()
        try:
            self.evaluate()
            if began_s >= self._clear_s:
                self._clear()
                self._clear_s = began_s + _CLEAR_S
            self._trouble.end()
        except SagebirdError as error:  # locked, full, damaged: endpoints go on
            self._trouble.meet(error.message)
        finally:
            took_s = clock.monotonic() - began_s
            self._next_s = began_s + took_s + max(_LOOK_S, _SHARE * took_s)

    def evaluate(self) -> None:
        """Bring alarms into the states that they are in now, as many as there is time for, each in its turn.

        Raises Unavailable, StateDamaged.
        """
        clock, reader = self._context.clock, MetricReader(self._context)
        end_s = clock.monotonic() + _BUDGET_S
        with self._context.kept.view() as view:
            alarms = view.all(SERVICE, ALARM)
        self._forget(alarms)
        for kept in _in_turn(alarms, self._last):
            self._tend(kept, reader)
            self._last = kept.name
            if clock.monotonic() > end_s:
                return

    @property
    def _is_due(self) -> bool:
        return self._context.clock.monotonic() >= self._next_s and self._context.kept.is_there

    def _tend(self, kept: KeptDocument, reader: MetricReader) -> None:
        try:
            judgement = judge_alarm(self._context, kept, reader)
            if judgement.state != kept.document["state"]["value"]:
                now_s = self._context.now_s
                self._move(kept, judgement.state, *_told(kept.document["given"], judgement, now_s))
            self._unjudged.pop(kept.name, None)
        except (Unavailable, StateDamaged):  # no alarm can be judged
            raise
        except SagebirdError as error:  # an expression that goes by what is not served, or is too much
            self._give_up(kept, error.message)
        except Exception as error:  # whatever is wrong with one alarm, the others are judged
            self._give_up(kept, f"{type(error).__name__}: {error}")

    def _give_up(self, kept: KeptDocument, why: str) -> None:
        """Nobody knows what state an alarm is in: it has that for a reason, and the log has it once."""
        reason = f"Insufficient Data: the alarm cannot be judged. {why}".encode("ascii", "replace").decode()
        reason = reason[:1023]
        if self._unjudged.get(kept.name) != reason:
            self._unjudged[kept.name] = reason
            self._log.warning("alarm cannot be judged", alarm=kept.name, reason=why)
        state = kept.document["state"]
        if (state["value"], state["reason"]) != (AlarmState.INSUFFICIENT, reason):
            self._move(kept, AlarmState.INSUFFICIENT, reason, None)

    def _forget(self, alarms: Sequence[KeptDocument]) -> None:
        names = {kept.name for kept in alarms}
        self._unjudged = {name: why for name, why in self._unjudged.items() if name in names}

    def _move(self, kept: KeptDocument, state: AlarmState, reason: str, data: str | None) -> None:
        with self._context.kept.change() as change:
            if change.find(SERVICE, ALARM, kept.name) == kept:  # nobody changed or set it meanwhile
                set_state(change, kept, self._context.now_s, state, reason, data)

    def _clear(self) -> None:
        with self._context.kept.change() as change:
            change.clear_samples(self._context.now_s, self._context.keep_s)


def _in_turn(alarms: Sequence[KeptDocument], last: str) -> Iterator[KeptDocument]:
    """All alarms, in order of their names, from the one on that comes after the `last` one."""
    yield from (kept for kept in alarms if kept.name > last)
    yield from (kept for kept in alarms if kept.name <= last)


def judge_alarm(context: CloudWatchContext, kept: KeptDocument, reader: MetricReader) -> Judgement:
    """What state an alarm is in now. Raises Unavailable, StateDamaged, ServiceFault: it cannot be judged."""
    given = kept.document["given"]
    before = AlarmState(kept.document["state"]["value"])
    rule, period_s, now_s = rule_of(given), period_of(given), context.now_s
    current_s = int(now_s) // period_s * period_s
    span = TimeRange(current_s - period_s * (rule.needed + BEYOND), current_s + period_s)
    queries = given.get("Metrics") or [_query(given)]
    answers = QueryAnswers(reader, check_queries(queries), span, aligned=True)
    wanted = next(query["Id"] for query in queries if query.get("ReturnData", True))
    values = answers.series(wanted)
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
