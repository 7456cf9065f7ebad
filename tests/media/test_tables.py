"""CSV as cells, and sentences of others."""

import csv
import datetime
import json
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from service.errors import BadPayload
from service.hosting.runtimes.columns import DType, columns_of
from service.hosting.runtimes.sklearn import one_sentence
from service.media.codec import encode
from service.media.tables import read_cells
from service.media.types import JSON

_WORDS = np.array([["a", "x"], ["b", "y"]], dtype=object)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"\n", "The body is empty"),
        (b"a,b\n\nc,d", "Row 2 is blank"),
        (b"a\n \nb", "Row 2 is blank"),
        (b'a,"b\nc,d', "a quote is opened and never closed"),
        (b'a,"b"c', "text follows a closing quote"),
    ],
)
def test_what_is_no_csv_is_told_by_its_row(body: bytes, told: str) -> None:
    with pytest.raises(BadPayload, match=told):
        read_cells(body)


def test_a_cell_may_be_longer_than_the_readers_first_limit() -> None:
    cell = "x" * (csv.field_size_limit() + 1)

    assert read_cells(f'{cell},"a ""quoted"", cell"'.encode()) == [[cell, 'a "quoted", cell']]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("", ""),
        ("It is so.\nAnd so on.", "It is so."),
        ("Cannot use it with:\nwords", "Cannot use it with: words"),
        ("Names are missing:\n- a\n- b\n", "Names are missing: a, b"),
        ("It ends in:", "It ends in:"),
    ],
)
def test_a_message_is_not_cut_behind_a_colon(said: str, sentence: str) -> None:
    assert one_sentence(said) == sentence


class _Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class _Point:
    x: int
    y: int


def test_values_that_json_lacks_are_written_as_what_they_stand_for() -> None:
    value = {
        "point": _Point(1, 2),
        "day": datetime.date(2026, 1, 2),
        "id": UUID(int=1),
        "colour": _Colour.RED,
    }

    assert json.loads(encode(value, JSON)) == {
        "point": {"x": 1, "y": 2},
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
        "colour": "red",
    }


def test_columns_are_known_by_what_each_step_was_fitted_on() -> None:
    numbers = np.array([[1.0, 2.0], [3.0, 4.0]])
    words = OneHotEncoder(handle_unknown="ignore").fit(_WORDS)
    union = FeatureUnion([("one", OrdinalEncoder()), ("two", OneHotEncoder())]).fit(_WORDS)
    filled = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()).fit(_WORDS)
    passed = make_pipeline(FunctionTransformer(), StandardScaler()).fit(numbers)
    mixed = ColumnTransformer(
        [("words", OrdinalEncoder(), [0]), ("more", OneHotEncoder(), [0]), ("rest", "passthrough", [1])]
    ).fit(_WORDS)

    def kinds(estimator: object) -> list[DType]:
        return [column.kind for column in columns_of(estimator, 2)]

    for estimator in (words, union, filled):
        assert kinds(estimator) == [DType.WORD, DType.WORD]
    assert kinds(passed) == [DType.NUMBER, DType.NUMBER]
    assert kinds(mixed)[0] is DType.WORD
    assert kinds(SimpleImputer().fit(numbers)) == [DType.NUMBER, DType.NUMBER]
