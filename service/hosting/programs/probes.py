"""Rows to try a model with: from its own ranges, and where models are known to break."""

from collections.abc import Callable, Iterator, Mapping
from time import thread_time
from typing import Any

import numpy as np
import numpy.typing as npt

from service.media.readers import Matrix

_COUNT = 192
_THRESHOLD_ROWS = 96
_DEPTH = 4
_CATEGORIES = 48
_MOST_ANCHORS = 64
_PAIRS = 24
_PAIRS_DRAWN = 400
_HALVING_S = 0.1
_EDGES = (0.0, -1.0, 1.0, 1e-30, 1e6, -1e6, 1e12, -1e12)


def probe_rows(estimator: Any, features: int, example: Matrix | None, seed: int = 0) -> Matrix:
    """About 300 finite rows (n, features).

    Mixed from what the fitted estimator holds about its columns (means, ranges, centres, support vectors) and
    the example rows; rows with one value on, just below and just above thresholds of its trees; edges.
    """
    random = np.random.default_rng(seed)
    anchors = _anchors(estimator, features, example, random)
    mixed = _mix(anchors, _COUNT, random)
    near = _near_thresholds(estimator, anchors, random)
    edges = np.array([np.full(features, edge) for edge in _EDGES])
    spiked = _mix(anchors, len(_EDGES), random)
    spiked[np.arange(len(_EDGES)), random.integers(0, features, len(_EDGES))] = _EDGES
    own = [] if example is None else [example]
    return np.ascontiguousarray(np.concatenate([*own, mixed, near, edges, spiked]))


def _anchors(estimator: Any, features: int, example: Matrix | None, random: np.random.Generator) -> Matrix:
    """Plausible rows, of which others are mixed."""
    found = [
        np.zeros((1, features)),
        random.normal(size=(8, features)),
        random.normal(size=(8, features)) * 10,
    ]
    found.append(random.integers(0, 10, size=(8, features)).astype(np.float64))
    if example is not None:
        found.append(example)
    for array in _arrays(estimator, features):
        rows = np.atleast_2d(array)
        if len(rows) > _MOST_ANCHORS:
            rows = rows[random.choice(len(rows), _MOST_ANCHORS, replace=False)]
        found.append(rows[np.isfinite(rows).all(axis=1)].astype(np.float64))
    for column, thresholds in thresholds_of(estimator, features).items():
        rows = _mix(np.concatenate(found), min(len(thresholds), 8), random)
        rows[:, column] = random.choice(thresholds, len(rows))
        found.append(rows)
    found += [_of_categories(part, features, random) for part in parts_of(estimator)]
    return np.concatenate(found)


def _of_categories(estimator: Any, features: int, random: np.random.Generator) -> Matrix:
    """Rows of categories, if it is gradient boosting that knows some."""
    order = _places(estimator, features)
    encoder = getattr(getattr(estimator, "_preprocessor", None), "named_transformers_", {}).get("encoder")
    rows = random.normal(size=(0 if encoder is None else _CATEGORIES, features))
    for column, values in zip(order, getattr(encoder, "categories_", ()), strict=False):
        if values.dtype.kind in "iuf":
            rows[:, column] = random.choice(values, len(rows))
    return np.asarray(np.nan_to_num(rows))


def _places(estimator: Any, features: int) -> npt.NDArray[np.intp]:
    """Where the columns of a model's trees are in its rows: gradient boosting puts categories first."""
    chosen = getattr(estimator, "is_categorical_", None)
    if not isinstance(chosen, np.ndarray) or chosen.shape != (features,):
        return np.arange(features)
    return np.concatenate([np.flatnonzero(chosen), np.flatnonzero(~chosen)])


def _mix(anchors: Matrix, count: int, random: np.random.Generator) -> Matrix:
    """Rows whose every value comes from some anchor, a half of them moved a little."""
    chosen = random.integers(0, len(anchors), (count, anchors.shape[1]))
    rows = anchors[chosen, np.arange(anchors.shape[1])]
    moved = random.random(rows.shape) < 0.5
    return np.asarray(np.where(moved, rows * (1 + 0.1 * random.normal(size=rows.shape)), rows))


def _near_thresholds(estimator: Any, anchors: Matrix, random: np.random.Generator) -> Matrix:
    """Rows with a value on a threshold or next to it, in float32 and in float64."""
    pairs = [
        (column, value)
        for column, values in thresholds_of(estimator, anchors.shape[1]).items()
        for value in values
    ]
    if not pairs:
        return anchors[:0]
    count = min(_THRESHOLD_ROWS, 6 * len(pairs))
    rows = _mix(anchors, count, random)
    for row, number in zip(rows, random.integers(0, len(pairs), count), strict=True):
        column, value = pairs[number]
        row[column] = random.choice(neighbours(value))
    return rows


def neighbours(value: float) -> Matrix:
    """A number and those next to it, in float32 and in float64."""
    single = np.float32(value)
    near = [
        value,
        np.nextafter(value, -np.inf),
        np.nextafter(value, np.inf),
        single,
        np.nextafter(single, np.float32(-np.inf)),
        np.nextafter(single, np.float32(np.inf)),
    ]
    return np.array([float(each) for each in near])


def boundary_rows(labels: Callable[[Matrix], Any], rows: Matrix, seed: int = 0) -> Matrix:
    """Rows (n, features) between rows of different labels: pairs of neighbours, one with each label.

    Found by halving what lies between two rows, as far as numbers go or as there is time. None are found
    for answers that are no labels.
    """
    begun_s = thread_time()
    found = np.asarray(labels(rows))
    if found.ndim != 1 or found.dtype.kind == "f":
        return rows[:0]
    pairs = np.random.default_rng(seed).integers(0, len(rows), (_PAIRS_DRAWN, 2))
    first, second = pairs[found[pairs[:, 0]] != found[pairs[:, 1]]][:_PAIRS].T
    low, high = rows[first], rows[second]
    while len(low) and thread_time() - begun_s < _HALVING_S:
        middle = low + (high - low) / 2
        if ((middle == low) | (middle == high)).all():
            break
        same = (np.asarray(labels(middle)) == found[first])[:, np.newaxis]
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.ascontiguousarray(np.concatenate([low, high]))


def _arrays(estimator: Any, features: int) -> Iterator[npt.NDArray[Any]]:
    """Every array that holds a value or more per column, here and in the estimators inside.

    As it is: some hold all that the estimator was fitted with, and a copy would take as much memory again.
    """
    for part in parts_of(estimator):
        for value in vars(part).values():
            if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.ndim not in (1, 2):
                continue
            if value.shape[-1] == features and value.size:
                yield value


def thresholds_of(estimator: Any, features: int) -> dict[int, Matrix]:
    """Thresholds of the trees inside, by column."""
    columns: list[npt.NDArray[Any]] = []
    values: list[npt.NDArray[Any]] = []
    order = np.arange(features)
    for part in parts_of(estimator):
        if hasattr(part, "is_categorical_"):
            order = _places(part, features)
        tree = getattr(part, "tree_", None)
        if tree is not None:
            inner = tree.children_left >= 0
            columns.append(tree.feature[inner])
            values.append(tree.threshold[inner])
        nodes = getattr(part, "nodes", None)
        if isinstance(nodes, np.ndarray) and "num_threshold" in (nodes.dtype.names or ()):
            inner = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)
            inner &= nodes["feature_idx"] < features
            columns.append(order[nodes["feature_idx"][inner]])
            values.append(nodes["num_threshold"][inner])
    if not columns:
        return {}
    at, value = np.concatenate(columns), np.concatenate(values)
    usable = (at < features) & np.isfinite(value)
    return {int(column): value[usable & (at == column)] for column in np.unique(at[usable])}


def parts_of(estimator: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """The estimator and those of scikit-learn that it holds, however they are held."""
    if depth == 0 or not hasattr(estimator, "__dict__") or isinstance(estimator, type):
        return
    yield estimator
    for value in vars(estimator).values():
        yield from _inside(value, depth)


def _inside(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist() if value.dtype == object else ()
    if isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item, depth)
    elif type(value).__module__.partition(".")[0] == "sklearn":
        yield from parts_of(value, depth - 1)


def rows_beside(
    thresholds: Mapping[int, Any], features: int, kind: type[np.floating[Any]], count: int = 192
) -> Matrix:
    """Rows (count, features) on thresholds, next to them and between, which are given by their columns.

    `kind` is what these are compared as. The same for the same thresholds.
    """
    random = np.random.default_rng(0)
    scales = random.choice((0.1, 1.0, 10.0, 1e3), (count, 1))
    rows: Matrix = random.normal(size=(count, features)) * scales
    for column, values in thresholds.items():
        chosen = random.choice(values, count).astype(kind)
        beside = np.nextafter(chosen, random.choice((-np.inf, 0, np.inf), count).astype(kind))
        moved = chosen * random.normal(1, 0.3, count)
        kept = random.random(count)
        rows[:, column] = np.where(kept < 0.2, chosen, np.where(kept < 0.5, beside, moved))
    return rows
