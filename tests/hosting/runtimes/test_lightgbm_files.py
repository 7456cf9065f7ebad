"""Files of LightGBM are read without it: to what it says itself, or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import NotCompilable
from service.hosting.runtimes.file_programs import FileProgram
from service.hosting.runtimes.lightgbm_files import read_booster

lightgbm = pytest.importorskip("lightgbm")

_MIB = 1 << 20


@pytest.fixture
def rows() -> Any:
    """Numbers, of which the last column is a category."""
    random = np.random.default_rng(12)
    found = random.normal(size=(400, 5))
    found[:, 4] = random.integers(0, 90, 400)
    return found


@pytest.fixture
def target(rows: Any) -> Any:
    """One of three classes."""
    return np.digitize(rows[:, 0] + rows[:, 1] * rows[:, 2] + rows[:, 4] % 3, [0, 1.5])


def _train(rows: Any, label: Any, objective: str, rounds: int = 20, **more: Any) -> Any:
    parameters = {
        "objective": objective,
        "verbose": -1,
        "num_threads": 1,
        "num_leaves": 15,
        "min_data_in_leaf": 5,
    }
    parameters |= {"num_class": 3} if objective.startswith("multi") else {}
    parameters |= {"min_data_per_group": 5, "cat_smooth": 1.0, **more}
    columns = parameters.pop("categorical", "auto")
    data = lightgbm.Dataset(rows, label=label, categorical_feature=columns)
    return lightgbm.train(parameters, data, rounds)


def _read(booster: Any, folder: Path) -> FileProgram:
    booster.save_model(folder / "model.txt")
    return read_booster(folder / "model.txt", _MIB * 8, _MIB)


def _right(booster: Any, rows: Any) -> Any:
    return booster.predict(rows, num_threads=1)


def _odd(rows: Any) -> Any:
    """Rows with gaps, numbers about 0, and categories that are none, or between two."""
    found = np.concatenate([rows, rows[::-1], rows])
    found[::3, 1] = found[::5, 4] = np.nan
    found[::7, 0] = np.resize([0.0, -0.0, 1e-36, -1e-36, 1e-35, 2e-35, -2e-35], len(found[::7]))
    odd = [-1.0, -0.5, 0.5, 1.5, 89.999, 90.0, 95.0, 1e5, 2.0**31, -(2.0**40), 1e300]
    found[1::4, 4] = np.resize(odd, len(found[1::4]))
    return found


@pytest.mark.parametrize("categorical", [[], [4]])
@pytest.mark.parametrize("use_missing", [True, False])
@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression", "poisson", "multiclassova"])
def test_answers_are_the_librarys_with_gaps_and_categories(
    objective: str, use_missing: bool, categorical: list[int], rows: Any, target: Any, tmp_path: Path
) -> None:
    label = target if objective[0] == "m" else (target > 0).astype(float)
    given = rows.copy()
    given[::9, 1] = np.nan
    booster = _train(given, label, objective, use_missing=use_missing, categorical=categorical)
    program = _read(booster, tmp_path)
    assert program.features == 5
    for asked in (program.probes, _odd(program.probes), _odd(rows)):
        right = _right(booster, asked)
        found = program.predict(asked)
        np.testing.assert_array_equal(found, right)
        assert (found.dtype, found.shape) == (right.dtype, right.shape)
        for size in (1, 7):
            np.testing.assert_array_equal(program.predict(asked[:size]), right[:size])


@pytest.mark.parametrize(
    "objective",
    [
        *("regression_l1", "huber", "fair", "quantile", "mape", "gamma", "tweedie", "cross_entropy"),
        *("lambdarank", "rank_xendcg"),
    ],
)
def test_each_objective_says_what_it_says_in_the_library(
    objective: str, rows: Any, target: Any, tmp_path: Path
) -> None:
    label = np.clip(target, 0, 1) + (objective == "gamma")
    data = lightgbm.Dataset(rows, label=label, group=[100] * 4 if "rank" in objective else None)
    booster = lightgbm.train({"objective": objective, "verbose": -1, "num_threads": 1}, data, 5)
    program = _read(booster, tmp_path)
    np.testing.assert_array_equal(program.predict(program.probes), _right(booster, program.probes))


def test_a_steeper_sigmoid_and_a_tree_of_one_leaf_are_known(rows: Any, target: Any, tmp_path: Path) -> None:
    steep = _train(rows, target > 0, "binary", sigmoid=2.5)
    program = _read(steep, tmp_path)
    np.testing.assert_array_equal(program.predict(program.probes), _right(steep, program.probes))
    flat = _train(rows, np.ones(len(rows)), "regression", 2)
    np.testing.assert_array_equal(_read(flat, tmp_path).predict(rows), _right(flat, rows))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "means of its trees"),
        ({"linear_tree": True}, "linear models"),
        ({"zero_as_missing": True}, "zeros are gaps"),
        ({"reg_sqrt": True}, "no program for regression sqrt"),
    ],
)
def test_models_that_are_more_than_their_trees_have_no_program(
    more: dict[str, Any], reason: str, rows: Any, target: Any, tmp_path: Path
) -> None:
    given = np.where(np.abs(rows) < 0.3, 0.0, rows)
    with pytest.raises(NotCompilable, match=reason):
        _read(_train(given, target * 1.0, "regression", **more), tmp_path)


def test_words_are_the_containers_matter(rows: Any, target: Any, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=list("abcde"))
    frame["e"] = pandas.Categorical(np.where(rows[:, 4] > 40, "much", "little"))
    with pytest.raises(NotCompilable, match="words"):
        _read(_train(frame, target * 1.0, "regression"), tmp_path)


_TREE = {
    "num_leaves": "3",
    "split_feature": "0 1",
    "threshold": "0.5 0.25",
    "decision_type": "2 2",
    "left_child": "1 -1",
    "right_child": "-3 -2",
    "leaf_value": "1 2 3",
}
_HEAD = {
    "num_tree_per_iteration": "1",
    "max_feature_idx": "1",
    "objective": "regression",
    "feature_names": "a b",
}


def _text(head: dict[str, str], tree: dict[str, str], end: str = "end of trees") -> str:
    lines = ["tree", *map("=".join, (_HEAD | head).items()), "Tree=0", *map("=".join, (_TREE | tree).items())]
    return "\n".join([*lines, "", end, ""])


@pytest.mark.parametrize(
    ("head", "tree", "reason"),
    [
        ({}, {"left_child": "0 -1"}, "lead nowhere"),
        ({}, {"left_child": "2 -1"}, "lead nowhere"),
        ({}, {"right_child": "-4 -2"}, "lead nowhere"),
        ({}, {"right_child": "-1e300 -2"}, "lead nowhere"),
        ({}, {"left_child": "1"}, "as its splits"),
        ({}, {"split_feature": "0 2"}, "lead nowhere"),
        ({}, {"split_feature": "-1 0"}, "lead nowhere"),
        ({}, {"threshold": "0.5"}, "not as expected"),
        ({}, {"threshold": "0.5 x"}, "no numbers"),
        ({}, {"decision_type": "1 2"}, "not as expected|nowhere"),
        (
            {},
            {"decision_type": "1 2", "threshold": "0 0", "cat_boundaries": "0 2", "cat_threshold": "1"},
            "nowhere",
        ),
        (
            {},
            {"decision_type": "1 2", "threshold": "7 0", "cat_boundaries": "0 1", "cat_threshold": "1"},
            "expected",
        ),
        ({}, {"leaf_value": ""}, "too large"),
        ({}, {"is_linear": "1"}, "linear models"),
        ({"num_tree_per_iteration": "2"}, {}, "class by class"),
        ({"num_tree_per_iteration": "0"}, {}, "class by class"),
        ({"num_tree_per_iteration": "many"}, {}, "is no number"),
        ({"max_feature_idx": "999999999"}, {}, "columns are too many"),
        ({"feature_names": "1 2"}, {}, "might be its header"),
        ({"objective": "made up"}, {}, "no program for made up"),
    ],
)
def test_trees_that_are_not_as_they_should_be_are_never_walked(
    head: dict[str, str], tree: dict[str, str], reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.txt"
    file.write_text(_text({}, {}))
    found = read_booster(file, _MIB, _MIB).predict(np.array([[0.0, 0.0], [0.5, 0.5], [1.0, 0.0]]))
    assert found.tolist() == [1.0, 2.0, 3.0]
    file.write_text(_text(head, tree))
    with pytest.raises(NotCompilable, match=reason):
        read_booster(file, _MIB, _MIB)


def test_sets_of_categories_that_would_hold_more_than_they_may_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    sets = " ".join(["1431655765"] * 100)  # each second category
    tree = {"decision_type": "1 2", "threshold": "0 0", "cat_boundaries": "0 100", "cat_threshold": sets}
    file.write_text(_text({}, tree))
    found = read_booster(file, _MIB, _MIB).predict(
        np.array([[0.0, 0.0], [1.0, 0.0], [3198.0, 1.0], [3199.9, 0.0]])
    )
    assert found.tolist() == [1.0, 3.0, 2.0, 3.0]
    with pytest.raises(NotCompilable, match="too large"):
        read_booster(file, _MIB, 80 * 1000)
    with pytest.raises(NotCompilable, match="has grown"):
        read_booster(file, 10, _MIB)


def test_a_set_of_too_many_categories_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    tree = {"decision_type": "1 2", "threshold": "0 0", "cat_boundaries": "0 5000"}
    file.write_text(_text({}, {**tree, "cat_threshold": " ".join(["1"] * 5000)}))
    with pytest.raises(NotCompilable, match="too large"):
        read_booster(file, _MIB, _MIB)


def test_an_empty_set_of_categories_leads_to_the_right(tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    tree = {"decision_type": "1 2", "threshold": "0 0", "cat_boundaries": "0 1", "cat_threshold": "0"}
    file.write_text(_text({}, tree))
    found = read_booster(file, _MIB, _MIB).predict(np.array([[0.0, 0.0], [np.nan, 0.0]]))
    assert found.tolist() == [3.0, 3.0]


def test_what_has_no_end_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    file.write_text(_text({}, {}, "no end"))
    with pytest.raises(NotCompilable, match="no end"):
        read_booster(file, _MIB, _MIB)


def test_files_with_bytes_that_were_changed_are_refused_or_walked_to_an_end(
    rows: Any, target: Any, tmp_path: Path
) -> None:
    _train(rows, target * 1.0, "regression", 2, categorical=[4]).save_model(tmp_path / "model.txt")
    file = tmp_path / "model.txt"
    data, random, refused = file.read_bytes(), np.random.default_rng(3), 0
    for number in range(300):
        changed = bytearray(data if number % 3 else data[: random.integers(len(data))])
        for at in random.integers(max(1, len(changed)), size=random.integers(1, 6)):
            changed[at : at + 1] = bytes([random.choice(list(b"0123456789-e. \n=x"))])
        file.write_bytes(changed)
        try:
            program = read_booster(file, _MIB, _MIB)
        except NotCompilable:
            refused += 1
            continue
        with np.errstate(all="ignore"):
            assert len(program.predict(np.zeros((3, program.features)))) == 3
    assert 50 <= refused < 300
