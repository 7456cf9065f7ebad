"""Answers held against labels: what each row's outcome is, and how good the answers of a variant are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.experiments.answers import Task, canonical, read_measures, read_predictions
from service.experiments.class_quality import ClassQuality
from service.experiments.number_quality import NumberQuality


@dataclass(frozen=True, slots=True)
class Grades:
    """What came of a variant's rows.

    Both are by row: what was predicted, and as the outcome whether the class was right, 0 or 1, or how far
    the number was from the label.
    """

    predicted: Mapping[int, str | float]
    outcomes: Mapping[int, float]
    quality: ClassQuality | NumberQuality


def grade(task: Task, labels: Sequence[str], items: Mapping[int, Any]) -> Grades:
    """Grade the parts of answers, by the row that each is about.

    Raises:
        UnclearAnswer: a part says nothing of what was asked.
    """
    rows, parts = [*items], [*items.values()]
    return _grade_classes(task, labels, rows, parts) if task.classes else _grade_numbers(labels, rows, parts)


def _grade_classes(task: Task, labels: Sequence[str], rows: Sequence[int], parts: Sequence[Any]) -> Grades:
    quality, outcomes = ClassQuality(task.classes), {}
    predictions = dict(zip(rows, read_predictions(task, parts), strict=True))
    for row, prediction in predictions.items():
        label = canonical(labels[row])
        quality.add(label, prediction.value, prediction.scores)
        outcomes[row] = float(label == prediction.value)
    return Grades({row: each.value for row, each in predictions.items()}, outcomes, quality)


def _grade_numbers(labels: Sequence[str], rows: Sequence[int], parts: Sequence[Any]) -> Grades:
    quality, outcomes = NumberQuality(), {}
    predictions = dict(zip(rows, read_measures(parts), strict=True))
    for row, predicted in predictions.items():
        label = float(labels[row])
        quality.add(label, predicted)
        outcomes[row] = abs(predicted - label)
    return Grades(predictions, outcomes, quality)
