"""Answers as containers word them, read against labels."""

from typing import Any

import pytest

from service.errors import UnclearAnswer
from service.experiments.answers import (
    Task,
    canonical,
    read_items,
    read_measures,
    read_predictions,
    tell_task,
)
from service.experiments.class_quality import ClassQuality
from service.experiments.grading import grade
from service.experiments.number_quality import NumberQuality

_TWO = Task(("no", "yes"))


@pytest.mark.parametrize(
    ("body", "rows", "items"),
    [
        (b"[0, 2]", 2, [0, 2]),
        (b"[0]", 1, [0]),
        (b"[0.2, 0.8]", 1, [[0.2, 0.8]]),
        (b"[[0.2, 0.8]]", 1, [[0.2, 0.8]]),
        (b'{"predictions": [{"score": 0.98}]}', 1, [{"score": 0.98}]),
        (b'{"damage": "yes", "probability": 0.6}', 1, [{"damage": "yes", "probability": 0.6}]),
        (b"0\n2\n", 2, [0, 2]),
        (b"0.93", 1, [0.93]),
        (b"setosa\nvirginica\n", 2, ["setosa", "virginica"]),
        (b"yes,0.61\r\nno,0.2\r\n", 2, [["yes", "0.61"], ["no", "0.2"]]),
        (b"[0.1, 0.9]\n[0.7, 0.3]\n", 2, [[0.1, 0.9], [0.7, 0.3]]),
        (b'"yes"', 1, ["yes"]),
    ],
)
def test_an_answer_has_a_part_for_each_row(body: bytes, rows: int, items: list[Any]) -> None:
    assert read_items(body, rows) == items


@pytest.mark.parametrize("body", [b"[0, 1, 2]", b"", b'{"a": [1], "b": [2]}', b"\xff\xfe"])
def test_an_answer_with_other_parts_than_rows_is_refused(body: bytes) -> None:
    with pytest.raises(UnclearAnswer, match="The answer to 2 rows has"):
        read_items(body, 2)


@pytest.mark.parametrize(
    ("labels", "items", "classes"),
    [
        (["0", "1", "1.0"], [0, 1, 1], ("0", "1")),
        (["10", "9"], [9, 10], ("9", "10")),
        (["no", "yes"], ["yes", "no"], ("no", "yes")),
        (["0", "1"], [0.2, 0.93], ("0", "1")),
        (["True", "false"], [True, False], ("false", "true")),
        (["1.5", "2"], [1.4, 2.2], ()),
        (["3", "4", "5"], [3.2, 4.4, 4.9], ()),
        (["0", "100"], [12.5, 88.1], ()),
        ([str(number) for number in range(30)], [*range(30)], ()),
        (["0", "1", "2"], [[0.1, 0.2, 0.7]] * 3, ("0", "1", "2")),
    ],
)
def test_labels_and_answers_tell_classes_from_numbers(
    labels: list[str], items: list[Any], classes: tuple[str, ...]
) -> None:
    assert tell_task(labels, items).classes == classes


@pytest.mark.parametrize(
    ("item", "value", "scores"),
    [
        ("yes", "yes", None),
        (["yes"], "yes", None),
        ([0.25, 0.75], "yes", (0.25, 0.75)),
        (["0.75", "0.25"], "no", (0.75, 0.25)),
        (["yes", "0.25", "0.75"], "yes", (0.25, 0.75)),
        (["yes", [0.25, 0.75]], "yes", (0.25, 0.75)),
        ({"predicted_label": "yes", "probabilities": [0.25, 0.75]}, "yes", (0.25, 0.75)),
        ({"probabilities": [0.25, 0.75]}, "yes", (0.25, 0.75)),
        ({"label": "yes", "scores": [0.5, 0.9]}, "yes", None),
        ({"damage": "yes", "probability": 0.75}, "yes", (0.25, 0.75)),
        (["yes", "0.75"], "yes", (0.25, 0.75)),
        ({"damage": "no", "probability": 0.75}, "no", None),
        ({"label": "yes", "scores": [0.1, 0.2, 0.7]}, "yes", None),
    ],
)
def test_a_part_names_a_class_and_its_chances(
    item: Any, value: str, scores: tuple[float, ...] | None
) -> None:
    (prediction,) = read_predictions(_TWO, [item])

    assert (prediction.value, prediction.scores) == (value, scores)


def test_lone_scores_of_two_classes_are_chances_of_the_second() -> None:
    found = read_predictions(Task(("0", "1")), [0.2, 0.93, 1.0])

    assert [(each.value, each.scores) for each in found] == [
        ("0", (0.8, 0.2)),
        ("1", (pytest.approx(0.07), 0.93)),
        ("1", (0.0, 1.0)),
    ]
    plain = read_predictions(Task(("0", "1")), [0, 1, 1])
    assert [(each.value, each.scores) for each in plain] == [("0", None), ("1", None), ("1", None)]


def test_chances_that_contradict_the_named_classes_are_left_out() -> None:
    """A probability beside "no" may be that of "no"."""
    found = read_predictions(_TWO, [["no", 0.9], ["yes", 0.8]])

    assert [each.scores for each in found] == [None, None]


def test_numbers_alone_may_be_a_class_and_its_chances() -> None:
    numbered = Task(("0", "1"))

    assert read_predictions(numbered, [["1", 0.25, 0.75]])[0].scores == (0.25, 0.75)
    assert read_predictions(numbered, [["1", "0.93"]])[0].value == "1"
    for item in ([1, 2, 3], [7, 0.25, 0.75], []):
        with pytest.raises(UnclearAnswer, match="names none of the classes 0, 1"):
            read_predictions(numbered, [item])


def test_a_part_that_says_nothing_is_refused() -> None:
    with pytest.raises(UnclearAnswer, match="names none of the classes no, yes"):
        read_predictions(_TWO, [{"scores": [0.1, 0.2, 0.7]}])
    for item in ("many", [1.0, 2.0], None, {"a": 1, "b": 2}, "inf"):
        with pytest.raises(UnclearAnswer, match="is no number"):
            read_measures([item])


def test_one_class_has_one_spelling() -> None:
    assert canonical(1) == canonical(1.0) == canonical("1") == canonical(" 1.0 ") == "1"
    assert canonical(True) == canonical("TRUE") == "true"
    assert canonical(0.5) == canonical("0.50") == "0.5"
    assert canonical(" setosa ") == "setosa"


def test_a_rows_outcome_is_whether_it_is_right_or_how_far_off() -> None:
    classes = grade(Task(("0", "1")), ["0", "1", "1"], {0: 0, 2: 0})
    numbers = grade(Task(()), ["1.5", "2"], {0: [1.0], 1: {"score": 4}})

    assert classes.outcomes == {0: 1.0, 2: 0.0}
    assert isinstance(classes.quality, ClassQuality)
    assert numbers.outcomes == {0: 0.5, 1: 2.0}
    assert isinstance(numbers.quality, NumberQuality)
