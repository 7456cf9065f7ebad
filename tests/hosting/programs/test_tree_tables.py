"""Very many rows go through tables of a forest's trees together, and get what they get alone, to the bit."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from service.hosting.programs import table as programs
from service.hosting.programs.tree_tables import LEAST_ROWS, TreeTables, have_tables, table_bytes

FEATURES = 5


def fit(kind: Any, answers: int, **how: Any) -> Any:
    """A small forest over columns of few numbers, of huge ones, and of such as float32 hardly tells apart."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, FEATURES))
    rows[:, 1] = random.integers(0, 4, 400)
    rows[:, 2] *= 1e30
    rows[:, 3] = 1 / 3 + rows[:, 3] * 1e-7  # next to each other in float32
    right: Any = rows[:, 0] + rows[:, 1] * random.normal(size=400) + 1e7 * (rows[:, 3] - 1 / 3)
    if answers:
        right = np.digitize(right, np.quantile(right, np.linspace(0, 1, answers + 1)[1:-1]))
    return kind(**{"n_estimators": 7, "max_depth": 8, "random_state": 0, **how}).fit(rows, right)


def rows_for(forest: Any, count: int) -> Any:
    """Rows with numbers on its thresholds, and next to these in float32 and in float64."""
    random = np.random.default_rng(count)
    rows = random.normal(size=(count, FEATURES)) * random.choice([1.0, 1e30], (count, 1))
    for column in range(FEATURES):
        found = [tree.tree_.threshold[tree.tree_.feature == column] for tree in forest.estimators_]
        own = np.concatenate([*found, [0.0, -0.0]])
        single = own.astype(np.float32)
        near = [np.nextafter(single, np.float32(end)).astype(float) for end in (-np.inf, np.inf)]
        choices = np.concatenate([own, single.astype(float), *near, np.nextafter(own, np.inf)])
        rows[:, column] = np.where(random.random(count) < 0.8, random.choice(choices, count), rows[:, column])
    return rows


FORESTS = {
    "two classes": lambda: fit(RandomForestClassifier, 2),
    "five classes": lambda: fit(RandomForestClassifier, 5, max_depth=12),
    "stumps": lambda: fit(RandomForestClassifier, 3, max_depth=1),
    "nothing but leaves": lambda: fit(RandomForestRegressor, 0, min_samples_leaf=400),
    "numbers": lambda: fit(RandomForestRegressor, 0),
    "numbers at random": lambda: fit(ExtraTreesRegressor, 0, n_estimators=1),
}


@pytest.mark.parametrize("name", FORESTS)
@pytest.mark.parametrize("count", [LEAST_ROWS, 8192, 8193, 20_000])
def test_sums_are_those_of_trees_one_after_the_other(name: str, count: int) -> None:
    forest = FORESTS[name]()
    rows = rows_for(forest, count).astype(np.float32)
    trees = [each.tree_ for each in forest.estimators_]
    expected = np.zeros((count, *trees[0].value.shape[1:]))
    for tree in trees:
        expected += tree.value.take(tree.apply(rows), axis=0)

    found = TreeTables(trees).sums(rows)

    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["five classes", "numbers"])
def test_programs_answer_many_rows_as_the_forest_does(name: str) -> None:
    forest = FORESTS[name]()
    rows = rows_for(forest, 3 * LEAST_ROWS)
    with_gaps = rows.copy()
    with_gaps[7, 2] = np.nan

    for method, program in programs.build(forest).items():
        answer = getattr(forest, method)
        assert program(rows).tobytes() == answer(rows).tobytes()
        few = rows[: LEAST_ROWS - 1]
        assert program(few).tobytes() == answer(few).tobytes()
        alone = np.concatenate([program(with_gaps[at : at + 1]) for at in range(6, 9)])
        assert program(with_gaps)[6:9].tobytes() == alone.tobytes()


def test_deep_trees_have_no_tables_and_are_answered_all_the_same() -> None:
    forest = fit(RandomForestRegressor, 0, max_depth=None)
    trees = [each.tree_ for each in forest.estimators_]
    assert max(tree.max_depth for tree in trees) > 12
    rows = rows_for(forest, 2 * LEAST_ROWS)

    assert not have_tables(trees)
    assert 0 in map(table_bytes, trees)
    assert programs.build(forest)["predict"](rows).tobytes() == forest.predict(rows).tobytes()


def test_what_tables_hold_is_counted_beforehand() -> None:
    forest = FORESTS["five classes"]()
    trees = [each.tree_ for each in forest.estimators_]
    held = [
        array.nbytes
        for table in TreeTables(trees)._tables
        for array in (table.features, table.limits, table.values)
    ]

    assert sum(held) == sum(map(table_bytes, trees))
