"""Files of XGBoost are read without it: to what it says itself, or not at all."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from service.errors import NotCompilable
from service.hosting.programs.probes import rows_beside
from service.hosting.programs.xgboost_trees import Booster, likeliest, softmax
from service.hosting.runtimes.xgboost_answers import predict_of
from service.hosting.runtimes.xgboost_files import is_estimator, read_model

xgb = pytest.importorskip("xgboost")

_MIB = 1 << 20
Read = Callable[..., tuple[Booster, str]]


@pytest.fixture
def rows() -> Any:
    return np.random.default_rng(12).normal(size=(200, 4))


@pytest.fixture
def target(rows: Any) -> Any:
    """One of three classes."""
    return np.digitize(rows[:, 0] + rows[:, 1] * rows[:, 2], [-0.5, 0.5])


def _read(file: Path, most_bytes: int = _MIB) -> tuple[Booster, str]:
    return read_model(file, file.stat().st_size, most_bytes)


def _matrix(rows: Any, label: Any = None) -> Any:
    """In one thread: several wait for one another on a machine that has other things to do."""
    return xgb.DMatrix(rows, label=label, nthread=1)


def _probes(booster: Booster, count: int = 192) -> Any:
    return rows_beside(booster.thresholds, booster.features, np.float32, count)


def _train(rows: Any, target: Any, objective: str, rounds: int = 30, **more: Any) -> Any:
    several = objective.startswith("multi:")
    parameters = {"objective": objective, "nthread": 1, "max_depth": 5}
    parameters |= {"num_class": 3} if several else {}
    data = _matrix(rows, label=target if several else (target > 0).astype(float))
    return xgb.train(parameters, data, rounds, verbose_eval=False, **more)


@pytest.mark.parametrize("ending", ["ubj", "json"])
@pytest.mark.parametrize(
    "objective", ["binary:logistic", "multi:softprob", "reg:squarederror", "count:poisson"]
)
def test_answers_are_the_librarys_with_gaps_too(
    objective: str, ending: str, rows: Any, target: Any, tmp_path: Path
) -> None:
    given = np.where(np.random.default_rng(1).random(rows.shape) < 0.1, np.nan, rows)
    booster = _train(given, target, objective)
    booster.save_model(tmp_path / f"model.{ending}")
    read, estimator = _read(tmp_path / f"model.{ending}")
    assert estimator == ""
    asked = _probes(read, 500)
    asked[::5, 1] = np.nan
    data = _matrix(asked)
    right = booster.predict(data, output_margin=True).reshape(len(asked), -1)
    np.testing.assert_array_equal(read.margins(asked), right)
    for size in (1, 3, 499):
        np.testing.assert_array_equal(read.margins(asked[:size]), right[:size])
    answers = predict_of(read, "")(asked)
    np.testing.assert_array_equal(answers, booster.predict(data))
    assert answers.dtype == np.float32


@pytest.mark.parametrize(
    "objective",
    [
        *("reg:logistic", "binary:logitraw", "binary:hinge", "multi:softmax", "reg:gamma", "reg:tweedie"),
        *("reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror", "rank:pairwise", "rank:ndcg"),
    ],
)
def test_each_objective_says_what_it_says_in_the_library(
    objective: str, rows: Any, target: Any, tmp_path: Path
) -> None:
    booster = _train(rows, target + (objective == "reg:gamma"), objective, 6)
    booster.save_model(tmp_path / "model.ubj")
    read = _read(tmp_path / "model.ubj")[0]
    asked = _probes(read, 200)
    np.testing.assert_array_equal(predict_of(read, "")(asked), booster.predict(_matrix(asked)))


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_trees_beyond_the_best_are_left_out(objective: str, rows: Any, target: Any, tmp_path: Path) -> None:
    turned = _matrix(rows[::-1].copy(), label=target if objective[0] == "m" else target > 0)
    booster = _train(rows, target, objective, evals=[(turned, "turned")], early_stopping_rounds=2)
    booster.save_model(tmp_path / "model.ubj")
    best = booster.best_iteration + 1
    assert best < booster.num_boosted_rounds()
    read = _read(tmp_path / "model.ubj")[0]
    asked = _probes(read)
    right = booster.predict(_matrix(asked), output_margin=True, iteration_range=(0, best))
    np.testing.assert_array_equal(read.margins(asked), right.reshape(len(asked), -1))


def _dump(model: Any, file: Path, how: str) -> None:
    if how == "joblib":
        joblib.dump(model, file)
    else:
        file.write_bytes(pickle.dumps(model, protocol=int(how)))


@pytest.mark.parametrize("how", ["joblib", "3", "4", "5"])
def test_estimators_are_found_in_their_pickles(how: str, rows: Any, target: Any, tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    for kind, label in (
        ("XGBClassifier", target),
        ("XGBClassifier", target > 0),
        ("XGBRegressor", rows[:, 0]),
    ):
        model = getattr(xgb, kind)(n_estimators=6, max_depth=3, n_jobs=1).fit(rows, label)
        _dump(model, file, how)
        assert is_estimator(file)
        read, estimator = _read(file)
        assert estimator == kind
        asked = _probes(read, 300)
        found, right = predict_of(read, estimator)(asked), model.predict(asked)
        np.testing.assert_array_equal(found, right)
        assert found.dtype == right.dtype
    _dump(model.get_booster(), file, how)
    assert not is_estimator(file)
    assert _read(file)[1] == ""


def test_about_equal_chances_are_told_apart_as_the_library_does() -> None:
    margins = np.array([[1.0, 1.0000001, 0.0], [2.0, 2.0, 2.0], [0.5, 3.0, -1.0]], dtype=np.float32)
    assert likeliest(margins).tolist() == softmax(margins).argmax(axis=1).tolist()
    assert likeliest(margins[2:]).tolist() == [1]
    np.testing.assert_allclose(softmax(margins).sum(axis=1), 1, rtol=1e-6)


_CATEGORIES = {
    "split_type": [1, 0, 0],
    "categories_nodes": [0],
    "categories_segments": [0],
    "categories_sizes": [2],
    "categories": [1, 3],
}


def _document(**more: Any) -> dict[str, Any]:
    tree = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "split_indices": [0, 0, 0],
        "split_conditions": [0.5, 1.0, 2.0],
        "default_left": [0, 0, 0],
        **more.pop("tree", {}),
    }
    model = {"trees": [tree], "tree_info": [0], "iteration_indptr": [0, 1], **more.pop("model", {})}
    booster = {"name": "gbtree", "model": model, **more.pop("booster", {})}
    parameters = {"num_class": "0", "num_feature": "2", "base_score": "5E-1", **more.pop("parameters", {})}
    learner = {"learner_model_param": parameters, "gradient_booster": booster, **more}
    return {"learner": {**learner, "objective": {"name": "reg:squarederror"}}}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"tree": {"left_children": [0, -1, -1]}}, "lead nowhere"),
        ({"tree": {"right_children": [3, -1, -1]}}, "lead nowhere"),
        ({"tree": {"right_children": [1e300, -1, -1]}}, "lead nowhere"),
        ({"tree": {"split_indices": [2, 0, 0]}}, "lead nowhere"),
        ({"tree": {"split_indices": [-1, 0, 0]}}, "lead nowhere"),
        ({"tree": {"left_children": [], "right_children": []}}, "not as many"),
        ({"tree": {"left_children": 7}}, "not as expected"),
        ({"tree": {"split_conditions": [0.5]}}, "not as many"),
        ({"tree": {"split_type": [1, 0, 0]}}, "not as expected"),
        ({"tree": {**_CATEGORIES, "categories_nodes": [1]}}, "categories is nowhere"),
        ({"tree": {**_CATEGORIES, "categories_nodes": []}}, "categories is nowhere"),
        ({"tree": {**_CATEGORIES, "categories_segments": [2]}}, "categories is nowhere"),
        ({"tree": {**_CATEGORIES, "categories_sizes": [9]}}, "categories is nowhere"),
        ({"tree": {**_CATEGORIES, "categories_sizes": [10**9]}}, "too large"),
        ({"tree": {**_CATEGORIES, "categories_sizes": [1, 1]}}, "not as expected"),
        ({"tree": {**_CATEGORIES, "categories": [1, -3]}}, "out of bounds"),
        ({"tree": {**_CATEGORIES, "categories": [1, 1 << 24]}}, "out of bounds"),
        ({"tree": {"default_left": None}}, "not as expected"),
        ({"model": {"tree_info": [1]}}, "class by class"),
        ({"model": {"trees": []}}, "class by class"),
        ({"model": {"trees": [1, 2]}}, "class by class|not as expected"),
        ({"booster": {"name": "dart"}}, "its booster is dart"),
        ({"booster": {"name": "gblinear"}}, "its booster is gblinear"),
        ({"parameters": {"num_target": "2"}}, "several numbers"),
        ({"parameters": {"num_feature": "many"}}, "not as expected"),
        ({"parameters": {"num_feature": "0"}}, "columns are too many"),
        ({"parameters": {"num_feature": "1000000000000"}}, "columns are too many"),
        ({"parameters": {"num_class": "1000000000000"}}, "class by class"),
        ({"parameters": {"base_score": "[1,2,3]"}}, "base score"),
        ({"parameters": {"base_score": "x"}}, "not as expected"),
        ({"attributes": {"best_iteration": "7"}}, "not as expected"),
        ({"feature_names": ["1", "2"]}, "might be its header"),
    ],
)
def test_trees_that_are_not_as_they_should_be_are_never_walked(
    more: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(_document()))
    assert _read(file)[0].margins(np.array([[0.0, 0.0], [0.5, 0.0]])).tolist() == [[1.5], [2.5]]
    file.write_text(json.dumps(_document(**more)))
    with pytest.raises(NotCompilable, match=reason):
        _read(file)


def test_sets_of_categories_lead_to_the_right(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(_document(tree=_CATEGORIES)))
    asked = np.zeros((8, 2))
    asked[:, 0] = [-1, 0, 1, 1.9, 2, 3.5, 4, np.nan]
    assert _read(file)[0].margins(asked)[:, 0].tolist() == [1.5, 1.5, 2.5, 2.5, 1.5, 2.5, 1.5, 2.5]
    nothing = {**_CATEGORIES, "categories_sizes": [0], "default_left": [1, 0, 0]}
    file.write_text(json.dumps(_document(tree=nothing)))
    assert _read(file)[0].margins(asked)[:, 0].tolist() == [1.5] * 8
    with pytest.raises(NotCompilable, match="too large"):
        _read(file, 100)


@pytest.mark.parametrize("most", [1, 100])
def test_answers_by_categories_are_the_librarys(most: int, rows: Any, target: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    given = rows.copy()
    given[:, 3] = random.integers(0, 40, len(rows))
    given[random.random(given.shape) < 0.1] = np.nan
    kinds = {"feature_types": ["q", "q", "q", "c"], "enable_categorical": True, "nthread": 1}
    parameters = {"objective": "multi:softprob", "num_class": 3, "nthread": 1, "max_cat_to_onehot": most}
    booster = xgb.train(parameters, xgb.DMatrix(given, label=target, **kinds), 10)
    booster.save_model(tmp_path / "model.ubj")
    read = _read(tmp_path / "model.ubj")[0]
    asked = _probes(read, 500)
    asked[::3, 3] = np.resize([-1, -0.5, -0.0, 0.5, 39.5, 40, 1e3, 2.0**24, 1e20, -1e20, np.nan], 167)
    np.testing.assert_array_equal(predict_of(read, "")(asked), booster.predict(xgb.DMatrix(asked, **kinds)))


def test_what_would_hold_more_than_it_may_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(json.dumps(_document()))
    with pytest.raises(NotCompilable, match="too large"):
        _read(file, 100)
    with pytest.raises(NotCompilable, match="has grown"):
        read_model(file, 10, _MIB)


class _Evil:
    def __init__(self, *called: Any) -> None:
        self._called = called

    def __reduce__(self) -> Any:
        return self._called


_HUGE = bytes([0, 0, 0, 0, 255]) + bytes(3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pickle.dumps(_Evil(print, ("run",))), "it holds a print of builtins"),
        (pickle.dumps(_Evil(bytearray, (10**12,))), "not whole"),
        (pickle.dumps([1, 2]), "it holds no Booster"),
        (pickle.dumps("xgboost")[:-3], "it cannot be read|cannot be read"),
        (pickle.dumps(list(range(1_000_000, 1_020_000))), "not as XGBoost's are"),
        (b"\x80\x04Nr\xff\xff\xff\x7f.", "not as XGBoost's are"),  # to be remembered as the 2147483647th
        (b"\x80\x05\x96" + _HUGE + b".", "cannot be read"),  # a terabyte of bytes
        (b"\x80\x04\x95" + _HUGE + b"N.", "cannot be read|no Booster"),  # the same of a frame
        (b"{L", "neither JSON nor UBJSON"),
        (b'{"', "neither JSON nor UBJSON"),
        (b"binf....", "not as expected|neither"),
        (b"", "not as expected|neither"),
    ],
)
def test_files_of_something_else_are_left_to_the_container(
    data: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(NotCompilable, match=reason):
        _read(tmp_path / "model")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("ending", ["ubj", "json", "pkl"])
def test_files_with_bytes_that_were_changed_are_refused_or_walked_to_an_end(
    ending: str, rows: Any, target: Any, tmp_path: Path
) -> None:
    model = xgb.XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1).fit(rows, target)
    file = tmp_path / f"model.{ending}"
    if ending == "pkl":
        _dump(model, file, "4")
    else:
        model.save_model(file)
    data, random, refused = file.read_bytes(), np.random.default_rng(3), 0
    for number in range(300):
        changed = bytearray(data if number % 3 else data[: random.integers(len(data))])
        for at in random.integers(max(1, len(changed)), size=random.integers(1, 6)):
            changed[at : at + 1] = random.bytes(1)
        file.write_bytes(changed)
        try:
            read = _read(file)[0]
        except NotCompilable:
            refused += 1
            continue
        with np.errstate(all="ignore"):
            assert len(read.margins(np.zeros((3, read.features)))) == 3
    assert 100 <= refused < 300


def test_gaps_that_are_not_nan_are_the_containers_matter(rows: Any, target: Any, tmp_path: Path) -> None:
    model = xgb.XGBClassifier(n_estimators=2, missing=-999.0).fit(rows, target)
    joblib.dump(model, tmp_path / "model.joblib")
    assert is_estimator(tmp_path / "model.joblib")
    with pytest.raises(NotCompilable, match="gaps are not nan"):
        _read(tmp_path / "model.joblib")


def test_answers_of_other_kinds_have_no_program(rows: Any, target: Any, tmp_path: Path) -> None:
    _train(rows, target, "survival:cox", 2).save_model(tmp_path / "model.ubj")
    with pytest.raises(NotCompilable, match="no program for survival:cox"):
        predict_of(_read(tmp_path / "model.ubj")[0], "")
