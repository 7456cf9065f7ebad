"""When an alarm is in which state: the tables of CloudWatch's user guide, and what is near them."""

from typing import Final

import pytest

from service.domain.cloudwatch.alarm import AlarmState, Rule, judge, window

_OK, _ALARM, _NONE = AlarmState.OK, AlarmState.ALARM, AlarmState.INSUFFICIENT
_KEEPS: Final = None  # the state that it was in
_VALUES: Final = {"0": 0.0, "X": 2.0, "-": None}


def rule(needed: int, breaching: int, missing: str = "missing") -> Rule:
    return Rule("GreaterThanThreshold", 1.0, needed, breaching, missing)


def points(text: str) -> list[tuple[int, float | None]]:
    return [(60 * number, _VALUES[sign]) for number, sign in enumerate(text.split())]


# Source: "Configuring how CloudWatch alarms treat missing data".
# Columns: missing, ignore, breaching, notBreaching.
_TABLE: Final = [
    (3, "0 - X - X", (_OK, _OK, _OK, _OK)),
    (3, "0 - - - -", (_OK, _OK, _OK, _OK)),
    (3, "- - - - -", (_NONE, _KEEPS, _ALARM, _OK)),
    (3, "0 X X - X", (_ALARM, _ALARM, _ALARM, _ALARM)),
    (3, "- - X - -", (_ALARM, _KEEPS, _ALARM, _OK)),
    (2, "0 - X - X", (_ALARM, _ALARM, _ALARM, _ALARM)),
    (2, "0 0 X 0 X", (_ALARM, _ALARM, _ALARM, _ALARM)),
    (2, "0 - X - -", (_OK, _OK, _ALARM, _OK)),
    (2, "- - - - 0", (_OK, _OK, _ALARM, _OK)),
    (2, "- - - X -", (_ALARM, _KEEPS, _ALARM, _OK)),
    # The text below the tables: not before it is sure.
    (3, "- - - - X", (_KEEPS, _KEEPS, _ALARM, _OK)),
    (3, "- - - X -", (_KEEPS, _KEEPS, _ALARM, _OK)),
]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(("breaching", "text", "states"), _TABLE)
@pytest.mark.parametrize("before", list(AlarmState))
def test_missing_datapoints_count_as_the_tables_say(
    breaching: int, text: str, states: tuple[AlarmState | None, ...], before: AlarmState
) -> None:
    for missing, state in zip(("missing", "ignore", "breaching", "notBreaching"), states, strict=True):
        found = judge(rule(3, breaching, missing), points(text), before)
        assert found.state == (before if state is None else state), missing


@pytest.mark.parametrize(
    ("comparison", "value", "breaches"),
    [
        ("GreaterThanOrEqualToThreshold", 1.0, True),
        ("GreaterThanThreshold", 1.0, False),
        ("LessThanThreshold", 1.0, False),
        ("LessThanOrEqualToThreshold", 1.0, True),
        ("LessThanThreshold", 0.5, True),
    ],
)
def test_a_threshold_is_met_or_passed(comparison: str, value: float, breaches: bool) -> None:
    assert Rule(comparison, 1.0, 1, 1).breaches(value) is breaches


def test_a_period_that_is_not_over_counts_once_it_breaches_for_good() -> None:
    one = rule(1, 1)
    late = 60 * 10 + 30
    assert window(one, {600: 2.0, 540: 0.0}, late, 60, early=True)[-1] == (600, 2.0)
    assert window(one, {600: 0.5, 540: 0.0}, late, 60, early=True)[-1] == (540, 0.0)
    assert window(one, {600: 2.0, 540: 0.0}, late, 60, early=False)[-1] == (540, 0.0)
    assert window(one, {}, late, 60, early=True) == [(420, None), (480, None), (540, None)]


@pytest.mark.parametrize(
    ("comparison", "statistic", "early"),
    [
        ("GreaterThanThreshold", "Sum", True),
        ("GreaterThanOrEqualToThreshold", "Maximum", True),
        ("GreaterThanThreshold", "Average", False),
        ("LessThanThreshold", "Sum", False),
    ],
)
def test_only_what_grows_is_judged_early(comparison: str, statistic: str, early: bool) -> None:
    assert Rule(comparison, 1.0, 1, 1).judges_early(statistic) is early
