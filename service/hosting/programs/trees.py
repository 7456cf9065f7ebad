"""Programs of trees and forests: all trees of a model merged into one, walked by scikit-learn's own C code.

A forest of scikit-learn spends its time between its trees, not in them. Here its trees hang below one binary
tree over an extra column that holds a tree's number, so that one call of `Tree.apply` on each row as often as
there are trees finds all leaves. Nodes, thresholds and the cast of rows to float32 are scikit-learn's own, so
every row reaches the very leaf that it would reach there, however close to a threshold it lies, and gaps go
the way that they go there. Many rows are walked tree by tree, as there, without what scikit-learn does around
each: then a tree stays in the processor's cache. Very many go through tables of the trees together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType, MappingProxyType
from typing import Any, Protocol

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.agreement import Step
from service.hosting.programs.domain import Domain, Wide
from service.hosting.programs.program import Methods, by_rows, classify, taking
from service.hosting.programs.tree_tables import LEAST_ROWS, TreeTables, have_tables, table_bytes
from service.hosting.programs.walks import NODE, Walks, have_kernel, of_scikit_learn

_NO_CHILD = -1
_NODE_BYTES = 64
CELLS_AT_ONCE = 2**17
"""Cells of the widened rows that are walked in one go, so that they stay in the processor's cache."""
MANY_ROWS = 64
"""From here on each tree is called by itself: a call costs less than to hand each row on as often."""
MAX_BYTES = 256 << 20
"""Largest merged tree: it is held besides the model itself."""


class Forest(Protocol):
    """Trees of one model, whose leaves are added up."""

    @property
    def held(self) -> tuple[Any, ...]:
        """What it holds besides the model's own."""
        ...

    def sums(self, rows: Any) -> Any:
        """(n, outputs, classes): added tree by tree, from 0, as scikit-learn adds."""
        ...


class WalkedTrees:
    """Trees of one model, walked by the kernel. `sums` adds up their leaves, in the order of the trees."""

    def __init__(self, trees: Sequence[Any], features: int) -> None:
        values = trees[0].value
        size_bytes = sum(held_bytes(tree) for tree in trees)
        if size_bytes > MAX_BYTES:
            raise NotCompilable(f"its trees hold {size_bytes >> 20} MiB, of which no copy is made")
        self._shape = values.shape[1:]
        outputs = values[0].size
        self._walks = Walks(
            [of_scikit_learn(tree.__getstate__()["nodes"], tree.value) for tree in trees],
            features,
            outputs,
            narrow=True,
        )

    @property
    def held(self) -> tuple[Any, ...]:
        """What it holds besides the model's own."""
        return self._walks.held

    def sums(self, rows: Any) -> Any:
        """(n, outputs, classes): added tree by tree, from 0, as scikit-learn adds."""
        totals = np.zeros((len(rows), *self._shape))
        return self._walks.add_to(totals, rows)


def held_bytes(tree: Any) -> int:
    """What a forest's program holds of one of its trees, besides the model."""
    values = 8 * tree.n_outputs * tree.max_n_classes
    if have_kernel():
        return int(tree.node_count * (NODE.itemsize + values))
    return int(tree.node_count * (_NODE_BYTES + values)) + table_bytes(tree)


class MergedTrees:
    """Trees of one model as one. `sums` adds up what their leaves hold, in the order of the trees."""

    def __init__(self, trees: Sequence[Any], features: int) -> None:
        from sklearn.tree._tree import Tree

        states = [tree.__getstate__() for tree in trees]
        size_bytes = sum(state["nodes"].nbytes + state["values"].nbytes for state in states)
        if size_bytes > MAX_BYTES:
            raise NotCompilable(f"its trees hold {size_bytes >> 20} MiB, of which no copy is made")
        nodes, levels = _merge([state["nodes"] for state in states], features)
        values = [state["values"] for state in states]
        root = np.zeros((len(trees) - 1, *values[0].shape[1:]))
        first = trees[0]
        self._tree = Tree(features + 1, np.asarray(first.n_classes, dtype=np.intp), first.n_outputs)
        self._values = np.concatenate([root, *values])
        self._tree.__setstate__(
            {
                "max_depth": max(tree.max_depth for tree in trees) + levels,
                "node_count": len(nodes),
                "nodes": nodes,
                "values": self._values,
            }
        )
        self._trees = [(tree.apply, tree.value) for tree in trees]
        self._own = trees if have_tables(trees) else []
        self._tables: TreeTables | None = None  # made when first there are many rows
        self._count = len(trees)
        self._numbers = np.arange(self._count, dtype=np.float32)
        self._most_rows = max(1, CELLS_AT_ONCE // (self._count * (features + 1)))

    @property
    def held(self) -> tuple[Any, ...]:
        """What it holds besides the model's own: about as much as that."""
        return self._tree, self._values

    def leaf_values(self, rows: Any) -> Any:
        """What the leaves hold: (trees, n, outputs, classes)."""
        leaves = self._tree.apply(repeat_rows(rows, self._numbers))
        found = self._values.take(leaves, axis=0)
        return found.reshape(self._count, len(rows), *self._values.shape[1:])

    def sums(self, rows: Any) -> Any:
        """(n, outputs, classes): added tree by tree, from 0, as scikit-learn adds."""
        if len(rows) >= LEAST_ROWS and self._own and not np.isnan(rows).any():
            self._tables = self._tables or TreeTables(self._own)
            return self._tables.sums(rows.astype(np.float32))
        if len(rows) >= MANY_ROWS:
            return self._sums_by_tree(rows.astype(np.float32))
        most = self._most_rows
        if len(rows) <= most:
            return add_up(self.leaf_values(rows))
        parts = [rows[start : start + most] for start in range(0, len(rows), most)]
        return np.concatenate([add_up(self.leaf_values(part)) for part in parts])

    def _sums_by_tree(self, rows: Any) -> Any:
        total = np.zeros((len(rows), *self._values.shape[1:]))
        for apply, values in self._trees:
            total += values.take(apply(rows), axis=0)
        return total


def repeat_rows(rows: Any, numbers: Any) -> Any:
    """Rows (n, features) for each tree, with its number behind and of its type: (trees * n, features + 1)."""
    own = np.empty((len(rows), rows.shape[1] + 1), numbers.dtype)
    own[:, :-1] = rows
    wide = np.empty((len(numbers), *own.shape), numbers.dtype)
    wide[:] = own  # whole rows at once, of which the last number is put right then
    wide[:, :, -1] = numbers[:, None]
    return wide.reshape(-1, own.shape[1])


def add_up(parts: Any) -> Any:
    """The sum over the first axis, added one after the other.

    numpy does that by itself, unless each part is a single number: these it would add in pairs.
    """
    if parts[0].size == 1:
        return np.add.accumulate(parts, axis=0)[-1]
    return np.add.reduce(parts, axis=0)


def _merge(parts: Sequence[Any], selector: int) -> tuple[Any, int]:
    """Nodes of all trees in one array, the choice among them first, and how many levels that adds."""
    joints = len(parts) - 1
    starts = joints + np.concatenate([[0], np.cumsum([len(part) for part in parts])[:-1]])
    top = np.zeros(joints, dtype=parts[0].dtype)
    deepest = choose_tree(top, starts, selector)
    moved = []
    for part, start in zip(parts, starts, strict=True):
        own = part.copy()
        inner = own["left_child"] != _NO_CHILD
        own["left_child"][inner] += start
        own["right_child"][inner] += start
        moved.append(own)
    return np.concatenate([top, *moved]), deepest


def choose_tree(top: Any, starts: Any, selector: int) -> int:
    """Fill in the nodes that lead to each tree by its number; returns their depth."""
    used = 0
    deepest = 0

    def place(low: int, high: int, depth: int) -> int:
        nonlocal used, deepest
        deepest = max(deepest, depth)
        if high - low == 1:
            return int(starts[low])
        here, middle = used, (low + high) // 2
        used += 1
        top["feature"][here] = selector
        top["threshold"][here] = middle - 0.5
        top["left_child"][here] = place(low, middle, depth + 1)
        top["right_child"][here] = place(middle, high, depth + 1)
        return here

    place(0, len(starts), 0)
    return deepest


def forests_in(steps: Iterable[Step]) -> list[Forest]:
    """The forests that programs are made of."""
    found: dict[int, Forest] = {}
    left: list[Any] = list(steps)
    seen: set[int] = set()
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, MergedTrees | WalkedTrees):
            found[id(each)] = each
        elif isinstance(each, FunctionType):
            left += [cell.cell_contents for cell in each.__closure__ or ()]
        elif isinstance(each, Wide):
            left.append(each.step)
        elif isinstance(each, list | tuple):
            left += each
        elif isinstance(each, dict):
            left += each.values()
    return list(found.values())


def _tree_values(estimator: Any) -> Step:
    tree = estimator.tree_
    return lambda rows: tree.predict(rows.astype(np.float32))


def _tree_classifier(estimator: Any) -> Methods:
    if estimator.n_outputs_ != 1:
        raise NotCompilable("it predicts several outputs")
    values, classes = _tree_values(estimator), int(estimator.n_classes_)
    return {
        "predict_proba": lambda rows: values(rows)[:, :classes],
        "predict": classify(values, estimator.classes_),
    }


def _tree_regressor(estimator: Any) -> Methods:
    values = _tree_values(estimator)
    if estimator.n_outputs_ == 1:
        return {"predict": lambda rows: values(rows)[:, 0]}
    return {"predict": lambda rows: values(rows)[:, :, 0]}


def _forest(estimator: Any) -> Forest:
    trees = [each.tree_ for each in estimator.estimators_]
    make = WalkedTrees if have_kernel() else MergedTrees
    return make(trees, int(estimator.n_features_in_))


def _forest_classifier(estimator: Any) -> Methods:
    if estimator.n_outputs_ != 1:
        raise NotCompilable("it predicts several outputs")
    forest, count = _forest(estimator), len(estimator.estimators_)
    return {
        "predict_proba": lambda rows: forest.sums(rows)[:, 0, :] / count,
        "predict": classify(lambda rows: forest.sums(rows)[:, 0, :] / count, estimator.classes_),
    }


def _forest_regressor(estimator: Any) -> Methods:
    forest, count = _forest(estimator), len(estimator.estimators_)
    if estimator.n_outputs_ == 1:
        return {"predict": lambda rows: forest.sums(rows)[:, 0, 0] / count}
    return {"predict": lambda rows: forest.sums(rows)[:, :, 0] / count}


def _boosted_scores(estimator: Any) -> Step:
    if not (isinstance(estimator.init_, str) or type(estimator.init_).__name__.startswith("Dummy")):
        raise NotCompilable("it starts from another estimator's predictions")
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_)))
    add = _stages_by_kernel(estimator) if have_kernel() else _stages(estimator)
    return lambda rows: add(np.repeat(start, len(rows), axis=0), rows)


def _stages_by_kernel(estimator: Any) -> Callable[[Any, Any], Any]:
    """What adds all stages to raw scores (n, classes)."""
    rate, outputs = estimator.learning_rate, estimator.estimators_.shape[1]
    trees = [(each.tree_, place) for stage in estimator.estimators_ for place, each in enumerate(stage)]
    walks = Walks(
        [
            of_scikit_learn(tree.__getstate__()["nodes"], rate * tree.value[:, :1, :1], place)
            for tree, place in trees
        ],
        int(estimator.n_features_in_),
        outputs,
        narrow=True,
    )
    return walks.add_to


def _stages(estimator: Any) -> Callable[[Any, Any], Any]:
    from sklearn.ensemble._gradient_boosting import predict_stages

    stages, rate = estimator.estimators_, estimator.learning_rate

    def add(raw: Any, rows: Any) -> Any:
        predict_stages(stages, np.ascontiguousarray(rows, dtype=np.float32), rate, raw)
        return raw

    return add


def _boosted_classifier(estimator: Any) -> Methods:
    scores, classes, loss = _boosted_scores(estimator), estimator.classes_, estimator._loss
    flat = len(classes) == 2
    decide: Step = (lambda rows: scores(rows).ravel()) if flat else scores
    return {
        "decision_function": decide,
        "predict_proba": lambda rows: loss.predict_proba(decide(rows)),
        "predict": (lambda rows: classes[(decide(rows) >= 0).astype(int)])
        if flat
        else classify(scores, classes),
    }


def _boosted_regressor(estimator: Any) -> Methods:
    scores = _boosted_scores(estimator)
    return {"predict": lambda rows: scores(rows).ravel()}


def _with_gaps(builder: Callable[[Any], Methods]) -> Callable[[Any], Methods]:
    """A builder of programs that answer row by row, and know what to make of gaps."""
    rows = by_rows(builder)
    return lambda estimator: taking(Domain.GAPS, rows(estimator))


BUILDERS: Mapping[str, Callable[[Any], Methods]] = MappingProxyType(
    {
        "DecisionTreeClassifier": _with_gaps(_tree_classifier),
        "ExtraTreeClassifier": _with_gaps(_tree_classifier),
        "DecisionTreeRegressor": _with_gaps(_tree_regressor),
        "ExtraTreeRegressor": _with_gaps(_tree_regressor),
        "RandomForestClassifier": _with_gaps(_forest_classifier),
        "ExtraTreesClassifier": _with_gaps(_forest_classifier),
        "RandomForestRegressor": _with_gaps(_forest_regressor),
        "ExtraTreesRegressor": _with_gaps(_forest_regressor),
        "GradientBoostingClassifier": by_rows(_boosted_classifier),
        "GradientBoostingRegressor": by_rows(_boosted_regressor),
    }
)
