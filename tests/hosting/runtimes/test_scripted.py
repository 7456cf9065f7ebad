"""Estimators in a script's hands: they answer by programs what they answer by themselves."""

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import validation

from service.errors import NotCompilable
from service.hosting.runtimes.scripted import quicken
from service.hosting.runtimes.seal import Seal

MOST_BYTES = 1 << 26
WORDS, NUMBERS = ["size", "phase"], ["speed", "height"]
FEATURES = len(NUMBERS)


@cache
def _table(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "size": random.choice(["small", "medium", "large"], rows).astype(object),
            "phase": random.choice(["climb", "descent", "taxi"], rows).astype(object),
            "speed": random.normal(150, 40, rows).round(1),
            "height": random.normal(900, 300, rows).round(),
        }
    )
    for name in table.columns:
        table.loc[random.random(rows) < 0.15, name] = np.nan
    return table


@cache
def _answers() -> Any:
    table = _table()
    odds = table["speed"].fillna(100) / 80 + 2 * (table["size"] == "large")
    return np.where(odds + np.random.default_rng(1).normal(size=len(table)) > 2.5, "yes", "no")


def fit_strikes() -> Any:
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((words, WORDS), (numbers, NUMBERS))
    return make_pipeline(columns, LogisticRegression()).fit(_table(), _answers())


def _numbers() -> Any:
    return _table()[NUMBERS].fillna(100.0)


def fit_named() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(_numbers(), _answers())


def fit_unnamed() -> Any:
    return LogisticRegression().fit(_numbers().to_numpy(), _answers())


def fit_forest() -> Any:
    return RandomForestClassifier(8, random_state=0, n_jobs=2).fit(_numbers().to_numpy(), _answers())


def fit_texts() -> Any:
    texts = [f"{size} {phase}" for size, phase in zip(_table()["size"], _table()["phase"], strict=True)]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, _answers())


def twins(fit: Callable[[], Any], **options: Any) -> tuple[Any, Any]:
    """A model that answers by programs, and its like that does not."""
    model = fit()
    twin = copy.deepcopy(model)
    assert quicken(model, {}, MOST_BYTES, options.get("handed_out", True))
    return model, twin


@pytest.fixture(scope="module", autouse=True)
def classes() -> Iterator[None]:
    """Those of scikit-learn as they were, for other tests."""
    kinds = (Pipeline, LogisticRegression, RandomForestClassifier, SGDClassifier, LinearSVC)
    before = {kind: dict(vars(kind)) for kind in kinds}
    yield
    for kind, members in before.items():
        for name in ("predict", "predict_proba", "transform"):
            if name in members:
                setattr(kind, name, members[name])
            elif name in vars(kind):
                delattr(kind, name)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Arrays that scikit-learn's own methods have looked at, one or more for each call."""
    seen: list[Any] = []
    own = validation.check_array

    def counted(array: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(array)
        return own(array, *arguments, **options)

    monkeypatch.setattr(validation, "check_array", counted)
    return seen


def told(method: Callable[[Any], Any], data: Any) -> Any:
    """An answer to the last bit, or what is raised in its place."""
    try:
        answer = method(data)
    except Exception as error:  # whatever it is, both say the same
        return type(error), str(error)
    return (
        type(answer),
        answer.dtype,
        answer.shape,
        answer.tolist(),
        answer.tobytes() if answer.dtype != object else b"",
    )


def check_same(model: Any, twin: Any, data: Any) -> None:
    for name in ("predict", "predict_proba"):
        assert told(getattr(model, name), data) == told(getattr(twin, name), data)


def _row(**cells: Any) -> pd.DataFrame:
    row = {"size": "large", "phase": "climb", "speed": 250.0, "height": 900.0, **cells}
    return pd.DataFrame([list(row.values())], columns=[*row], dtype=object).astype(
        dict.fromkeys(NUMBERS, "float64")
    )


STRIKES: dict[str, Callable[[], Any]] = {
    "one row": _row,
    "a gap for a number": lambda: _row(speed=np.nan),
    "gaps for words": lambda: _row(size=np.nan, phase=float("nan")),
    "nothing but gaps": lambda: _row(size=np.nan, phase=np.nan, speed=np.nan, height=np.nan),
    "an unknown word": lambda: _row(size="huge"),
    "extremes": lambda: _row(speed=1e30, height=-1e-30),
    "many rows": lambda: _table(),
    "some rows, whose index is odd": lambda: _table().iloc[[5, 3, 3]],
    "texts of pandas": lambda: _table().iloc[:20].astype(dict.fromkeys(WORDS, "str")),
    "objects": lambda: _table().iloc[:9].astype(object),
    "records": lambda: pd.DataFrame([{"size": "small", "phase": "taxi", "speed": 90, "height": 12}]),
    "whole numbers": lambda: _table().dropna().iloc[:9].astype({"height": "int64"}),
}
LEFT: dict[str, Callable[[], Any]] = {
    "infinity": lambda: _row(speed=np.inf),
    "None for a word": lambda: _row(size=None),
    "a number for a word": lambda: _row(size=3),
    "float32": lambda: _row().astype(dict.fromkeys(NUMBERS, "float32")),
    "whole numbers as objects": lambda: _row(speed=90).astype(object),
    "words for numbers": lambda: _row().astype(object).assign(speed="90"),
    "categories": lambda: _table().iloc[:9].astype(dict.fromkeys(WORDS, "category")),
    "another order": lambda: _row()[[*NUMBERS, *WORDS]],
    "a column more": lambda: _row().assign(more=1),
    "a column less": lambda: _row()[WORDS],
    "another name": lambda: _row().rename(columns={"size": "Size"}),
    "an array": lambda: _row().to_numpy(),
    "a list": lambda: [["large", "climb", 250.0, 900.0]],
    "nothing": lambda: None,
    "no row": lambda: _row().iloc[:0],
}


@pytest.fixture(scope="module")
def strikes() -> tuple[Any, Any]:
    return twins(fit_strikes)


@pytest.mark.parametrize("given", STRIKES.values(), ids=STRIKES)
def test_frames_of_words_and_gaps_are_answered_by_programs(
    strikes: tuple[Any, Any], checks: list[Any], given: Callable[[], Any]
) -> None:
    strikes[0].predict(given())
    strikes[0].predict_proba(given())

    assert not checks
    check_same(*strikes, given())


@pytest.mark.parametrize("given", LEFT.values(), ids=LEFT)
def test_what_else_a_script_gives_is_the_estimators_own_business(
    strikes: tuple[Any, Any], given: Callable[[], Any]
) -> None:
    check_same(*strikes, given())


def test_numbers_as_objects_go_to_a_model_that_refuses_them() -> None:
    def fit() -> Any:
        words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
        roots = make_pipeline(FunctionTransformer(np.cbrt), SimpleImputer())
        columns = make_column_transformer((words, WORDS), (roots, NUMBERS))
        return make_pipeline(columns, LogisticRegression()).fit(_table(), _answers())

    check_same(*twins(fit), _row().astype(object))


ROWS = np.random.default_rng(3).normal(size=(7, FEATURES))
ARRAYS: dict[str, Any] = {
    "one row": ROWS[:1],
    "rows": ROWS,
    "rows in columns": np.asfortranarray(ROWS),
    "every other row": ROWS[::2],
    "float32": ROWS.astype(np.float32),
    "whole numbers": ROWS.astype(int),
    "a list": ROWS.tolist(),
    "a list of whole numbers": [[1, 2], [3, 4]],
    "rows of several lengths": [[1.0, 2.0], [3.0]],
    "gaps": np.full((1, FEATURES), np.nan),
    "too wide": np.ones((2, 3)),
    "one line": ROWS[0],
    "words": [["a", "b"]],
    "no rows": ROWS[:0],
    "an empty list": [],
    "a frame": pd.DataFrame(ROWS[:1], columns=NUMBERS),
    "a frame of rows": pd.DataFrame(ROWS, columns=NUMBERS),
    "a frame of whole numbers": pd.DataFrame({"speed": [3, 4], "height": [1, 2]}),
    "a frame of both": pd.DataFrame({"speed": [3.5], "height": [1]}),
    "a frame with other names": pd.DataFrame(ROWS, columns=["a", "b"]),
    "sparse columns": pd.DataFrame(ROWS[:1], columns=NUMBERS).astype(pd.SparseDtype(float)),
}


@pytest.fixture(
    scope="module", params=[fit_named, fit_unnamed, fit_forest], ids=["named", "unnamed", "forest"]
)
def numeric(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return twins(request.param)


@pytest.mark.filterwarnings("ignore:X (does not have|has feature):UserWarning")
@pytest.mark.parametrize("given", ARRAYS.values(), ids=ARRAYS)
def test_arrays_lists_and_frames_of_numbers_get_the_same_answers(
    numeric: tuple[Any, Any], given: Any
) -> None:
    check_same(*numeric, given)


@pytest.mark.parametrize("name", ["one row", "rows", "a list"])
def test_arrays_and_lists_of_floats_are_answered_by_programs(
    numeric: tuple[Any, Any], checks: list[Any], name: str
) -> None:
    numeric[0].predict(ARRAYS[name])

    assert not checks


@pytest.mark.parametrize(
    "texts",
    [["large climb", "small"], [""], ["nobody knows"], [7], [b"large"], [], "large climb", np.array(["a"])],
)
def test_texts_get_the_same_answers(texts: Any) -> None:
    check_same(*_texts(), texts)


@cache
def _texts() -> tuple[Any, Any]:
    return twins(fit_texts)


def _write(model: Any) -> None:
    model[-1].coef_[:] *= -1


def _replace(model: Any) -> None:
    model[-1].coef_ = -model[-1].coef_


def _add_a_method(model: Any) -> None:
    model[-1].decision_function = lambda rows: np.full(len(rows), 1.0)


def _take_out_a_step(model: Any) -> None:
    model.steps[0] = ("scaler", "passthrough")


def _rename_labels(model: Any) -> None:
    model[-1].classes_[:] = ["n", "y"]


def _fit_again(model: Any) -> None:
    model.fit(_numbers(), _answers()[::-1])


def _scale_otherwise(model: Any) -> None:
    model[0].mean_[0] = 1e4


@pytest.mark.parametrize(
    "change",
    [_write, _replace, _add_a_method, _take_out_a_step, _rename_labels, _fit_again, _scale_otherwise],
    ids=lambda change: change.__name__,
)
def test_what_a_script_changes_is_answered_by_the_estimator(change: Callable[[Any], None]) -> None:
    model, _ = twins(fit_named)
    before = told(model.predict_proba, _numbers()), told(model.predict, _numbers())

    change(model)

    assert (told(model.predict_proba, _numbers()), told(model.predict, _numbers())) != before
    check_same(model, copy.deepcopy(model), _numbers())


def test_what_a_script_changes_deep_inside_is_seen() -> None:
    model, _ = twins(fit_strikes)
    before = told(model.predict_proba, _table())

    model[0].transformers_[1][1][0].statistics_[0] = 1e4

    assert told(model.predict_proba, _table()) != before
    check_same(model, copy.deepcopy(model), _table())


def test_a_model_that_learns_from_what_it_is_asked_answers_by_what_it_has_learnt() -> None:
    def fit() -> Any:
        return SGDClassifier(loss="log_loss", random_state=0).fit(_numbers().to_numpy(), _answers())

    model, twin = twins(fit)
    for each in (model, twin):
        each.partial_fit(ROWS * 100, ["yes", "no"] * 3 + ["yes"])

    check_same(model, twin, ROWS)


def test_a_class_that_a_script_patches_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = twins(fit_strikes)
    monkeypatch.setattr(StandardScaler, "transform", lambda self, rows, copy=None: np.zeros_like(rows))
    assert told(model.predict_proba, _table()) == told(copy.deepcopy(model).predict_proba, _table())

    monkeypatch.setattr(Pipeline, "predict", lambda self, rows: "patched")
    assert model.predict(_table()) == "patched"


def test_a_class_that_was_patched_before_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    own = StandardScaler.transform
    monkeypatch.setattr(StandardScaler, "transform", lambda self, rows, copy=None: own(self, rows, copy) + 1)
    model = fit_strikes()
    twin = copy.deepcopy(model)

    quicken(model, {}, MOST_BYTES, True)

    check_same(model, twin, _table())


def test_settings_of_scikit_learn_are_obeyed(checks: list[Any]) -> None:
    model, _ = twins(fit_unnamed)
    with sklearn.config_context(assume_finite=True):
        model.predict(ROWS)

    assert checks


def test_what_is_answered_may_be_written_into(strikes: tuple[Any, Any]) -> None:
    for name in ("predict", "predict_proba"):
        answer = getattr(strikes[0], name)(_row())
        expected = answer.copy()
        answer[:] = answer[::-1] if answer.dtype == object else "0" if answer.dtype.kind == "U" else 0.5

        assert (getattr(strikes[0], name)(_row()) == expected).all()


def test_the_object_is_what_it_was() -> None:
    model = fit_strikes()
    twin, before, shown = copy.deepcopy(model), pickle.dumps(model), str(model)

    assert quicken(model, {}, MOST_BYTES, True)

    assert (pickle.dumps(model), str(model)) == (before, shown)
    assert inspect.signature(model.predict) == inspect.signature(twin.predict)
    assert model.predict.__name__ == "predict"
    assert model.predict.__self__ is model
    assert not hasattr(clone(model), "coef_")


def test_methods_are_called_in_any_way(strikes: tuple[Any, Any]) -> None:
    model, twin = strikes
    expected = told(twin.predict, _row())

    assert told(lambda rows: model.predict(X=rows), _row()) == expected
    assert told(lambda rows: Pipeline.predict(model, rows), _row()) == expected
    assert told(pickle.loads(pickle.dumps(model.predict)), _row()) == expected
    assert told(copy.deepcopy(model.predict), _row()) == expected
    with pytest.raises(TypeError):
        model.predict()


def test_a_method_that_a_model_lacks_is_still_lacking() -> None:
    def fit() -> Any:
        return make_pipeline(StandardScaler(), LinearSVC()).fit(_numbers(), _answers())

    model, twin = twins(fit)

    assert not hasattr(model, "predict_proba")
    assert told(model.predict, _numbers()) == told(twin.predict, _numbers())


def test_a_subclass_of_the_scripts_answers_by_itself(strikes: tuple[Any, Any]) -> None:
    class Doubtful(Pipeline):  # type: ignore[misc]  # scikit-learn has no types
        def predict(self, X: Any) -> Any:
            return np.char.add(super().predict(X).astype(str), "?")

    doubtful = Doubtful(strikes[1].steps)

    assert doubtful.predict(_row()).tolist() == [f"{strikes[1].predict(_row())[0]}?"]
    assert quicken(doubtful, {}, MOST_BYTES, True) == []


@pytest.mark.parametrize(
    "held",
    [
        lambda model: {"model": model, "threshold": 0.5},
        lambda model: (model, ["yes", "no"]),
        lambda model: SimpleNamespace(inner=model),
        lambda model: [model, fit_unnamed()],
    ],
    ids=["dict", "tuple", "object", "list"],
)
def test_estimators_are_found_in_what_a_script_made_of_them(
    checks: list[Any], held: Callable[[Any], Any]
) -> None:
    model = fit_named()
    assert quicken(held(model), {}, MOST_BYTES, False) == ["predict", "predict_proba"]
    checks.clear()

    model.predict(ROWS)

    assert not checks


@pytest.mark.parametrize(
    ("model", "environment", "most_bytes"),
    [
        (None, {}, MOST_BYTES),
        ({"a": 1}, {}, MOST_BYTES),
        (object(), {}, MOST_BYTES),
        (LogisticRegression(), {}, MOST_BYTES),
        (fit_unnamed(), {}, 0),
        (fit_unnamed(), {"SAGEBIRD_COMPILE": "off"}, MOST_BYTES),
    ],
    ids=["none", "numbers", "an object", "not fitted", "no room", "switched off"],
)
def test_what_has_no_programs_is_left_alone(model: Any, environment: dict[str, str], most_bytes: int) -> None:
    assert quicken(model, environment, most_bytes, True) == []


def test_what_is_too_large_to_be_looked_at_is_left_alone_where_a_script_may_change_it() -> None:
    model = fit_unnamed()
    model.notes_ = np.zeros(200_000)

    with pytest.raises(NotCompilable):
        Seal(model)
    assert quicken(model, {}, MOST_BYTES, True) == []
    assert quicken(model, {}, MOST_BYTES, False) == ["predict", "predict_proba"]


def test_what_has_too_many_parts_is_left_alone() -> None:
    model = fit_unnamed()
    model.notes_ = [[number] for number in range(5000)]

    with pytest.raises(NotCompilable):
        Seal(model)


def test_a_seal_that_was_broken_stays_so() -> None:
    model = fit_unnamed()
    seal = Seal(model)
    assert seal.holds()

    model.coef_[0, 0] += 1
    assert not seal.holds()
    model.coef_[0, 0] -= 1

    assert not seal.holds()


def test_an_array_in_the_place_of_another_breaks_a_seal() -> None:
    model = fit_unnamed()
    seal = Seal(model)

    model.coef_ = model.coef_ + 1

    assert not seal.holds()
