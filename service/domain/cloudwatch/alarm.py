"""When an alarm is in which state: datapoints against a threshold, some of which may be missing.

Source: CloudWatch's user guide, "Configuring how CloudWatch alarms treat missing data", its tables above all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import ge, gt, le, lt
from types import MappingProxyType
from typing import Final

BEYOND: Final = 2
"""How many datapoints more than it needs are looked at by an alarm, where some are missing."""

COMPARISONS: Final = MappingProxyType[str, Callable[[float, float], bool]](
    {
        "GreaterThanOrEqualToThreshold": ge,
        "GreaterThanThreshold": gt,
        "LessThanThreshold": lt,
        "LessThanOrEqualToThreshold": le,
    }
)
"""How datapoints are held against thresholds that are numbers."""

TREATMENTS: Final = ("breaching", "notBreaching", "ignore", "missing")
"""What datapoints that are missing count as."""

# What grows as long as a period goes on: where more is worse, a period that is not over can be judged.
_GROWING: Final = frozenset({"Sum", "SampleCount", "Maximum"})


class AlarmState(StrEnum):
    """States of an alarm. Source: model shape StateValue."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT = "INSUFFICIENT_DATA"


@dataclass(frozen=True, slots=True)
class Rule:
    """`breaching` datapoints of `needed` ones make an alarm."""

    comparison: str
    threshold: float
    needed: int
    breaching: int
    missing: str = "missing"

    def breaches(self, value: float) -> bool:
        """Whether a datapoint is beyond the threshold."""
        return COMPARISONS[self.comparison](value, self.threshold)

    def judges_early(self, statistic: str) -> bool:
        """Whether a period that is not over breaches for good once it does."""
        return self.comparison.startswith("Greater") and statistic in _GROWING


@dataclass(frozen=True, slots=True)
class Judgement:
    """A state, and the datapoints that it goes by, the oldest first: when each began and what it is."""

    state: AlarmState
    datapoints: tuple[tuple[int, float], ...] = ()
    breaching: int = 0


def judge(rule: Rule, datapoints: Sequence[tuple[int, float | None]], before: AlarmState) -> Judgement:
    """The state by the most recent datapoints, the oldest first; None is one that is missing."""
    known = [(at, value) for at, value in datapoints if value is not None]
    used = tuple(known[-rule.needed :])
    count = sum(rule.breaches(value) for _, value in used)
    if len(used) == rule.needed or count >= rule.breaching:
        return Judgement(_state(count >= rule.breaching), used, count)
    absent = rule.needed - len(used)
    if rule.missing in ("breaching", "notBreaching"):
        filled = count + (absent if rule.missing == "breaching" else 0)
        return Judgement(_state(filled >= rule.breaching), used, count)
    if not used:
        return Judgement(before if rule.missing == "ignore" else AlarmState.INSUFFICIENT)
    if count < len(used):
        return Judgement(AlarmState.OK, used, count)
    # All that there is breaches, and is less than is needed: soon enough another datapoint may not.
    age = len(datapoints) - next(place for place, (_, value) in enumerate(datapoints) if value is not None)
    is_late = rule.missing == "missing" and age >= rule.breaching
    return Judgement(AlarmState.ALARM if is_late else before, used, count)


def window(
    rule: Rule, values: Mapping[int, float], now_s: float, period_s: int, *, early: bool
) -> list[tuple[int, float | None]]:
    """The datapoints that are looked at now, of `values` by when their periods begin.

    A period that is not over is one of them only if it is judged `early` and breaches.
    """
    current_s = int(now_s) // period_s * period_s
    current = values.get(current_s) if early else None
    newest_s = current_s if current is not None and rule.breaches(current) else current_s - period_s
    begins = [newest_s - period_s * number for number in range(rule.needed + BEYOND)]
    return [(begin_s, values.get(begin_s)) for begin_s in reversed(begins)]


def _state(is_breached: bool) -> AlarmState:
    return AlarmState.ALARM if is_breached else AlarmState.OK
