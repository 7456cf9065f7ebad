"""What loaded models tell of themselves: columns, words, gaps, labels; and silence where they do not."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from service.hosting.host import Column, Interface
from service.hosting.runtimes.interface import read_interface
from service.hosting.runtimes.table import load_model
from service.runner.describing import MOST_CLASSES

_ROWS = np.arange(12.0).reshape(6, 2)
_FRAME = pd.DataFrame(
    {"size": ["s", "m", "l", "s", "m", "l"], "town": ["a", "b", "a", "b", "a", "b"], "speed": range(6)}
)


def _read(folder: Path, estimator: Any) -> Interface:
    joblib.dump(estimator, folder / "model.joblib")
    found = load_model(folder, {}).interface()
    assert found is not None
    return found


def _pipeline(town: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("size", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["size"]),
            ("town", town, ["town"]),
            ("speed", make_pipeline(SimpleImputer(), StandardScaler()), ["speed"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression())


def test_a_classifier_of_plain_rows_tells_its_width_and_labels(tmp_path: Path) -> None:
    model = LogisticRegression().fit(_ROWS, [0, 1, 2, 0, 1, 2])
    assert _read(tmp_path, model) == Interface(False, 2, (), (0, 1, 2), False, None)


def test_columns_tell_their_words_and_gaps(tmp_path: Path) -> None:
    model = _pipeline(OneHotEncoder(handle_unknown="ignore")).fit(_FRAME, ["no", "yes"] * 3)
    found = _read(tmp_path, model)
    assert found.columns == (
        Column("size", text=True, words=("l", "m", "s"), gaps=True),
        Column("town", text=True),  # other words are passed over, so that any may come
        Column("speed", gaps=True),
    )
    assert (found.width, found.labels) == (3, ("no", "yes"))


@pytest.mark.parametrize("where", [["town"], [1], slice(1, 2), [False, True, False]], ids=str)
def test_columns_are_found_however_they_were_chosen(tmp_path: Path, where: Any) -> None:
    columns = ColumnTransformer([("town", OneHotEncoder(), where)])
    model = make_pipeline(columns, LogisticRegression()).fit(_FRAME, [0, 1] * 3)
    assert _read(tmp_path, model).columns[1] == Column("town", text=True, words=("a", "b"))


def test_regressors_answer_numbers_and_others_are_left_open(tmp_path: Path) -> None:
    assert _read(tmp_path, LinearRegression().fit(_ROWS, range(6))).numbers
    assert _read(tmp_path, DummyRegressor().fit(_ROWS, range(6))).numbers
    found = _read(tmp_path, KMeans(2, n_init=1, random_state=0).fit(_ROWS))
    assert (found.numbers, found.labels) == (False, ())


def test_labels_of_several_outputs_and_too_many_of_one_are_left_out(tmp_path: Path) -> None:
    two = DummyClassifier().fit(_ROWS, [[0, 1]] * 3 + [[1, 0]] * 3)
    assert _read(tmp_path, two).labels == ()
    many = DummyClassifier().fit(np.zeros((MOST_CLASSES + 1, 1)), range(MOST_CLASSES + 1))
    assert _read(tmp_path, many).labels == ()
    days = DummyClassifier().fit(_ROWS, [0, 1] * 3)
    days.classes_ = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")
    assert _read(tmp_path, days).labels == ()


def test_whatever_a_model_is_does_no_harm(tmp_path: Path) -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert read_interface(Odd()) == Interface(False, None, (), (), False, None)


def test_a_pipeline_of_texts_says_that_it_takes_texts(tmp_path: Path) -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good", "bad"] * 3, [1, 0] * 3)
    found = _read(tmp_path, model)
    assert (found.texts, found.labels) == (True, (0, 1))


def test_columns_that_are_only_filled_have_their_names(tmp_path: Path) -> None:
    columns = ColumnTransformer(
        [("filled", make_pipeline(SimpleImputer()), ["speed"]), ("rest", StandardScaler(), ["age"])]
    )
    frame = pd.DataFrame({"speed": [1.0, 2.0, 3.0, 4.0], "age": [1.0, 2.0, 3.0, 5.0]})
    model = make_pipeline(columns, LogisticRegression()).fit(frame, [0, 1, 0, 1])

    assert _read(tmp_path, model).columns == (Column("speed"), Column("age"))


def test_a_column_that_is_given_as_texts_is_found_by_its_name(tmp_path: Path) -> None:
    columns = ColumnTransformer([("words", TfidfVectorizer(), "said"), ("rest", StandardScaler(), ["age"])])
    frame = pd.DataFrame({"said": ["good", "bad", "very good", "very bad"], "age": [1.0, 2.0, 3.0, 5.0]})
    model = make_pipeline(columns, LogisticRegression()).fit(frame, [1, 0, 1, 0])

    assert [column.name for column in _read(tmp_path, model).columns] == ["said", "age"]
