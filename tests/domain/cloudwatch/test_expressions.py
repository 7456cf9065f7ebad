"""Metric math: arithmetic over series, and what is refused."""

from typing import Any

import pytest

from service.domain.cloudwatch.expressions import MathBudget, MathSetting, evaluate, names_in
from service.errors import ValidationFault

_SETTING = MathSetting({"m1": {0: 2.0, 60: 4.0}, "m2": {60: 1.0, 120: 0.0}, "e": {}}, (0, 60, 120))


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("expression", "series"),
    [
        ("m1", {0: 2.0, 60: 4.0}),
        ("m1 / 2 + 1", {0: 2.0, 60: 3.0}),
        ("1 + m1 * 2", {0: 5.0, 60: 9.0}),
        ("(1 + m1) * 2", {0: 6.0, 60: 10.0}),
        ("m1 + m2", {60: 5.0}),
        ("100 * m2 / m1", {60: 25.0}),
        ("m1 / m2", {60: 4.0}),  # and nothing where it is divided by zero
        ("-m1^2", {0: -4.0, 60: -16.0}),
        ("2^-m1", {0: 0.25, 60: 0.0625}),
        ("m1-1-1", {0: 0.0, 60: 2.0}),
        ("1.5e1", {0: 15.0, 60: 15.0, 120: 15.0}),
        ("FILL(m1, 0)", {0: 2.0, 60: 4.0, 120: 0.0}),
        ("FILL(m1,0) + FILL(m2, 1)", {0: 3.0, 60: 5.0, 120: 0.0}),
        ("SUM([m1, m2])", {0: 2.0, 60: 5.0, 120: 0.0}),
        ("MAX(METRICS())", {0: 2.0, 60: 4.0, 120: 0.0}),
        ("AVG([m1,m2])", {0: 2.0, 60: 2.5, 120: 0.0}),
        ("m1 / SUM(m1)", {0: 2.0 / 6, 60: 4.0 / 6}),
        ("MIN(m1)", {0: 2.0, 60: 2.0, 120: 2.0}),
        ("ABS(0 - m1)", {0: 2.0, 60: 4.0}),
        ("CEIL(m1 / 3)", {0: 1.0, 60: 2.0}),
        ("FLOOR(m1 / 3)", {0: 0.0, 60: 1.0}),
        ("e + 1", {}),
        ("SUM(e) + m1", {}),
    ],
)
def test_expressions_are_calculated(expression: str, series: dict[int, float]) -> None:
    assert evaluate(expression, _SETTING) == pytest.approx(series)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "m3",
        "m1 +",
        "m1 m2",
        "(m1",
        "m1)",
        "SEARCH('{AWS}', 'Sum')",
        "ANOMALY_DETECTION_BAND(m1, 2)",
        "IF(m1, m2, 0)",
        "SUM()",
        "FILL(m1, m2)",
        "FILL(m1)",
        "METRICS()",
        "METRICS() + 1",
        "[m1, 1]",
        "[m1",
        "m1 & m2",
        "m1; m2",
        "(" * 100 + "m1" + ")" * 100,
        "-" * 100 + "m1",
        "2^" * 100 + "2",
    ],
)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(ValidationFault):
        evaluate(expression, _SETTING)


@pytest.mark.parametrize("expression", ["SEARCH('{AWS}', 'Sum')", 'm1 + SEARCH("x")'])
def test_a_search_is_told_not_to_be_served(expression: str) -> None:
    with pytest.raises(ValidationFault, match="such as SEARCH, is not served"):
        evaluate(expression, _SETTING)


@pytest.mark.parametrize(
    "expression",
    [
        "1e308 * 10 * m1",
        "10^308 * 10^308 * m1",
        "(0-m1)^0.5",
        "CEIL(1/0)",
        "FLOOR(1e999)",
        "ABS(1e999)",
        "m1 / MAX(1e999)",
        "m1 / m1 ^ (1/0)",
        "(1/0) ^ 0",
        "FILL(e, 1/0)",
        "FILL(e, 1e999)",
        "SUM(FILL(e, 1e308))",
        "AVG([FILL(e, 1e308), FILL(e, 1e308)])",
        "FLOOR(SUM(FILL(e, 1e308)))",
        "m1 * (0-2)^0.5",
    ],
)
def test_what_is_no_number_has_no_datapoint(expression: str) -> None:
    assert evaluate(expression, _SETTING) == {}


def test_names_are_found() -> None:
    found: Any = names_in("SUM([m1, m2]) / m1 * 1e3")
    assert found == ["SUM", "m1", "m2", "m1"]


@pytest.mark.parametrize(
    "expression",
    [
        "m + m + m",
        "-m - m",
        "m * 2 + 1 + 2",
        "2 ^ m ^ 2 ^ m",
        "ABS(CEIL(FLOOR(m)))",
        "FILL(m, 0)",
        "SUM([m, m, m])",
        "SUM([e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e])",
        "MAX(METRICS()) + MAX(METRICS())",
        "1",
    ],
)
def test_what_an_expression_costs_is_told_before_it_is_spent(expression: str) -> None:
    series = {"m": dict.fromkeys(range(10), 1.0), "e": {}}
    with pytest.raises(ValidationFault, match="more than 25 steps"):
        evaluate(expression, MathSetting(series, range(30), MathBudget(25)))
    assert evaluate(expression, MathSetting(series, range(30), MathBudget(200))) is not None


def test_expressions_of_one_question_share_what_they_may_cost() -> None:
    setting = MathSetting({"m": dict.fromkeys(range(10), 1.0)}, range(10), MathBudget(25))
    evaluate("m + 1", setting)
    evaluate("m + 1", setting)
    with pytest.raises(ValidationFault, match="steps"):
        evaluate("m + 1", setting)
