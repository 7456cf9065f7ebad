"""Trees as tables by levels, through which many rows go together, level by level.

What costs time in a walk of row after row is that the processor has to guess at each node which way a row
will go, and guesses wrongly every other time. Here nothing is guessed: each step looks up, for all rows of a
block, what is compared at their nodes, and compares. Rows reach the very leaves that they reach in
scikit-learn, which compares numbers of float32 with thresholds of float64: it makes no difference to compare
with the largest number of float32 that is not above the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LEAST_ROWS: Final = 1024
"""From here on a walk of all rows together is the quicker one."""

_MOST_LEVELS: Final = 12
_BLOCK_ROWS: Final = 8192  # enough to make the cost of a step small, and few enough for the processor's cache
_TOP: Final = 3  # levels of which all nodes are compared, as there are so few
_TOP_NODES: Final = (1 << _TOP) - 1
_NODE_BYTES: Final = 12


def _below_top(bits: int) -> int:
    """The node below the top that comparisons lead to: those at its nodes, the first in the lowest bit."""
    node = 1
    for _ in range(_TOP):
        node = 2 * node + (bits >> (node - 1) & 1)
    return node


_BELOW_TOP: Final = np.array([_below_top(bits) for bits in range(1 << _TOP_NODES)], dtype=np.intp)


def have_tables(trees: Sequence[Any]) -> bool:
    """Whether no tree is so deep that its table would be large."""
    return all(tree.max_depth <= _MOST_LEVELS for tree in trees)


def table_bytes(tree: Any) -> int:
    """What the table of a tree would hold, 0 if it has none."""
    if tree.max_depth > _MOST_LEVELS:
        return 0
    return int((_NODE_BYTES + 8 * tree.n_outputs * tree.max_n_classes) << max(tree.max_depth, _TOP))


@dataclass(frozen=True, slots=True)
class _Table:
    """A tree in which all leaves are on one level: node n has the children 2n and 2n + 1, the root is 1."""

    levels: int
    features: npt.NDArray[np.intp]
    limits: npt.NDArray[np.float32]
    values: Any


def _table(tree: Any) -> _Table:
    levels = max(tree.max_depth, _TOP)
    features = np.zeros(1 << levels, dtype=np.intp)
    limits = np.full(1 << levels, np.inf, dtype=np.float32)
    thresholds = tree.threshold.astype(np.float32)
    thresholds = np.where(
        thresholds > tree.threshold, np.nextafter(thresholds, np.float32(-np.inf)), thresholds
    )
    nodes = np.zeros(1, dtype=np.intp)  # of the tree, from left to right; a leaf goes on as both its children
    for level in range(levels):
        inner = tree.children_left[nodes] >= 0
        here = slice(1 << level, 2 << level)
        features[here] = np.where(inner, tree.feature[nodes], 0)
        limits[here] = np.where(inner, thresholds[nodes], np.inf)
        children = [np.where(inner, side[nodes], nodes) for side in (tree.children_left, tree.children_right)]
        nodes = np.stack(children, axis=1).ravel()
    return _Table(levels, features, limits, tree.value[nodes])


class TreeTables:
    """The tables of some trees. `sums` adds up what their leaves hold, in the order of the trees."""

    def __init__(self, trees: Sequence[Any]) -> None:
        self._tables = [_table(tree) for tree in trees]
        self._shape = trees[0].value.shape[1:]

    def sums(self, rows: Any) -> Any:
        """(n, outputs, classes), added tree by tree from 0, for rows (n, features) float32 without gaps."""
        parts = np.array_split(rows, -(-len(rows) // _BLOCK_ROWS))
        return np.concatenate([self._sums_of_block(part) for part in parts])

    def _sums_of_block(self, rows: Any) -> Any:
        total = np.zeros((len(rows), *self._shape))
        walk = _Walk(rows)
        for table in self._tables:
            total += table.values.take(walk.leaves(table), axis=0)
        return total


class _Walk:
    """A block of rows, and room for what they are at."""

    def __init__(self, rows: Any) -> None:
        count = len(rows)
        self._columns = np.ascontiguousarray(rows.T)
        self._cells = self._columns.ravel()
        self._rows = np.arange(count)
        self._nodes, self._places = (np.empty(count, dtype=np.intp) for _ in range(2))
        self._own, self._limits = (np.empty(count, dtype=np.float32) for _ in range(2))
        self._right = np.empty(count, dtype=np.bool_)
        self._bits = np.empty(count, dtype=np.uint8)

    def leaves(self, table: _Table) -> Any:
        """The leaf that each row reaches, counted from the left; good until the next tree is walked."""
        nodes, places, right = self._nodes, self._places, self._right
        self._descend_top(table)
        features = table.features * len(nodes)
        for _ in range(_TOP, table.levels):
            features.take(nodes, out=places, mode="clip")  # which costs less than to look for mistakes
            places += self._rows
            self._cells.take(places, out=self._own, mode="clip")
            table.limits.take(nodes, out=self._limits, mode="clip")
            np.greater(self._own, self._limits, out=right)
            nodes += nodes
            nodes += right
        nodes -= 1 << table.levels
        return nodes

    def _descend_top(self, table: _Table) -> None:
        bits = self._bits
        bits.fill(0)
        for node in range(_TOP_NODES, 0, -1):
            np.greater(self._columns[table.features[node]], table.limits[node], out=self._right)
            bits += bits
            bits |= self._right.view(np.uint8)
        self._places[:] = bits
        _BELOW_TOP.take(self._places, out=self._nodes, mode="clip")
