"""The sentence, and when it is said."""

import json

import pytest

from service.experiments.sums import Sums, count_up
from service.experiments.verdict import Question, judge, judge_paired

_CLASSES = Question("a", binary=True)


def sentence(question: Question, one: Sums, two: Sums) -> str:
    (comparison,) = judge(question, {"a": [one], "b": [two]})["comparisons"]
    return str(comparison["sentence"])


def test_a_better_variant_is_better_by_so_many_points() -> None:
    said = sentence(_CLASSES, count_up(4_000, 5_000), count_up(4_200, 5_000))

    assert said.startswith("b is better than a by ")
    assert said.endswith(" points.")


def test_where_less_is_better_more_is_worse() -> None:
    errors = Question("a", binary=False, more_is_better=False)
    low, high = Sums(5_000, 5_000.0, 10_000.0), Sums(5_000, 5_500.0, 11_050.0)

    assert sentence(errors, low, high).startswith("b is worse than a by 0.0")
    assert sentence(errors, high, low).startswith("b is better than a by 0.0")


def test_equals_are_told_when_no_difference_that_matters_is_left() -> None:
    said = sentence(_CLASSES, count_up(90_000, 100_000), count_up(90_030, 100_000))

    assert said == "No difference larger than 1 point between b and a."


def test_what_matters_can_be_said() -> None:
    strict = Question("a", binary=True, worth=0.001)
    said = sentence(strict, count_up(90_000, 100_000), count_up(90_030, 100_000))

    assert said.startswith("Keep going: about ")


def test_the_open_are_told_how_long_at_this_rate() -> None:
    question = Question("a", binary=True, per_second=0.05, noun="clicks")
    said = sentence(question, count_up(400, 1_000), count_up(430, 1_000))

    assert said.startswith("Keep going: about ")
    assert said.endswith(" days at this rate.")
    assert " more clicks, " in said


def test_of_less_than_ten_more_neither_number_nor_time_is_told() -> None:
    question = Question("a", binary=False, per_second=2.0)
    numbers = Sums(49, 5.0, 9.0)

    assert sentence(question, numbers, Sums(46, 5.0, 9.0)) == "Keep going: a few more outcomes."
    assert (
        sentence(question, numbers, Sums(45, 5.0, 9.0))
        == "Keep going: about 10 more outcomes, 5 s at this rate."
    )


def test_a_handful_is_no_ground_for_a_plan() -> None:
    question = Question("a", binary=True, per_second=0.05, noun="clicks")

    said = sentence(question, count_up(3, 4), count_up(0, 1))

    assert said == "Keep going: there are too few clicks yet to say how many it takes."


def test_as_many_more_as_were_announced_decide_if_nothing_changes() -> None:
    one, two = count_up(400, 1_000), count_up(430, 1_000)
    (open_one,) = judge(_CLASSES, {"a": [one], "b": [two]})["comparisons"]
    factor = 1.02 * (1 + open_one["more"] / 2_000)
    grown = [count_up(round(sums.total * factor), round(sums.count * factor)) for sums in (one, two)]
    fewer = [count_up(round(each.total * 0.9), round(each.count * 0.9)) for each in grown]

    (later,) = judge(_CLASSES, {"a": [grown[0]], "b": [grown[1]]})["comparisons"]
    (before,) = judge(_CLASSES, {"a": [fewer[0]], "b": [fewer[1]]})["comparisons"]

    assert open_one["decision"] == before["decision"] == "open"
    assert later["decision"] == "better"


def test_with_few_numbers_nothing_is_said_but_how_many_are_missing() -> None:
    numbers = Question("a", binary=False)
    (comparison,) = judge(numbers, {"a": [Sums(10, 5.0, 9.0)], "b": [Sums()]})["comparisons"]

    assert (comparison["lower"], comparison["decision"], comparison["more"]) == (None, "open", 100)
    assert comparison["sentence"] == "Keep going: about 100 more outcomes."


def test_nothing_at_all_is_a_document_too() -> None:
    document = judge(_CLASSES, {"a": [Sums()], "b": [Sums()]})

    assert document["variants"][0] == {"name": "a", "count": 0, "mean": None, "lower": 0.0, "upper": 1.0}
    assert document["comparisons"][0]["decision"] == "open"
    assert json.loads(json.dumps(document)) == document


def test_several_challengers_share_the_chance_of_a_false_alarm() -> None:
    outcomes = {"a": [count_up(400, 1_000)], "b": [count_up(460, 1_000)]}
    alone = judge(_CLASSES, outcomes)["comparisons"][0]
    among = judge(_CLASSES, outcomes | {"c": [count_up(400, 1_000)], "d": [count_up(0, 3)]})["comparisons"][0]

    assert among["difference"] == alone["difference"]
    assert among["lower"] < alone["lower"]


def test_the_same_rows_are_judged_by_their_differences() -> None:
    outcomes = {"a": count_up(4_000, 5_000), "b": count_up(4_150, 5_000)}
    document = judge_paired(_CLASSES, outcomes, {"b": Sums(5_000, 150.0, 250.0)})

    assert document["comparisons"][0]["decision"] == "better"
    assert [variant["mean"] for variant in document["variants"]] == [0.8, 0.83]


@pytest.mark.parametrize("binary", [True, False])
def test_outcomes_that_are_all_equal_stay_open(binary: bool) -> None:
    (comparison,) = judge(Question("a", binary), {"a": [count_up(60, 60)], "b": [count_up(60, 60)]})[
        "comparisons"
    ]

    assert comparison["decision"] == "open"
    assert comparison["more"] > 0
