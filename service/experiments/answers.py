"""What the bytes of an answer predict, row by row, and whether that is what the labels say.

Containers word their answers as they like; this knows the usual ways: a value per row, a list of
probabilities, a record with either, as JSON, JSON lines or CSV.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from service.errors import UnclearAnswer

_MOST_CLASSES = 20
_ROUNDING = 0.02  # of probabilities that are written with few digits
_SCORES = ("probabilit", "score")


@dataclass(frozen=True, slots=True)
class Task:
    """What labels are: one of `classes`, or, without those, numbers."""

    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassPrediction:
    """A class, and the probabilities of all classes where the answer has them."""

    value: str
    scores: tuple[float, ...] | None = None


def read_items(body: bytes, rows: int) -> list[Any]:
    """The part of an answer that is about each of `rows` rows.

    Raises:
        UnclearAnswer: it has another number of parts.
    """
    text = body.decode("utf-8", "replace").strip()
    try:
        items = _parse(text)
    except (csv.Error, RecursionError) as error:
        raise UnclearAnswer(f"Nobody can read the answer ({error}): {text[:80]}") from error
    if rows == 1 and len(items) > 1:
        items = [items]
    if len(items) != rows:
        raise UnclearAnswer(f"The answer to {rows} rows has {len(items)} parts: {text[:80]}")
    return items


def _parse(text: str) -> list[Any]:
    for read in (json.loads, _read_json_lines):
        try:
            document = read(text)
        except ValueError:
            continue
        if isinstance(document, dict):
            lists = [value for value in document.values() if isinstance(value, list)]
            return lists[0] if len(lists) == len(document) == 1 else [document]
        return document if isinstance(document, list) else [document]
    cells = [row for row in csv.reader(io.StringIO(text)) if row]
    return [row[0] if len(row) == 1 else row for row in cells]


def _read_json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def tell_task(labels: Sequence[str], items: Sequence[Any]) -> Task:
    """What is predicted, by the labels and by all answers: classes, unless both look like measures."""
    names = sorted({canonical(label) for label in labels}, key=_order)
    numbers = [as_number(name) for name in names]
    if None not in numbers:
        measured = any(number is not None and not number.is_integer() for number in numbers)
        answered = [number for item in items if (number := _single(item)) is not None]
        if (
            measured
            or len(names) > _MOST_CLASSES
            or (_are_measures(answered) and not _may_be_scores(names, answered))
        ):
            return Task(())
    return Task(tuple(names))


def _are_measures(numbers: Sequence[float]) -> bool:
    return any(not number.is_integer() for number in numbers)


def _may_be_scores(names: Sequence[str], numbers: Sequence[float]) -> bool:
    return len(names) == 2 and all(0 <= number <= 1 for number in numbers)


def read_measures(items: Sequence[Any]) -> list[float]:
    """The number that each part of the answers is.

    Raises:
        UnclearAnswer: a part is none.
    """
    return [_measure(item) for item in items]


def read_predictions(task: Task, items: Sequence[Any]) -> list[ClassPrediction]:
    """The class that each part of the answers names.

    Raises:
        UnclearAnswer: a part names none.
    """
    found = [_classify(task, item) for item in items]
    if len(task.classes) != 2:
        return found
    return _read_single_scores(task, items, found)


def _read_single_scores(
    task: Task, items: Sequence[Any], found: list[ClassPrediction]
) -> list[ClassPrediction]:
    """One score per row is the probability of the second of two classes, if it agrees with the classes."""
    singles = [_single_score(item) for item in items]
    if (
        any(each.scores is not None for each in found)
        or None in singles
        or any(not 0 <= score <= 1 for score in singles if score is not None)
    ):
        return found
    scores = [score for score in singles if score is not None]
    if all(not isinstance(item, dict | list) for item in items):
        if all(score in (0, 1) for score in scores):
            return found
        found = [ClassPrediction(task.classes[score >= 0.5]) for score in scores]
    agree = all(
        (each.value == task.classes[1]) == (score >= 0.5) for each, score in zip(found, scores, strict=True)
    )
    if not agree:
        return found
    return [
        ClassPrediction(each.value, (1 - score, score)) for each, score in zip(found, scores, strict=True)
    ]


def _classify(task: Task, item: Any) -> ClassPrediction:
    label, scores = _parts(item, task.classes)
    if label is None and scores is not None and _are_probabilities(scores, len(task.classes)):
        label = task.classes[scores.index(max(scores))]
    if label is None:
        raise UnclearAnswer(f"{str(item)[:80]} names none of the classes {', '.join(task.classes)}.")
    if scores is not None and not _are_probabilities(scores, len(task.classes)):
        scores = None
    return ClassPrediction(label, scores)


def _parts(item: Any, classes: Sequence[str]) -> tuple[str | None, tuple[float, ...] | None]:
    """The class that a part names, and its scores."""
    if isinstance(item, dict):
        named = [value for key, value in item.items() if not _is_score(key)]
        scored = [value for key, value in item.items() if _is_score(key)]
        label = canonical(named[0]) if named and not isinstance(named[0], dict | list) else None
        return label, _numbers(scored[0] if scored else None)
    if not isinstance(item, list):
        return canonical(item), None
    if len(item) == 1:
        return _parts(item[0], classes)
    whole = _numbers(item)
    if whole is not None and _are_probabilities(whole, len(classes)):
        return None, whole
    if not item:
        return None, None
    label = canonical(item[0])
    rest = _numbers(item[1] if len(item) == 2 and isinstance(item[1], list) else item[1:])
    if whole is None or (
        label in classes and (len(item) == 2 or _are_probabilities(whole[1:], len(classes)))
    ):
        return label, rest
    return None, None


def _are_probabilities(numbers: Sequence[float], classes: int) -> bool:
    return len(numbers) == classes and min(numbers) >= 0 and abs(sum(numbers) - 1) < _ROUNDING


def _is_score(name: str) -> bool:
    return any(part in name.lower() for part in _SCORES)


def _single_score(item: Any) -> float | None:
    """The one score of a part: what stands alone, in a record or behind a class."""
    if isinstance(item, dict):
        return next((_single(value) for key, value in item.items() if _is_score(key)), None)
    if isinstance(item, list) and len(item) == 2:
        return _single(item[1])
    return _single(item)


def _single(item: Any) -> float | None:
    if isinstance(item, list) and len(item) == 1:
        return _single(item[0])
    if isinstance(item, dict):
        return _single(next(iter(item.values()))) if len(item) == 1 else None
    return None if isinstance(item, list) else as_number(item)


def _measure(item: Any) -> float:
    number = _single(item)
    if number is None or not isfinite(number):
        raise UnclearAnswer(f"{str(item)[:80]} is no number.")
    return number


def _numbers(item: Any) -> tuple[float, ...] | None:
    cells = item if isinstance(item, list) else [item]
    found = [as_number(cell) for cell in cells]
    return None if None in found else tuple(number for number in found if number is not None)


def as_number(cell: Any) -> float | None:
    """The number that a cell is, or None."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


def headline(item: Any) -> str:
    """What a part of an answer says in short: its class or number, or which probability is the greatest."""
    scores = _numbers(item) if isinstance(item, list) and len(item) > 1 else None
    if scores is not None and _are_probabilities(scores, len(scores)):
        return f"class {scores.index(max(scores))}"
    label, scores = _parts(item, ())
    if label is not None:
        return label
    single = _single_score(item)
    return canonical(single if single is not None else item)


def canonical(value: Any) -> str:
    """A class as labels and answers both write it: 1, 1.0 and "1" are one; so are true and "True"."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    number = as_number(value)
    if number is not None:
        return str(int(number)) if number.is_integer() else repr(number)
    text = (
        str(value).strip().encode("utf-8", "replace").decode()
    )  # no halves of a character: nobody keeps them
    return text.lower() if text.lower() in ("true", "false") else text


def _order(name: str) -> tuple[bool, float, str]:
    number = as_number(name)
    return (number is None, 0.0 if number is None else number, name)
