"""Few marks tell how an experiment has gone, however long it takes."""

from itertools import pairwise
from typing import Any

from service.experiments.timeline import MOST_MARKS, Mark, mark_of, with_mark


def verdict(count: int, lower: float | None = -0.25) -> dict[str, Any]:
    variants = [{"name": name, "count": count, "mean": 0.5} for name in "ab"]
    comparison = {"challenger": "b", "difference": 1 / 3, "lower": lower, "upper": 0.5, "sentence": "Wait."}
    return {"variants": variants, "comparisons": [comparison]}


def gone(seconds: int, step_s: int = 5) -> list[Mark]:
    marks: list[Mark] = []
    for second in range(0, seconds, step_s):
        marks = with_mark(marks, mark_of(verdict(second + 1), second))
    return marks


def test_a_mark_has_the_moment_the_outcomes_and_the_intervals() -> None:
    assert mark_of(verdict(30, None), 60.0) == {
        "at": "1970-01-01T00:01:00+00:00",
        "outcomes": 60,
        "comparisons": [{"challenger": "b", "difference": 0.33333, "lower": None, "upper": 0.5}],
    }


def test_no_outcome_more_is_no_news() -> None:
    marks = with_mark([], mark_of(verdict(1), 0.0))
    assert with_mark(marks, mark_of(verdict(1), 60.0)) == marks


def test_the_first_minutes_have_a_mark_for_each_moment() -> None:
    assert [mark["outcomes"] for mark in gone(60)] == [2 * (second + 1) for second in range(0, 60, 5)]


def test_weeks_have_no_more_marks_than_minutes_and_they_are_spread_over_all_of_it() -> None:
    for hours in (1, 5, 50):
        marks = gone(hours * 3600)
        assert MOST_MARKS / 3 < len(marks) <= MOST_MARKS
        assert marks[0]["outcomes"] == 2
        assert marks[-1]["outcomes"] == 2 * (hours * 3600 - 4)
        gaps = [after["outcomes"] - before["outcomes"] for before, after in pairwise(marks)]
        assert max(gaps) < 2 * hours * 3600 / 15
