import pytest

from service.experiments.agreement import MOST_EXAMPLES, disagreement
from service.experiments.answers import headline


def test_rows_that_are_answered_differently_are_counted_and_some_shown() -> None:
    (found,) = disagreement({"a": [0, 1, 2, 1], "b": [0.0, 2, "2", 1]}, ["0", "1", "2", "1"])

    assert (found["control"], found["variant"], found["rows"], found["share"]) == ("a", "b", 1, 0.25)
    assert 0 < found["lower"] < 0.25 < found["upper"] < 1
    assert found["examples"] == [{"row": 2, "control": "1", "challenger": "2", "label": "1"}]


def test_who_says_what_where_they_differ_is_counted_the_most_frequent_first() -> None:
    (found,) = disagreement({"a": [*"yynnny"], "b": [*"nnyyyy"]}, None)

    assert found["pairs"] == [
        {"control": "n", "challenger": "y", "rows": 3},
        {"control": "y", "challenger": "n", "rows": 2},
    ]
    assert (found["mean_distance"], found["largest_distance"]) == (None, None)


def test_each_other_variant_is_held_against_the_first() -> None:
    found = disagreement({"a": [0] * 50, "b": [1] * 50, "c": [[0.25, 0.75]] * 50}, None)

    assert [(each["variant"], each["rows"], len(each["examples"])) for each in found] == [
        ("b", 50, MOST_EXAMPLES),
        ("c", 50, MOST_EXAMPLES),
    ]
    assert "label" not in found[0]["examples"][0]


def test_numbers_are_told_by_how_far_apart_they_are() -> None:
    (found,) = disagreement({"a": [0.5, 1.0, 2], "b": [0.5, 1.5, 4]}, None)

    assert found["rows"] == 2
    assert (found["mean_distance"], found["largest_distance"]) == (pytest.approx(2.5 / 3), 2.0)
    assert found["pairs"] == []
    assert [each["row"] for each in found["examples"]] == [3, 2]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (2, "2"),
        (["yes", "0.61"], "yes"),
        ({"damage": "no", "probability": 0.2}, "no"),
        ([0.2, 0.8], "class 1"),
        ([1.0], "1"),
        ({"score": 0.93}, "0.93"),
        ([3.5], "3.5"),
        ({"scores": [1, 2]}, "{'scores': [1, 2]}"),
    ],
)
def test_an_answer_is_said_in_short(item: object, said: str) -> None:
    assert headline(item) == said
