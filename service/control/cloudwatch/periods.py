"""From when to when, by which periods, a question is; and what is refused."""

from datetime import datetime
from typing import Final, NamedTuple

from service.errors import ServiceFault

_SHORT_S: Final = (1, 5, 10, 20, 30)
_MINUTE_S: Final = 60
_DAY_S: Final = 86_400
_OLDEST_S: Final = 455 * _DAY_S


class TimeRange(NamedTuple):
    """From `start_s` up to before `end_s`, in seconds since 1970."""

    start_s: float
    end_s: float


def read_span(start: datetime, end: datetime, now_s: float) -> TimeRange:
    """What a question is about. Raises ServiceFault: it ends before it begins."""
    span = TimeRange(start.timestamp(), end.timestamp())
    if span.start_s >= span.end_s:
        raise ServiceFault(
            "InvalidParameterCombination", "The parameter StartTime must be less than the parameter EndTime."
        )
    # Nothing is kept for longer, and nobody needs the years before.
    return TimeRange(max(span.start_s, now_s - _OLDEST_S), min(span.end_s, now_s + _DAY_S))


def check_period(period_s: int) -> None:
    """Raise ServiceFault for a period that CloudWatch does not have."""
    if period_s < 1 or (period_s not in _SHORT_S and period_s % _MINUTE_S):
        raise ServiceFault(
            "InvalidParameterValue",
            f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60; it is {period_s}.",
        )


def first_period(span: TimeRange, period_s: int) -> int:
    """When the first period begins: the start, rounded down to a minute, or to a shorter period."""
    unit_s = min(period_s, _MINUTE_S)
    return int(span.start_s) // unit_s * unit_s


def count_periods(span: TimeRange, period_s: int) -> int:
    """How many periods there are."""
    return max(0, -int((first_period(span, period_s) - span.end_s) // period_s))
