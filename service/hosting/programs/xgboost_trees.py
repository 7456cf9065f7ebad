"""Programs of XGBoost's trees, made of the documents in which it saves them; XGBoost itself is not needed.

Its trees compare float32 with `<`, scikit-learn's with `<=`: a threshold is moved to the float32 before it,
and scikit-learn's own walker finds the very leaf that XGBoost finds, gaps included. Leaves are added up in
float32, tree by tree. Whether that is what a version of XGBoost does is for who uses it to check, on the
model at hand. Documents are anybody's: nothing is walked before it is known where it leads.
"""

import ctypes
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.intervals import NodeFields, Split, bounds_of, put_split
from service.hosting.programs.program import expit
from service.hosting.programs.trees import CELLS_AT_ONCE, add_up, choose_tree, repeat_rows
from service.hosting.programs.walks import Walks, of_scikit_learn

_NO_CHILD: Final = -1
_WHOLE: Final = ("left_children", "right_children", "split_indices", "default_left")
_MOST_COLUMNS: Final = 10_000  # as many numbers as there are in the largest bodies that are read
_MOST_CELLS: Final = 8 * CELLS_AT_ONCE  # of one row, widened: beyond that it takes too long by far
_NODE_BYTES: Final = 80  # that a node takes: what the walker has of it, and what a leaf adds
_MOST_CATEGORIES: Final = 1 << 24  # float32 holds no more whole numbers
_BEFORE_ZERO: Final = float(np.nextafter(np.float32(0), np.float32(-1)))  # of what is less none is a category
_FIELDS: Final = NodeFields("feature", "threshold", "left_child", "right_child")
_ABOUT_EQUAL: Final = 1e-3  # raw scores whose chances may round to the same number
_LARGEST_EXPONENT: Final = np.float32(88.7)  # of XGBoost's sigmoid


@dataclass(frozen=True, slots=True)
class Booster:
    """What a document of XGBoost says.

    `margins` gives the raw scores (n, groups) float32 of rows; `thresholds` are what trees compare with, by
    the columns that they look at.
    """

    objective: str
    features: int
    margins: "Margins"
    thresholds: Mapping[int, Any]


def read_booster(document: Any, most_bytes: int) -> Booster:
    """Compile what `Booster.save_model` wrote, to what holds at most `most_bytes`. Raises NotCompilable."""
    try:
        with np.errstate(all="ignore"):  # numbers that are none of a tree's show as places that lead nowhere
            return _read(document, most_bytes)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NotCompilable(f"it is not as expected: {type(error).__name__}: {error}") from error


def _read(document: Any, most_bytes: int) -> Booster:
    learner = document.get("Model", document)["learner"]
    parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise NotCompilable(f"its booster is {booster['name']}")
    if int(parameters.get("num_target", 1)) > 1:
        raise NotCompilable("it answers with several numbers")
    if any(map(_is_number, learner.get("feature_names", ()))):
        raise NotCompilable("a row of numbers might be its header")
    groups, features = max(1, int(parameters["num_class"])), int(parameters["num_feature"])
    trees = _used_trees(booster["model"], learner.get("attributes", {}), groups)
    if not 0 < features <= _MOST_COLUMNS or len(trees) * (features + 1) > _MOST_CELLS:
        raise NotCompilable(f"{len(trees)} trees of {features} columns are too many")
    objective = str(learner["objective"]["name"])
    start = _start(objective, json.loads(parameters["base_score"]), groups)
    read, left = [], most_bytes // _NODE_BYTES
    for tree in trees:
        read.append(_Tree.of(tree, features, left))
        left -= len(read[-1].nodes) + 1
    return Booster(objective, features, Margins(read, features, start), _thresholds(read))


def _used_trees(model: Mapping[str, Any], attributes: Mapping[str, Any], groups: int) -> Sequence[Any]:
    """Those up to the best iteration, where training stopped early. Raises NotCompilable."""
    trees, told, best = model["trees"], list(model["tree_info"]), attributes.get("best_iteration")
    if best is not None:
        trees = trees[: int(model["iteration_indptr"][int(best) + 1])]
    in_turn = [number % groups for number in range(len(trees))]
    if not len(trees) or len(trees) % groups or told[: len(trees)] != in_turn:
        raise NotCompilable("its trees do not follow one another class by class")
    return list(trees)


def _start(objective: str, base_score: Any, groups: int) -> Any:
    """What the leaves are added to (groups) float32: the base score, before it becomes an answer."""
    start = np.atleast_1d(np.array(base_score, np.float32))
    if start.ndim != 1 or len(start) not in (1, groups):
        raise NotCompilable("its base score is none for its classes")
    if objective in LOGISTIC:
        start = -_by_c("logf", np.float32(1) / start - np.float32(1))
    elif objective in EXPONENTIAL:
        start = _by_c("logf", start)
    return np.resize(start, groups)


LOGISTIC: Final = frozenset({"binary:logistic", "reg:logistic"})
"""Objectives whose base score is a chance."""

EXPONENTIAL: Final = frozenset({"count:poisson", "reg:gamma", "reg:tweedie"})
"""Objectives whose answers are powers of e."""


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree, its nodes as scikit-learn has them, and what its leaves add (float32)."""

    nodes: Any
    values: Any

    @classmethod
    def of(cls, document: Mapping[str, Any], features: int, most: int) -> "_Tree":
        """It may have at most so many nodes.

        Raises NotCompilable, also for what the walker would not survive: children that lead back, or nowhere.
        """
        from sklearn.tree._tree import NODE_DTYPE

        left, right, columns, default = (np.asarray(document[name], dtype=np.int64) for name in _WHOLE)
        conditions = np.asarray(document["split_conditions"], dtype=np.float32)
        if {part.shape for part in (left, right, columns, default, conditions)} != {(len(left),)}:
            raise NotCompilable("the parts of a tree are not as many as its nodes")
        left, right = np.where(left < 0, _NO_CHILD, left), np.where(left < 0, _NO_CHILD, right)
        inner, places = left != _NO_CHILD, np.arange(len(left))
        leads = (left > places) & (right > places) & (left < len(left)) & (right < len(left))
        leads &= (columns >= 0) & (columns < features)
        if not len(left) or not leads[inner].all():
            raise NotCompilable("the nodes of a tree lead nowhere")
        nodes = np.zeros(len(left), NODE_DTYPE)
        nodes["left_child"], nodes["right_child"] = left, right
        nodes["feature"] = np.where(inner, columns, 0)
        nodes["threshold"] = np.nextafter(conditions, np.float32(-np.inf))
        nodes["missing_go_to_left"] = default != 0
        categorical = np.asarray(document.get("split_type", np.zeros(len(left)))) != 0
        splits = _categorical_splits(document, nodes, inner & categorical, most)
        count = len(left) + sum(split.besides for split in splits.values())
        if count > most:
            raise NotCompilable("its trees are too large")
        values = np.zeros(count, np.float32)
        values[: len(left)] = np.where(inner, np.float32(0), conditions)
        return cls(_with_splits(nodes, splits, count), values)


def _categorical_splits(
    document: Mapping[str, Any], nodes: Any, categorical: Any, most: int
) -> dict[int, Split]:
    """Those of nodes whose rows go to the right with a category of a set, and else to the left."""
    if not categorical.any():
        return {}
    parts = ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    owners, starts, sizes, categories = (np.asarray(document[name], dtype=np.int64) for name in parts)
    if sizes.sum() > most:
        raise NotCompilable("its sets of categories are too large")
    if set(owners.tolist()) != set(np.flatnonzero(categorical).tolist()):
        raise NotCompilable("a set of categories is nowhere")
    splits = {}
    for owner, start, size in zip(owners.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        if not 0 <= start <= start + size <= len(categories):
            raise NotCompilable("a set of categories is nowhere")
        found = np.unique(categories[start : start + size])
        if len(found) and not 0 <= found[0] <= found[-1] < _MOST_CATEGORIES:
            raise NotCompilable("its categories are out of bounds")
        node = nodes[owner]
        splits[owner] = Split(
            int(node["feature"]),
            bounds_of(found, np.float32, _BEFORE_ZERO),
            outer=int(node["left_child"]),
            inner=int(node["right_child"]),
            gap=0 if node["missing_go_to_left"] else 1,
        )
    return splits


def _with_splits(nodes: Any, splits: Mapping[int, Split], count: int) -> Any:
    found = np.zeros(count, nodes.dtype)
    found[: len(nodes)] = nodes
    found["left_child"][len(nodes) :] = found["right_child"][len(nodes) :] = 0
    used = len(nodes)
    for place, split in splits.items():
        used = put_split(found, _FIELDS, split, place, used)
    return found


def _thresholds(trees: Sequence[_Tree]) -> dict[int, Any]:
    nodes = np.concatenate([tree.nodes for tree in trees])
    nodes = nodes[nodes["left_child"] != _NO_CHILD]
    columns = nodes["feature"]
    return {int(column): nodes["threshold"][columns == column] for column in np.unique(columns)}


def _walks_of(trees: Sequence[_Tree], features: int, groups: int) -> Walks | None:
    """The trees for the kernel, if there is one and they are for it."""
    try:
        laid = [
            of_scikit_learn(tree.nodes, tree.values, number % groups) for number, tree in enumerate(trees)
        ]
        return Walks(laid, features, groups, narrow=True, single=True)
    except NotCompilable:
        return None


class Margins:
    """All trees as one, as in trees. Called with rows it gives their raw scores (n, groups) float32."""

    def __init__(self, trees: Sequence[_Tree], features: int, start: Any) -> None:
        self._start = start
        self._walks = _walks_of(trees, features, len(start))
        if self._walks is None:
            self._make_one(trees, features, start)

    def _make_one(self, trees: Sequence[_Tree], features: int, start: Any) -> None:
        from sklearn.tree._tree import Tree

        joints, groups = len(trees) - 1, len(start)
        nodes = _merge([tree.nodes for tree in trees], features)
        self._values = np.concatenate([np.zeros(joints, np.float32), *(tree.values for tree in trees)])
        self._tree = Tree(features + 1, np.array([1], dtype=np.intp), 1)
        self._tree.__setstate__(
            {
                "max_depth": len(nodes),
                "node_count": len(nodes),
                "nodes": nodes,
                "values": self._values.astype(np.float64).reshape(-1, 1, 1),
            }
        )
        self._shape = (len(trees) // groups, groups)
        self._numbers = np.arange(len(trees), dtype=np.float32)
        self._most_rows = max(1, CELLS_AT_ONCE // (len(trees) * (features + 1)))

    def __call__(self, rows: Any) -> Any:
        """Raw scores (n, groups), added up from the base score on, tree by tree."""
        if self._walks is not None:
            totals = np.tile(self._start.astype(np.float64), (len(rows), 1))
            return self._walks.add_to(totals, rows).astype(np.float32)
        most = self._most_rows
        if len(rows) <= most:
            return self._part(rows)
        return np.concatenate([self._part(rows[at : at + most]) for at in range(0, len(rows), most)])

    def _part(self, rows: Any) -> Any:
        leaves = self._tree.apply(repeat_rows(rows, self._numbers))
        rounds, groups = self._shape
        steps = np.empty((rounds + 1, groups, len(rows)), dtype=np.float32)
        steps[0] = self._start[:, None]
        steps[1:] = self._values.take(leaves).reshape(rounds, groups, len(rows))
        return add_up(steps).T


def _merge(parts: Sequence[Any], selector: int) -> Any:
    """Nodes of all trees in one array, the choice among them first."""
    joints = len(parts) - 1
    starts = joints + np.concatenate([[0], np.cumsum([len(part) for part in parts])[:-1]])
    top = np.zeros(joints, parts[0].dtype)
    choose_tree(top, starts, selector)
    nodes = np.concatenate([top, *parts])
    for part, start in zip(parts, starts, strict=True):
        own = nodes[start : start + len(part)]
        for side in ("left_child", "right_child"):
            own[side][part[side] != _NO_CHILD] += start
    return nodes


def sigmoid(margins: Any) -> Any:
    """As XGBoost does it, in float32 by the C library's expf, which scipy calls too."""
    return expit(np.maximum(margins, -_LARGEST_EXPONENT))


def exponential(margins: Any) -> Any:
    """As XGBoost does it, in float32 by the C library's expf."""
    return _by_c("expf", margins)


def softmax(margins: Any) -> Any:
    """As XGBoost does it: (n, groups) float32, its sums in float64."""
    raised = _by_c("expf", margins - margins.max(axis=1, keepdims=True))
    total = np.add.accumulate(raised, axis=1, dtype=np.float64)[:, -1:]
    return raised / total.astype(np.float32)


def likeliest(margins: Any) -> Any:
    """The class (n) whose chance is the highest, of equal chances the first."""
    below = margins - margins.max(axis=1, keepdims=True)
    if np.count_nonzero(below > -_ABOUT_EQUAL) == len(below):  # rounding makes no chances equal
        return below.argmax(axis=1)
    return softmax(margins).argmax(axis=1)


def _by_c(name: str, values: Any) -> Any:
    """A function of the C library on float32, of which numpy's own differs in the last bit."""
    found = np.fromiter(map(_function(name), values.ravel().tolist()), np.float32, values.size)
    return found.reshape(values.shape)


@cache
def _function(name: str) -> Callable[[float], float]:
    function = getattr(ctypes.CDLL(None), name)
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    found: Callable[[float], float] = function
    return found
