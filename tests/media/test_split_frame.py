"""Data frames that pandas split: names beside rows, for who knows what the names mean."""

import json
from typing import Any

import numpy as np
import pytest

from service.errors import BadPayload
from service.media.codec import decode
from service.media.readers import plain_rows
from service.media.tables import Table

JSON = "application/json"


def split(**members: Any) -> bytes:
    return json.dumps({"dataframe_split": members}).encode()


@pytest.mark.parametrize("more", [{}, {"index": [7, 8]}])
def test_rows_keep_the_names_of_their_columns(more: dict[str, Any]) -> None:
    found = decode(split(columns=["a", "b"], data=[[1, "x"], [None, "y"]], **more), JSON)

    assert found == Table([[1, "x"], [None, "y"]], names=("a", "b"))


def test_without_names_they_are_rows_like_any() -> None:
    np.testing.assert_array_equal(decode(split(data=[[1, 2], [3, 4.5]]), JSON), [[1, 2], [3, 4.5]])


def test_a_record_may_have_a_column_of_that_name() -> None:
    assert decode(b'{"dataframe_split": 1, "b": 2}', JSON) == [{"dataframe_split": 1, "b": 2}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (split(columns=["a"]), "'dataframe_split' holds no data, which is a list of rows."),
        (split(columns=["a"], data=[]), "The body holds no rows."),
        (split(columns="ab", data=[[1, 2]]), "The columns of 'dataframe_split' are not a list of names."),
        (split(columns=[1, 2], data=[[1, 2]]), "The columns of 'dataframe_split' are not a list of names."),
        (split(columns=["a"], data=[[1, 2]]), "Row 1 has 2 columns, but there are 1 names of columns."),
        (split(columns=["a"], data=[1]), "Row 1 is a number, not a list of numbers."),
        (split(columns=["a"], data=[[1], [1, 2]]), "Row 2 has 2 columns, but row 1 has 1."),
        (split(columns=["a"], data=[[[1]]]), "Row 1, column 1 is a list, not a number."),
        (
            split(data=[[1]], dtypes=["int"]),
            "'dataframe_split' holds columns, index and data; 'dtypes' is not",
        ),
        (
            b'{"dataframe_split": {"data": [[1]]}, "params": {}}',
            "Only 'dataframe_split' may stand in this object; 'params' is not read.",
        ),
    ],
)
def test_what_is_no_such_frame_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(BadPayload) as caught:
        decode(body, JSON)

    assert caught.value.message.startswith(message)


def test_names_are_refused_where_nothing_is_known_of_columns() -> None:
    with pytest.raises(BadPayload, match="Names of columns are not read here"):
        plain_rows(decode(split(columns=["a", "b"], data=[[1, 2]]), JSON))
