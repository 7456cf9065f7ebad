"""Programs of LightGBM's trees, made of what its text files say; LightGBM itself is not needed.

Its trees compare float64 with `<=`, as those of scikit-learn's histogram gradient boosting do, whose walker
finds the very leaf that LightGBM finds, gaps included. A set of categories becomes the bounds between those
that go left and those that go right. Leaves are added up in float64, tree by tree, from 0. As with XGBoost,
who uses it checks it on the model at hand, and nothing is walked before it is known where it leads.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from service.errors import NotCompilable
from service.hosting.programs.intervals import NodeFields, Split, bounds_of, put_split
from service.hosting.programs.trees import CELLS_AT_ONCE, add_up, choose_tree, repeat_rows
from service.hosting.programs.walks import Walks, of_histograms

Arrays = Mapping[str, Any]
"""What a file says of one tree: arrays of float64 by their names."""

_MOST_COLUMNS: Final = 10_000  # as many numbers as there are in the largest bodies that are read
_MOST_CELLS: Final = 8 * CELLS_AT_ONCE  # of one row, widened: beyond that it takes too long by far
_NODE_BYTES: Final = 80
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NO_GAPS, _GAPS_ARE_ZEROS = 0, 1
_MOST_WORDS: Final = 4096  # of a set, each of which holds 32 categories
_FIELDS: Final = NodeFields("feature_idx", "num_threshold", "left", "right")
_ZERO: Final = float(np.float32(1e-35))  # up to here numbers are 0 to LightGBM


def read_scores(
    trees: Iterable[Arrays], features: int, groups: int, most_bytes: int
) -> tuple["Scores", Mapping[int, Any]]:
    """Compile trees to what takes at most `most_bytes`; and what they compare with, by columns.

    Raises NotCompilable.
    """
    if not 0 < features <= _MOST_COLUMNS:
        raise NotCompilable(f"{features} columns are too many")
    parts, left = [], most_bytes // _NODE_BYTES
    try:
        with np.errstate(all="ignore"):  # numbers that are none of a tree's show as places that lead nowhere
            for tree in trees:
                parts.append(_Tree(tree, features, left).nodes())
                left -= len(parts[-1]) + 1
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NotCompilable(f"it is not as expected: {type(error).__name__}: {error}") from error
    if not parts or groups < 1 or len(parts) % groups:
        raise NotCompilable("its trees do not follow one another class by class")
    if len(parts) * (features + 1) > _MOST_CELLS:
        raise NotCompilable(f"{len(parts)} trees of {features} columns are too many")
    nodes = np.concatenate(parts)
    nodes = nodes[nodes["is_leaf"] == 0]
    columns = nodes["feature_idx"]
    thresholds = {int(each): nodes["num_threshold"][columns == each] for each in np.unique(columns)}
    return Scores(parts, features, groups), thresholds


def _walks_of(trees: Sequence[Any], features: int, groups: int) -> Walks | None:
    """The trees for the kernel, if there is one and they are for it."""
    try:
        laid = [of_histograms(nodes, number % groups) for number, nodes in enumerate(trees)]
        return Walks(laid, features, groups, narrow=False)
    except NotCompilable:
        return None


class Scores:
    """All trees as one, as in trees. Called with rows it gives their raw scores (n, groups) float64."""

    def __init__(self, trees: Sequence[Any], features: int, groups: int) -> None:
        """`trees` are the nodes of each, as many for each group as for any other."""
        self._groups = groups
        self._walks = _walks_of(trees, features, groups)
        if self._walks is None:
            self._make_one(trees, features, groups)

    def _make_one(self, trees: Sequence[Any], features: int, groups: int) -> None:
        from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

        none = np.zeros((0, 8), np.uint32)
        self._tree = TreePredictor(_merge(trees, features), none, none)
        self._known = none
        self._places = np.zeros(features + 1, np.uint32)
        self._shape = (len(trees) // groups, groups)
        self._numbers = np.arange(len(trees), dtype=np.float64)
        self._most_rows = max(1, CELLS_AT_ONCE // (2 * len(trees) * (features + 1)))

    def __call__(self, rows: Any) -> Any:
        """Raw scores (n, groups), added up tree by tree."""
        small = np.abs(rows) <= _ZERO
        if small.any():
            rows = np.where(small, 0.0, rows)
        if self._walks is not None:
            return self._walks.add_to(np.zeros((len(rows), self._groups)), rows)
        most = self._most_rows
        if len(rows) <= most:
            return self._part(rows)
        return np.concatenate([self._part(rows[at : at + most]) for at in range(0, len(rows), most)])

    def _part(self, rows: Any) -> Any:
        leaves = self._tree.predict(repeat_rows(rows, self._numbers), self._known, self._places, 1)
        rounds, groups = self._shape
        steps = np.zeros((rounds + 1, groups, len(rows)))
        steps[1:] = leaves.reshape(rounds, groups, len(rows))
        return add_up(steps).T


class _Tree:
    """One tree: first its splits, then its leaves, then what splits of several bounds take besides."""

    def __init__(self, arrays: Arrays, features: int, most: int) -> None:
        """It may have at most so many nodes. Raises NotCompilable."""
        self._arrays = arrays
        self._values = arrays["leaf_value"]
        self._inner = len(self._values) - 1
        if self._inner < 0 or 2 * self._inner + 1 > most:
            raise NotCompilable("its trees are too large")
        self._left, self._right = self._children("left_child"), self._children("right_child")
        self._columns = self._whole("split_feature")
        if not ((self._columns >= 0) & (self._columns < features)).all():
            raise NotCompilable("the nodes of a tree lead nowhere")
        self._splits: list[Split] = []
        self._count = 2 * self._inner + 1
        for place in range(self._inner):
            self._splits.append(self._split(place))
            self._count += self._splits[-1].besides
            if self._count > most:
                raise NotCompilable("its trees are too large")

    def _whole(self, name: str) -> Any:
        found = self._arrays[name] if self._inner else np.zeros(0)
        if found.shape != (self._inner,):
            raise NotCompilable(f"the {name} of a tree are not as many as its splits")
        return found.astype(np.int64)

    def _children(self, name: str) -> Any:
        """Places of nodes; each lies behind its parent."""
        told = self._whole(name)
        found = np.where(told < 0, self._inner - 1 - told, told)
        first = np.where(told < 0, self._inner, np.arange(1, self._inner + 1))
        last = np.where(told < 0, 2 * self._inner, self._inner - 1)
        if not ((found >= first) & (found <= last)).all():
            raise NotCompilable("the nodes of a tree lead nowhere")
        return found

    def _split(self, place: int) -> Split:
        kind, threshold = int(self._arrays["decision_type"][place]), float(self._arrays["threshold"][place])
        column, left, right = int(self._columns[place]), int(self._left[place]), int(self._right[place])
        if kind & _CATEGORICAL:
            return Split(column, self._bounds(int(threshold)), right, left, gap=0)
        gaps = kind >> 2
        if gaps == _GAPS_ARE_ZEROS:
            raise NotCompilable("its zeros are gaps")
        goes_left = threshold >= 0 if gaps == _NO_GAPS else bool(kind & _DEFAULT_LEFT)
        return Split(column, (threshold,), left, right, gap=0 if goes_left else 1)

    def _bounds(self, number: int) -> Sequence[float]:
        """Those of a set of categories, which are numbers that are cut off to whole ones."""
        start, end = (int(self._arrays["cat_boundaries"][at]) for at in (number, number + 1))
        if not 0 <= start < end <= len(self._arrays["cat_threshold"]) or end - start > _MOST_WORDS:
            raise NotCompilable("a set of categories is nowhere, or too large")
        words = self._arrays["cat_threshold"][start:end].astype("<u4")
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")
        return bounds_of(np.flatnonzero(bits), np.float64, -1.0)

    def nodes(self) -> Any:
        """As the walker takes them."""
        from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

        nodes = np.zeros(self._count, PREDICTOR_RECORD_DTYPE)
        nodes["is_leaf"][self._inner : 2 * self._inner + 1] = 1
        nodes["value"][self._inner : 2 * self._inner + 1] = self._values
        used = 2 * self._inner + 1
        for place, split in enumerate(self._splits):
            used = put_split(nodes, _FIELDS, split, place, used)
        return nodes


def _merge(parts: Sequence[Any], selector: int) -> Any:
    """Nodes of all trees in one array, the choice among them first."""
    joints = len(parts) - 1
    starts = joints + np.concatenate([[0], np.cumsum([len(part) for part in parts])[:-1]])
    plain = np.zeros(
        joints,
        dtype=[("feature", "i8"), ("threshold", "f8"), ("left_child", "i8"), ("right_child", "i8")],
    )
    choose_tree(plain, starts, selector)
    nodes = np.concatenate([np.zeros(joints, parts[0].dtype), *parts])
    for name, own in (("feature", "feature_idx"), ("threshold", "num_threshold")):
        nodes[own][:joints] = plain[name]
    nodes["left"][:joints], nodes["right"][:joints] = plain["left_child"], plain["right_child"]
    for part, start in zip(parts, starts.tolist(), strict=True):
        moved, inner = nodes[start : start + len(part)], part["is_leaf"] == 0
        moved["left"][inner] += np.uint32(start)
        moved["right"][inner] += np.uint32(start)
    return nodes
