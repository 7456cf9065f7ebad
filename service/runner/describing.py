"""What a loaded model takes and gives, as far as it tells: for documents that describe calls of it.

Read from what scikit-learn's estimators remember of their fitting. Nothing here is needed to answer a call,
and whatever a model does not tell is left open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

MOST_CLASSES = 100
"""Labels, or words of a column, beyond which they are no choice that a document lists."""

_MOST_COLUMNS = 1000
_MOST_DEPTH = 20


def describe(estimator: Any) -> dict[str, Any]:
    """Its `width` or None, its `columns` and `labels` in order, and whether it answers each row by a number.

    Plain values, fit for JSON.
    """
    try:
        width = getattr(estimator, "n_features_in_", None)
        columns = list(_columns(estimator))
        labels = list(_labels(estimator))
        numbers = _is_regressor(estimator)
    except Exception:  # the edge of a model's own objects, any attribute of which may be code
        return {"width": None, "columns": [], "labels": [], "numbers": False}
    known = width if type(width) is int and width > 0 else None  # CatBoost's 0 says that it does not know
    return {"width": known, "columns": columns, "labels": labels, "numbers": numbers}


def column(name: str, text: bool = False, words: tuple[str, ...] = (), gaps: bool = False) -> dict[str, Any]:
    """One input column; see service.hosting.host.Column."""
    return {"name": name, "text": text, "words": words, "gaps": gaps}


def _is_regressor(estimator: Any) -> bool:
    tags = getattr(estimator, "__sklearn_tags__", None)  # before scikit-learn 1.6 an attribute
    kind = getattr(estimator, "_estimator_type", "") if tags is None else tags().estimator_type
    return bool(kind == "regressor")


def _labels(estimator: Any) -> Iterator[Any]:
    found = getattr(estimator, "classes_", None)
    values: Any = None if found is None or not hasattr(found, "tolist") else found.tolist()
    if not isinstance(values, list) or len(values) > MOST_CLASSES:
        return
    if all(isinstance(value, (str, int, float, bool)) for value in values):  # else several outputs
        yield from values


def _columns(estimator: Any) -> Iterator[dict[str, Any]]:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or len(names) > _MOST_COLUMNS:
        return
    known = {column["name"]: column for column in _known_columns(estimator, list(names), False, 0)}
    for name in map(str, names):
        yield known.get(name, column(name))


def _known_columns(part: Any, names: list[str], gaps: bool, depth: int) -> Iterator[dict[str, Any]]:
    """What the steps of a pipeline tell of the columns that they are fitted on."""
    if depth > _MOST_DEPTH:
        return
    if hasattr(part, "steps"):
        yield from _of_steps([step for _, step in part.steps], names, gaps, depth)
    elif hasattr(part, "transformers_"):
        for _, inner, where in part.transformers_:
            chosen = list(_chosen(where, names))
            if not isinstance(inner, str) and chosen:
                yield from _known_columns(inner, chosen, gaps, depth + 1)
    elif hasattr(part, "categories_") and len(part.categories_) == len(names):
        strict = getattr(part, "handle_unknown", "") == "error"
        for name, words in zip(names, part.categories_):
            yield _column_of_words(name, list(words), strict, gaps)
    else:
        for name in names:
            yield column(name, gaps=gaps)


def _of_steps(steps: list[Any], names: list[str], gaps: bool, depth: int) -> Iterator[dict[str, Any]]:
    """The first step that is no imputer tells: an imputer hands columns on, filled."""
    for step in steps:
        if "Imputer" not in type(step).__name__:
            yield from _known_columns(step, names, gaps, depth + 1)
            return
        gaps = True


def _chosen(where: Any, names: list[str]) -> Iterable[str]:
    """The names that a ColumnTransformer chose by names, numbers or truth values."""
    if isinstance(where, str):
        return [where]
    if isinstance(where, slice):
        return names[where] if not isinstance(where.start, str) else []
    items = list(where) if hasattr(where, "__iter__") else [where]
    if items and all(isinstance(item, bool) for item in items):
        return [name for name, chosen in zip(names, items) if chosen]
    return [str(item) if isinstance(item, str) else names[int(item)] for item in items]


def _column_of_words(name: str, words: list[Any], strict: bool, gaps: bool) -> dict[str, Any]:
    texts = tuple(str(word) for word in words if isinstance(word, str))
    listed = strict and len(texts) <= MOST_CLASSES and len(texts) == len(words)
    return column(name, bool(texts), texts if listed else (), gaps or len(texts) < len(words))
