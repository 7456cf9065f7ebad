"""Splits that know several bounds, as nodes of a walker that knows one bound each: those by categories.

To other libraries a set of categories is a split by itself. Here it is the bounds between the numbers that
are in it and those that are not, with a small tree over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class NodeFields:
    """How the nodes of a walker name what they hold."""

    column: str
    threshold: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Split:
    """Where a row goes by one column: to `outer` up to the first of the bounds, then to `inner`, and so on.

    A bound is the last number of its interval. What is a gap goes where the interval of this number goes.
    """

    column: int
    bounds: Sequence[float]
    outer: int
    inner: int
    gap: int

    @property
    def besides(self) -> int:
        """Nodes that it takes besides its own."""
        return max(0, len(self.bounds) - 1)


def bounds_of(categories: Any, kind: type[np.floating[Any]], before_zero: float) -> list[float]:
    """The bounds of a set of whole numbers from 0 on, in order, in numbers that are cut off to such.

    Numbers are compared as `kind`; `before_zero` is the last of them that is not cut off to 0.
    """
    if not len(categories):
        return []
    gaps = np.flatnonzero(np.diff(categories) > 1)
    firsts, lasts = categories[np.append(0, gaps + 1)], categories[np.append(gaps, len(categories) - 1)]
    ends = np.column_stack([firsts, lasts + 1]).ravel().astype(kind)
    bounds = np.nextafter(ends, kind(-np.inf))
    bounds[ends == 0] = before_zero
    return [float(each) for each in bounds]


def put_split(nodes: Any, fields: NodeFields, split: Split, place: int, used: int) -> int:
    """Put a split at its place, and what it takes besides behind the `used` nodes; returns how many are."""

    def put(low: int, high: int, here: int | None) -> int:
        """The node of the intervals from `low` to `high`."""
        nonlocal used
        if low == high:
            return split.inner if low % 2 else split.outer
        if here is None:
            here, used = used, used + 1
        middle = (low + high) // 2
        nodes[fields.column][here], nodes[fields.threshold][here] = split.column, split.bounds[middle]
        nodes["missing_go_to_left"][here] = split.gap <= middle
        nodes[fields.left][here] = put(low, middle, None)
        nodes[fields.right][here] = put(middle + 1, high, None)
        return here

    if split.bounds:
        put(0, len(split.bounds), place)
    else:
        nodes[fields.column][place], nodes[fields.threshold][place] = split.column, np.inf
        nodes[fields.left][place], nodes[fields.right][place] = split.outer, split.inner
        nodes["missing_go_to_left"][place] = split.gap == 0
    return used
