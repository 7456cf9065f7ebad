"""Labels that come one by one lead to what grading all of them at once does."""

import orjson
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score

from service.experiments.answers import Task
from service.experiments.labels import Labels


def _all(labels: Labels, pairs: list[tuple[str, str]]) -> list[float | None]:
    """The outcomes of pairs that come one by one, as whoever counts anew where that is needed."""
    found: list[float | None] = []
    for number, (label, answer) in enumerate(pairs):
        if labels.meet([(label, answer)]):
            labels.forget()
            found = [labels.count("a", *before) for before in pairs[:number]]
        found.append(labels.count("a", label, answer))
    return found


def test_classes_are_right_or_wrong() -> None:
    truth = [str(number % 3) for number in range(60)]
    said = [str(number % 3 if number % 4 else 2) for number in range(60)]
    labels = Labels()

    outcomes = _all(labels, [(one, f"[{two}]") for one, two in zip(truth, said, strict=True)])

    assert labels.task == Task(("0", "1", "2"))
    assert labels.binary
    assert sum(each or 0.0 for each in outcomes) / 60 == accuracy_score(truth, said)
    assert labels.quality["a"].document()["accuracy"] == accuracy_score(truth, said)


def test_one_score_a_row_is_a_probability_of_the_second_class() -> None:
    truth = [number % 2 for number in range(80)]
    scores = [round((number * 37 % 100 + 1) / 200 + 0.3 * (number % 2), 3) for number in range(80)]
    labels = Labels()

    outcomes = _all(labels, [(str(one), f"{two}") for one, two in zip(truth, scores, strict=True)])

    assert labels.task == Task(("0", "1"))
    assert outcomes == [float((score >= 0.5) == bool(one)) for one, score in zip(truth, scores, strict=True)]
    assert labels.quality["a"].document()["roc_auc"] == pytest.approx(roc_auc_score(truth, scores))


def test_labels_that_turn_out_to_be_measures_are_counted_anew() -> None:
    truth = [1.0, 2.0, 3.0, 3.5, 4.25, *(number / 7 for number in range(60))]
    said = [number + 0.5 for number in truth]
    labels = Labels()

    outcomes = _all(labels, [(str(one), f"[{two}]") for one, two in zip(truth, said, strict=True)])

    assert not labels.binary
    assert outcomes == pytest.approx([0.5] * len(truth))
    assert labels.quality["a"].document()["mean_absolute_error"] == pytest.approx(
        mean_absolute_error(truth, said)
    )


@pytest.mark.parametrize("answer", [None, "[1, 2", "", '{"a": 1, "b": 2}'])
def test_an_answer_that_says_nothing_is_counted_as_such(answer: str | None) -> None:
    labels = Labels(Task(()))

    assert labels.count("a", "1.5", answer) is None
    assert labels.unclear == 1


def test_what_was_known_before_a_start_stays() -> None:
    labels = Labels(Task(("no", "yes")))
    pairs = [("yes", "yes"), ("no", "yes")]

    assert labels.learn(pairs)
    assert not labels.meet(pairs)
    assert [labels.count("a", *pair) for pair in pairs] == [1.0, 0.0]


def test_figures_tell_only_so_many_names_apart_and_stay_right() -> None:
    labels = Labels()
    pairs = [(f"word{number}", f'["word{number - number % 2}"]') for number in range(2000)]

    outcomes = _all(labels, pairs[:60])
    outcomes += [labels.count("a", *pair) for pair in pairs[60:]]

    document = labels.quality["a"].document()
    assert len(document["classes"]) <= 50 + 50 + 2
    assert len(document["confusion"]) <= 3 * 102
    assert document["count"] == len(outcomes) == 2000
    assert document["accuracy"] == sum(each or 0.0 for each in outcomes) / 2000 == 0.5


@pytest.mark.parametrize("label", ["1e308", "nan", "inf", "-1e101"])
def test_numbers_beyond_all_bounds_are_unclear(label: str) -> None:
    labels = Labels(Task(()))

    assert labels.count("a", label, "[1.5]") is None
    assert labels.count("a", "2", "[1e200]") is None
    assert (labels.unclear, labels.quality) == (2, {})


@pytest.mark.parametrize("answer", ["[" * 1024, "a\rb", "9" * 400, '["\\ud800"]'])
def test_no_answer_keeps_labels_from_being_counted(answer: str) -> None:
    labels = Labels()

    labels.meet([("x", answer), ("y", "x"), ("1.5", answer)])

    assert labels.count("a", "x", answer) in (None, 0.0)
    assert Labels(Task(())).count("a", "1.5", answer) is None


def test_what_is_told_of_answers_can_be_written() -> None:
    labels = Labels(Task(("x", "y")))

    labels.count("a", "x", '["\\ud800"]')

    assert orjson.dumps(labels.quality["a"].document())


def test_labels_that_are_made_up_have_little_counted_again() -> None:
    labels = Labels()
    for number in range(20_000):
        labels.meet([(str(number % 2), "[0]")])
        labels.count("a", str(number % 2), "[0]")

    again = 0
    for number in range(500):
        if labels.meet([(f"word {number % 40}", "[0]")]):
            again += 1
        assert labels.count("a", f"word {number % 40}", "[0]") == 0.0

    assert again == 1  # once a hundredth of the labels beyond ten thousand were strange
    assert labels.task is not None
    assert {"0", "1", "word 0", "word 39"} <= {*labels.task.classes}


def test_a_class_that_comes_late_is_known_once_it_is_no_rarity() -> None:
    labels = Labels()
    for number in range(20_000):
        labels.meet([(str(number % 2), f"[{number % 2}]")])
        labels.count("a", str(number % 2), f"[{number % 2}]")

    assert not labels.meet([("2", "[2]")] * 50)
    assert labels.task == Task(("0", "1"))
    assert labels.meet([("2", "[2]")] * 51)
    assert labels.task == Task(("0", "1", "2"))
