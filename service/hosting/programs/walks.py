"""Trees laid out for the kernel (service/native), which walks them with several rows side by side.

A node is where a number above its limit goes to the right, and any other to the left; a gap goes where the
node says. That is what scikit-learn, its histogram gradient boosting, XGBoost and LightGBM do, once their
thresholds are written so. Trees follow one another, each level by level, the two children of a node together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.native import kernels

NODE: Final = np.dtype(
    [("limit", np.float64), ("child", np.int32), ("feature", np.uint16), ("gap", np.uint16)]
)
_TREE: Final = np.dtype([("root", np.int32), ("levels", np.int32), ("output", np.int32)])
_MOST_FEATURES: Final = 16_384
_MOST_NODES: Final = 1 << 30
_LEAF: Final = -1


@dataclass(frozen=True, slots=True)
class Branches:
    """One tree: arrays by nodes, of which the first is the root.

    `left` and `right` are places of nodes, `left` -1 of leaves; `gaps_right` tells where a gap goes; `values`
    (nodes, width) float64 is what leaves hold, of which the first number is added to the sum `output`.
    """

    left: Any
    right: Any
    feature: Any
    limit: Any
    gaps_right: Any
    values: Any
    output: int = 0


class Walks:
    """Trees of one model, for as many `outputs` as sums are to be made.

    `narrow`: rows are compared as float32. `single`: sums are of float32.
    """

    def __init__(
        self, trees: Sequence[Branches], features: int, outputs: int, *, narrow: bool, single: bool = False
    ) -> None:
        """Raises NotCompilable where there is no kernel, or the trees are none for it."""
        if (
            kernels is None
            or features > _MOST_FEATURES
            or sum(len(tree.left) for tree in trees) > _MOST_NODES
        ):
            raise NotCompilable("its trees are not for the kernel")
        laid, start = [], 0
        for tree in trees:
            laid.append(_lay_out(tree, start))
            start += len(laid[-1][0])
        self._nodes = np.concatenate([nodes for nodes, _, _ in laid])
        self._values = np.concatenate([values for _, values, _ in laid])
        starts = np.cumsum([0, *(len(nodes) for nodes, _, _ in laid[:-1])])
        self._trees = np.zeros(len(trees), _TREE)
        self._trees["root"] = starts
        self._trees["levels"] = [levels for _, _, levels in laid]
        self._trees["output"] = [tree.output for tree in trees]
        width = self._values.shape[1]
        try:
            self._kernel = kernels.Trees(
                self._nodes, self._values, self._trees, features, width, outputs, narrow, single
            )
        except ValueError as error:
            raise NotCompilable(str(error)) from error

    @property
    def held(self) -> tuple[Any, ...]:
        """What it holds besides the model's own."""
        return self._nodes, self._values

    def add_to(self, totals: Any, rows: Any) -> Any:
        """The totals (n, outputs) float64 with what the leaves of rows (n, features) hold, tree by tree."""
        self._kernel.add(np.ascontiguousarray(rows, np.float64), totals)
        return totals


def _lay_out(tree: Branches, start: int) -> tuple[Any, Any, int]:
    """Its nodes, the first of which is at `start`, what they hold, and how many levels are below the root."""
    levels, count = [np.zeros(1, dtype=np.intp)], 1
    while True:
        inner = levels[-1][tree.left[levels[-1]] != _LEAF]
        if not len(inner):
            break
        levels.append(np.stack([tree.left[inner], tree.right[inner]], axis=1).ravel())
        count += len(levels[-1])
        if count > len(tree.left):
            raise NotCompilable("several nodes of a tree lead to one")
    order = np.concatenate(levels)
    inner = tree.left[order] != _LEAF
    nodes = np.zeros(len(order), NODE)
    places = start + np.arange(len(order))
    nodes["limit"] = np.where(inner, tree.limit[order], np.inf)
    nodes["child"] = np.where(inner, start + 2 * np.cumsum(inner) - 1, places)
    nodes["feature"] = np.where(inner, tree.feature[order], 0)
    nodes["gap"] = np.where(inner, tree.gaps_right[order], 0)
    return nodes, np.ascontiguousarray(tree.values[order], np.float64), len(levels) - 1


def of_scikit_learn(nodes: Any, values: Any, output: int = 0) -> Branches:
    """A tree by scikit-learn's nodes of trees and forests, and what these hold, (nodes, ...)."""
    gaps_right = nodes["missing_go_to_left"] == 0
    values = values.reshape(len(nodes), -1)
    left, right, threshold = nodes["left_child"], nodes["right_child"], nodes["threshold"]
    return Branches(left, right, nodes["feature"], threshold, gaps_right, values, output)


def of_histograms(nodes: Any, output: int) -> Branches:
    """A tree by the nodes of scikit-learn's histogram gradient boosting.

    Raises NotCompilable for sets of categories.
    """
    if nodes["is_categorical"].any():
        raise NotCompilable("a tree looks at sets of categories")
    left = np.where(nodes["is_leaf"], _LEAF, nodes["left"].astype(np.int64))
    gaps_right = nodes["missing_go_to_left"] == 0
    limit, values = nodes["num_threshold"], nodes["value"].reshape(-1, 1)
    return Branches(
        left, nodes["right"].astype(np.int64), nodes["feature_idx"], limit, gaps_right, values, output
    )


def have_kernel() -> bool:
    """Whether there is a kernel to walk with."""
    return kernels is not None
