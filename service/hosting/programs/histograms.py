"""Programs of histogram gradient boosting: all trees of a model merged into one, walked by its own C code.

As in trees. These compare in float64, take any number and gaps, and know categories: columns that
scikit-learn encodes and puts first, and whose splits are sets of codes.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.programs.domain import Domain
from service.hosting.programs.program import Methods, by_rows, classify, taking
from service.hosting.programs.trees import (
    CELLS_AT_ONCE,
    MANY_ROWS,
    MAX_BYTES,
    add_up,
    choose_tree,
    repeat_rows,
)
from service.hosting.programs.walks import Walks, of_histograms

_WHOLE = 2.0**53
"""Up to here float64 holds all whole numbers."""


class _WalkedStages:
    """The trees of all stages, walked by the kernel. `scores` adds up their leaves, stage by stage."""

    def __init__(self, estimator: Any) -> None:
        """Raises NotCompilable for what is not for the kernel."""
        each = int(estimator.n_trees_per_iteration_)
        trees = [tree.nodes for stage in estimator._predictors for tree in stage]
        if sum(nodes.nbytes for nodes in trees) > MAX_BYTES:
            raise NotCompilable("its trees are too large")
        self._start = np.broadcast_to(np.asarray(estimator._baseline_prediction, np.float64), (1, each))
        self._walks = Walks(
            [of_histograms(nodes, number % each) for number, nodes in enumerate(trees)],
            int(estimator.n_features_in_),
            each,
            narrow=False,
        )

    def scores(self, rows: Any) -> Any:
        """(n, trees per stage), for rows as the trees were fitted with."""
        return self._walks.add_to(np.repeat(self._start, len(rows), axis=0), rows)


class _MergedStages:
    """The trees of all stages as one. `scores` adds up what their leaves hold, stage by stage."""

    def __init__(self, estimator: Any) -> None:
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        self._stages = estimator._predictors
        self._each = int(estimator.n_trees_per_iteration_)
        self._features = int(estimator.n_features_in_)
        self._start = estimator._baseline_prediction
        trees = [tree for stage in self._stages for tree in stage]
        self._count = len(trees)
        sets = np.concatenate([tree.raw_left_cat_bitsets for tree in trees])
        self._tree = TreePredictor(_merge(trees, self._features), sets[:0], sets)
        self._known, places = estimator._bin_mapper.make_known_categories_bitsets()
        self._places = np.append(places, np.zeros(1, dtype=places.dtype))
        self._own_places = places
        self._numbers = np.arange(self._count, dtype=np.float64)
        self._most_rows = max(1, CELLS_AT_ONCE // (self._count * (self._features + 1)))

    def scores(self, rows: Any) -> Any:
        """(n, trees per stage), for rows as the trees were fitted with."""
        if len(rows) >= MANY_ROWS:
            return self._scores_by_tree(rows)
        most = self._most_rows
        if len(rows) <= most:
            return self._part_scores(rows)
        return np.concatenate([self._part_scores(rows[at : at + most]) for at in range(0, len(rows), most)])

    def _part_scores(self, rows: Any) -> Any:
        count, each = self._count, self._each
        wide = repeat_rows(rows, self._numbers)
        leaves = self._tree.predict(wide, self._known, self._places, 1)
        # (stages + 1, n, trees per stage): the baseline comes first, as scikit-learn adds it.
        steps = np.empty((count // each + 1, len(rows), each))
        steps[0] = self._start
        steps[1:] = leaves.reshape(-1, each, len(rows)).transpose(0, 2, 1)
        return add_up(steps)

    def _scores_by_tree(self, rows: Any) -> Any:
        total = np.zeros((len(rows), self._each))
        total += self._start
        for stage in self._stages:
            for place, tree in enumerate(stage):
                total[:, place] += tree.predict(rows, self._known, self._own_places, 1)
        return total


def _merge(trees: Sequence[Any], selector: int) -> Any:
    """Nodes of all trees in one array, the choice among them first."""
    parts = [tree.nodes for tree in trees]
    size_bytes = sum(part.nbytes for part in parts)
    if size_bytes > MAX_BYTES:
        raise NotCompilable(f"its trees hold {size_bytes >> 20} MiB, of which no copy is made")
    joints = len(parts) - 1
    starts = joints + np.concatenate([[0], np.cumsum([len(part) for part in parts])[:-1]])
    top = np.zeros(joints, dtype=parts[0].dtype)
    plain = np.zeros(
        joints,
        dtype=[("feature", "i8"), ("threshold", "f8"), ("left_child", "i8"), ("right_child", "i8")],
    )
    choose_tree(plain, starts, selector)
    for name, own in (("feature", "feature_idx"), ("threshold", "num_threshold")):
        top[own] = plain[name]
    top["left"], top["right"] = plain["left_child"], plain["right_child"]
    moved, sets = [], 0
    for tree, start in zip(trees, starts, strict=True):
        nodes = tree.nodes.copy()
        inner = nodes["is_leaf"] == 0
        nodes["left"][inner] += nodes["left"].dtype.type(start)
        nodes["right"][inner] += nodes["right"].dtype.type(start)
        nodes["bitset_idx"] += nodes["bitset_idx"].dtype.type(sets)
        sets += len(tree.raw_left_cat_bitsets)
        moved.append(nodes)
    return np.concatenate([top, *moved])


def _scores(estimator: Any) -> Step:
    stages = _stages(estimator)
    if estimator.is_categorical_ is None:
        return stages.scores
    encode = _encoded(estimator)
    return lambda rows: stages.scores(encode(rows))


def _stages(estimator: Any) -> _WalkedStages | _MergedStages:
    try:
        return _WalkedStages(estimator)
    except NotCompilable:
        return _MergedStages(estimator)


def _encoded(estimator: Any) -> Step:
    """Rows as the trees want them: columns of categories first, as codes, which are nan where not known."""
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    kept = ~estimator.is_categorical_
    order = np.concatenate([np.flatnonzero(~kept), np.flatnonzero(kept)])
    known = [_numbers(values) for values in encoder.categories_]

    def encode(rows: Any) -> Any:
        found = rows[:, order]
        if np.isinf(found[:, : len(known)]).any():
            raise NotForPrograms  # scikit-learn refuses it there
        for place, values in enumerate(known):
            cells = found[:, place]
            codes = np.minimum(values.searchsorted(cells), len(values) - 1)
            found[:, place] = np.where(values[codes] == cells, codes, np.nan)
        return found

    return encode


def _numbers(categories: Any) -> Any:
    """Categories in order, of which nan is none."""
    if categories.dtype.kind not in "iuf":
        raise NotCompilable("it has columns of words")
    found = categories[categories == categories].astype(np.float64)
    if (abs(found) > _WHOLE).any():
        raise NotCompilable("it has categories that float64 does not tell apart")
    return found if len(found) else np.array([np.nan])


def _domain(estimator: Any) -> Domain:
    return Domain.ANY if estimator.is_categorical_ is None else Domain.GAPS


def _classifier(estimator: Any) -> Methods:
    scores, classes, loss = _scores(estimator), estimator.classes_, estimator._loss
    flat = len(classes) == 2
    return {
        "decision_function": (lambda rows: scores(rows).ravel()) if flat else scores,
        # In the memory order that scikit-learn has there: sums over many classes depend on it.
        "predict_proba": lambda rows: loss.predict_proba(np.asfortranarray(scores(rows))),
        "predict": (lambda rows: classes[(scores(rows).ravel() > 0).astype(int)])
        if flat
        else classify(scores, classes),
    }


def _regressor(estimator: Any) -> Methods:
    scores, inverse = _scores(estimator), estimator._loss.link.inverse
    return {"predict": lambda rows: inverse(scores(rows).ravel())}


def _by_rows(builder: Callable[[Any], Methods]) -> Callable[[Any], Methods]:
    rows = by_rows(builder)
    return lambda estimator: taking(_domain(estimator), rows(estimator))


BUILDERS: Mapping[str, Callable[[Any], Methods]] = MappingProxyType(
    {
        "HistGradientBoostingClassifier": _by_rows(_classifier),
        "HistGradientBoostingRegressor": _by_rows(_regressor),
    }
)
