"""Steps over tables that are not compiled, each with its reason, and cells that are left to the estimator."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    StandardScaler,
)

from service.errors import NotCompilable
from service.hosting.programs.compiled import NotForPrograms
from service.hosting.runtimes.sklearn import SklearnModel
from service.media.tables import CsvBody, Table

pytestmark = pytest.mark.filterwarnings("ignore")

NUMBERS, WORDS = ["age", "size"], ["city"]


def table(gap: Any = np.nan) -> Any:
    """Two columns of numbers with gaps and one of words."""
    random = np.random.default_rng(0)
    found = pd.DataFrame(
        {
            "age": random.integers(1, 60, 80).astype(float),
            "size": random.normal(size=80).round(2),
            "city": random.choice(["Rome", "Oslo", "Lima"], 80),
        }
    )
    found.loc[::7, "age"] = gap
    return found


def fitted(*steps: Any, given: Any = None) -> SklearnModel:
    """A pipeline of these steps, fitted to the table."""
    rows = table() if given is None else given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SklearnModel(make_pipeline(*steps).fit(rows, np.arange(len(rows)) % 2))


def columns(numbers: Any, words: Any = None, **how: Any) -> Any:
    """Steps for the numbers, and for the words."""
    words = _encoder() if words is None else words
    return make_column_transformer((numbers, NUMBERS), (words, WORDS), **how)


def _encoder() -> Any:
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def _marked(gap: Any) -> Any:
    return make_pipeline(SimpleImputer(missing_values=gap, strategy="most_frequent"), _encoder())


def _sparse() -> Any:
    return columns(_FILLED, OneHotEncoder(), sparse_threshold=1.0)


def _weighted() -> Any:
    found = columns(SimpleImputer())
    return found.set_params(transformer_weights={"simpleimputer": 2.0})


def _union() -> Any:
    parts = [("a", SimpleImputer()), ("b", SimpleImputer(strategy="median"))]
    return columns(FeatureUnion(parts, transformer_weights={"a": 2.0}))


def _lost() -> Any:
    rows = table()
    rows["size"] = np.nan
    return rows


def _words(gap: Any) -> Any:
    rows = table()
    rows["city"] = rows["city"].astype(object)
    rows.loc[::5, "city"] = gap
    return rows


_FILLED = SimpleImputer(strategy="most_frequent")
_LEFT: Sequence[tuple[str, Callable[[], Sequence[Any]], Any]] = (
    ("ColumnTransformer has weights", lambda: [_weighted()], None),
    ("FeatureUnion has weights", lambda: [_union()], None),
    ("drops columns", lambda: [columns(SimpleImputer())], _lost()),
    (
        "neither a number nor a word",
        lambda: [columns(_FILLED, _marked(None))],
        _words(None),
    ),
    (
        "SimpleImputer takes a sparse matrix",
        lambda: [_sparse(), SimpleImputer()],
        None,
    ),
    (
        "marks gaps that are not nan",
        lambda: [columns(SimpleImputer(missing_values=-1, add_indicator=True))],
        table(-1),
    ),
    (
        "FunctionTransformer has arguments",
        lambda: [columns(make_pipeline(_FILLED, FunctionTransformer(np.expm1, kw_args={"dtype": float})))],
        None,
    ),
    (
        "other numbers than float64",
        lambda: [columns(make_pipeline(_FILLED, KBinsDiscretizer(3, encode="ordinal", dtype=np.float32)))],
        None,
    ),
    (
        "PolynomialFeatures takes a sparse matrix",
        lambda: [_sparse(), PolynomialFeatures()],
        None,
    ),
)


@pytest.mark.parametrize(("reason", "steps", "given"), _LEFT, ids=[reason for reason, _, _ in _LEFT])
def test_what_has_no_program_says_why(reason: str, steps: Callable[[], Sequence[Any]], given: Any) -> None:
    model = fitted(*steps(), LogisticRegression(), given=given)
    with pytest.raises(NotCompilable, match=reason):
        model.programs()


def test_a_model_with_threads_of_its_own_is_left_alone() -> None:
    model = fitted(columns(_FILLED), KNeighborsClassifier(n_jobs=2))
    with pytest.raises(NotCompilable, match="threads of its own"):
        model.programs()


def test_what_is_no_model_behind_steps_is_left_alone() -> None:
    model = SklearnModel(Pipeline([("only", LogisticRegression())]).fit(table()[["size"]], np.arange(80) % 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = model.programs()["predict"]
    rows = table()[["size"]].to_numpy()
    np.testing.assert_array_equal(program(rows), model.method("predict")(rows))


@pytest.mark.parametrize(
    ("step", "given"),
    [
        (columns(make_pipeline(SimpleImputer(missing_values=-1), StandardScaler())), table(-1)),
        (columns(make_pipeline(_FILLED, FunctionTransformer(None, validate=True))), None),
        (
            columns(
                _FILLED,
                _marked("?"),
            ),
            _words("?"),
        ),
    ],
    ids=["a number for a gap", "a function of nothing", "a word for a gap"],
)
def test_other_marks_of_gaps_are_compiled(step: Any, given: Any) -> None:
    model = fitted(step, LogisticRegression(), given=given)
    program, rows = model.programs()["predict"], model.probes()
    np.testing.assert_array_equal(program(rows), model.method("predict")(rows))


def test_a_model_without_a_program_answers_no_requests_at_once() -> None:
    model = fitted(columns(_FILLED), KNeighborsClassifier())
    program: Any = model.programs()["predict"]
    rows: Any = model.probes()
    np.testing.assert_array_equal(program(rows), model.method("predict")(rows))
    with pytest.raises(NotForPrograms):
        program(rows[None])


def test_what_is_not_plain_is_for_the_estimator_itself() -> None:
    model = fitted(columns(_FILLED), LogisticRegression())
    record = {"age": 30, "size": 0.5, "city": "Rome"}
    assert model.code([record]) is None  # it is not compiled yet
    model.programs()

    coded = model.code([record, {**record, "age": None}, {**record, "age": True}])
    assert coded is not None
    assert np.isnan(coded[1, 0])
    assert coded[2, 0] == 1.0
    assert model.code(Table([[30, 0.5, "Rome"]])) is not None
    assert model.code(Table([30, 0.5, "Rome"], flat=True)) is not None
    assert model.code(CsvBody(b"30,0.5,Rome\n,0.1,Oslo\n")) is not None
    odd: Sequence[Any] = (
        [{"age": 30, "size": 0.5}],
        [{**record, "more": 1}],
        [{"age": 30, "size": 0.5, "town": "Rome"}],
        [{**record, "age": "30"}],
        [{**record, "city": 30}],
        [[30, 0.5, "Rome"]],
        Table([[30, 0.5]]),
        Table([(30, 0.5, "Rome")]),
        Table([["30", "0.5", "Rome"]], spelled=True),
        {"rows": []},
        b"30,0.5,Rome",
    )
    for data in odd:
        assert model.code(data) is None, data


def test_one_column_of_words_or_positions_is_read_as_far_as_it_is_plain() -> None:
    words = table()[["city"]]
    lone = fitted(
        OneHotEncoder(handle_unknown="ignore", sparse_output=False), LogisticRegression(), given=words
    )
    lone.programs()
    assert lone.code(Table([["Rome"], ["Oslo"]])) is None
    assert lone.code([{"city": "Rome"}]) is not None

    rows = np.column_stack([table()["size"].astype(object), table()["city"].astype(object)])
    encoder = make_column_transformer(("passthrough", [0]), (_encoder(), [1]))
    places = fitted(encoder, LogisticRegression(), given=rows)
    places.programs()
    assert places.code([{"x0": 0.5, "x1": "Rome"}]) is None
    assert places.code(Table([[0.5, "Rome"]])) is not None
    assert places.code(Table([["half", "Rome"]])) is None


def test_texts_among_columns_have_no_codes() -> None:
    words = make_column_transformer((_FILLED, NUMBERS), (TfidfVectorizer(), "city"))
    model = fitted(words, LogisticRegression())
    with pytest.raises(NotCompilable):
        model.programs()
