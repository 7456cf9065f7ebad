"""Trees that are walked side by side, and blocks of rows: nothing is walked that leads nowhere."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import NotCompilable
from service.hosting.programs.walks import NODE, Branches, Walks

kernels = pytest.importorskip("service.native._kernels", reason="there was no C compiler")

_TREE = np.dtype([("root", np.int32), ("levels", np.int32), ("output", np.int32)])


def stump(limit: float, low: float, high: float, *, gap_right: bool = False, output: int = 0) -> Branches:
    """Two leaves."""
    return Branches(
        np.array([1, -1, -1]),
        np.array([2, -1, -1]),
        np.array([0, 0, 0]),
        np.array([limit, 0.0, 0.0]),
        np.array([gap_right, False, False]),
        np.array([[0.0], [low], [high]]),
        output,
    )


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 255, 256, 257, 600])
@pytest.mark.parametrize("trees", [1, 3, 16, 17, 40])
def test_leaves_are_added_in_the_order_of_the_trees(trees: int, count: int) -> None:
    random = np.random.default_rng(count * trees)
    limits = random.normal(size=trees)
    leaves = random.normal(size=(trees, 2)) * 10.0 ** random.integers(-8, 8, (trees, 1))
    walks = Walks(
        [stump(limit, low, high) for limit, (low, high) in zip(limits, leaves, strict=True)],
        2,
        1,
        narrow=False,
    )
    rows = random.normal(size=(count, 2))
    rows[::3, 0] = random.choice(limits, len(rows[::3]))
    expected = np.full((count, 1), 0.25)
    for limit, pair in zip(limits, leaves, strict=True):
        expected[:, 0] += pair[(rows[:, 0] > limit).astype(int)]

    assert walks.add_to(np.full((count, 1), 0.25), rows).tobytes() == expected.tobytes()


@pytest.mark.parametrize("gap_right", [False, True])
@pytest.mark.parametrize("count", [1, 40])
def test_a_gap_goes_where_its_node_says(gap_right: bool, count: int) -> None:
    walks = Walks([stump(0.5, 1.0, 2.0, gap_right=gap_right)], 1, 1, narrow=True)
    rows = np.resize([math.nan, 0.0, 1.0, math.inf, -math.inf], (count, 1))
    expected = np.resize([2.0 if gap_right else 1.0, 1.0, 2.0, 2.0, 1.0], (count, 1))

    assert walks.add_to(np.zeros((count, 1)), rows).tolist() == expected.tolist()


def test_rows_are_narrowed_and_sums_rounded_where_that_is_asked() -> None:
    limit = float(np.float32(0.1))
    rows = np.array([[0.1], [np.nextafter(limit, 1)]])
    told = {"narrow": [[1.0], [1.0]], "wide": [[1.0], [2.0]]}
    for name, expected in told.items():
        walks = Walks([stump(limit, 1.0, 2.0)], 1, 1, narrow=name == "narrow")
        assert walks.add_to(np.zeros((2, 1)), rows).tolist() == expected
    leaf = float(np.float32(1e-4))
    walks = Walks([stump(limit, leaf, leaf)] * 3, 1, 1, narrow=True, single=True)
    total = np.float32(1)
    for _ in range(3):
        total += np.float32(leaf)
    assert walks.add_to(np.ones((1, 1)), rows[:1]).tolist() == [[float(total)]]


def test_each_tree_adds_to_the_sum_that_is_its_own() -> None:
    walks = Walks([stump(0.0, 1.0, 2.0, output=place % 3) for place in range(6)], 1, 3, narrow=False)
    assert walks.add_to(np.zeros((2, 3)), np.array([[-1.0], [1.0]])).tolist() == [[2.0] * 3, [4.0] * 3]


@pytest.mark.parametrize(("left", "right"), [([1, -1, -1], [0, -1, -1]), ([1, 2, -1], [1, 2, -1])])
def test_trees_whose_nodes_lead_to_one_another_are_none(left: list[int], right: list[int]) -> None:
    wrong = replace(stump(0.0, 1.0, 2.0), left=np.array(left), right=np.array(right))
    with pytest.raises(NotCompilable, match="several nodes of a tree lead to one"):
        Walks([wrong], 1, 1, narrow=True)


def nodes(*told: tuple[float, int, int, int]) -> Any:
    return np.array(list(told), NODE)


GOOD = nodes((0.0, 1, 0, 0), (math.inf, 1, 0, 0), (math.inf, 2, 0, 0))
WRONG = {
    "back": nodes((0.0, 0, 0, 0), (math.inf, 1, 0, 0)),
    "beyond": nodes((0.0, 1, 0, 0), (math.inf, 1, 0, 0)),
    "below": nodes((0.0, -3, 0, 0), (math.inf, 1, 0, 0), (math.inf, 2, 0, 0)),
    "column": nodes((0.0, 1, 1, 0), (math.inf, 1, 0, 0), (math.inf, 2, 0, 0)),
    "gap": nodes((0.0, 1, 0, 2), (math.inf, 1, 0, 0), (math.inf, 2, 0, 0)),
    "a leaf that goes on": nodes((math.nan, 0, 0, 0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_nodes_that_lead_nowhere_are_refused(name: str) -> None:
    wrong = WRONG[name]
    with pytest.raises(ValueError, match="some node leads nowhere"):
        kernels.Trees(wrong, np.zeros(len(wrong)), np.zeros(1, _TREE), 1, 1, 1, True, False)


@pytest.mark.parametrize(
    ("tree", "sizes"),
    [
        ((3, 1, 0), (1, 1, 1)),
        ((-1, 1, 0), (1, 1, 1)),
        ((0, -1, 0), (1, 1, 1)),
        ((0, 1, 1), (1, 1, 1)),
        ((0, 1, -1), (1, 1, 1)),
        ((0, 1, 0), (0, 1, 1)),
        ((0, 1, 0), (1, 2, 2)),
        ((0, 1, 0), (1, 1, 0)),
        ((0, 1, 0), (1 << 40, 1, 1)),
    ],
)
def test_trees_and_arrays_that_do_not_fit_together_are_refused(
    tree: tuple[int, ...], sizes: tuple[int, int, int]
) -> None:
    with pytest.raises(ValueError, match="some node leads nowhere, or the arrays do not fit together"):
        kernels.Trees(GOOD, np.zeros(3), np.array([tree], _TREE), *sizes, True, False)


def test_rows_of_other_trees_are_refused() -> None:
    trees = kernels.Trees(GOOD, np.zeros(3), np.array([(0, 1, 0)], _TREE), 1, 1, 1, True, False)
    for rows, totals in ((np.zeros(3), np.zeros(2)), (np.zeros(3, np.float32), np.zeros(1))):
        with pytest.raises(ValueError, match="the rows are not those of these trees"):
            trees.add(rows, totals)
    with pytest.raises((TypeError, BufferError, ValueError)):
        trees.add(np.zeros(2), np.zeros(4)[::2])
    with pytest.raises(TypeError):
        trees.add(np.zeros(1), b"12345678")


# ---- blocks


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1000])
def test_parts_are_laid_side_by_side(rows: int) -> None:
    random = np.random.default_rng(rows)
    codes, table = random.integers(0, 4, rows).astype(float), random.normal(size=(4, 3))
    numbers = random.normal(size=(rows, 2))
    out = np.empty((rows, 7))
    parts = (
        (3, codes, table, True),
        (2, numbers, None, False),
        (2, np.ascontiguousarray(numbers.T), None, True),
    )

    assert kernels.lay_beside(out, rows, parts)
    assert out.tolist() == np.concatenate([table[codes.astype(int)], numbers, numbers], axis=1).tolist()


@pytest.mark.parametrize("code", [-1.0, 4.0, 1e300, math.nan, math.inf])
def test_codes_of_no_row_of_the_table_are_told(code: float) -> None:
    out = np.empty((2, 3))
    assert not kernels.lay_beside(out, 2, ((3, np.array([0.0, code]), np.zeros((4, 3)), True),))


def test_parts_of_other_sizes_are_refused() -> None:
    out = np.empty((2, 3))
    for parts in (
        (),
        ((3, np.zeros(3), np.zeros((4, 3)), True),),
        ((2, np.zeros(2), np.zeros((4, 2)), True),),
        ((0, np.zeros(2), np.zeros((4, 2)), True),),
        ((3, np.zeros((2, 2)), None, False),),
    ):
        with pytest.raises(ValueError, match=r"a part does not|the parts beside"):
            kernels.lay_beside(out, 2, parts)
    for wrong in ("abc", (1, 2), None):
        with pytest.raises(TypeError):
            kernels.lay_beside(out, 2, (wrong,))


MOST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *((number, 0) for number in (0.0, -0.0, MOST, -MOST, 5e-324)),
        *((number, 1) for number in (math.nan, -math.nan)),
        *((number, 2) for number in (np.nextafter(MOST, math.inf), -1e300, math.inf, -math.inf)),
    ],
)
def test_numbers_are_looked_over(number: float, expected: int) -> None:
    rows = np.zeros((3, 3))
    rows[1, 1] = number
    assert kernels.look_over(rows) == expected
    rows[0, 0] = math.nan
    assert kernels.look_over(rows) == max(expected, 1)
    assert kernels.look_over(np.zeros(3, np.float32)) == 3
    assert kernels.look_over(np.zeros(3, np.int64)) == 3
