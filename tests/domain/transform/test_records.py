"""Filters and joins of single records."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.transform.jsonpath import compile_path
from service.domain.transform.records import FORMS, input_filter, output_maker
from service.errors import PathError

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)


def picked(record: bytes, path: str, kind: str = CSV) -> bytes:
    return input_filter(FORMS[kind], compile_path(path))(record)


def made(
    given_record: bytes, answer: bytes, path: str = "$", kind: str = CSV, *, joins: bool = True
) -> bytes:
    return output_maker(FORMS[kind], joins, compile_path(path))(given_record, answer)


@pytest.mark.provenance("documented")
def test_csv_joins_the_whole_input_row_to_the_answer() -> None:
    assert made(b"1,2,3", b"1") == b"1,2,3,1"
    assert made(b"1,2,3", b"0,0.25,0.75") == b"1,2,3,0,0.25,0.75"


@pytest.mark.provenance("documented")
def test_csv_filters_pick_columns() -> None:
    assert picked(b"id7,2,3", "$[1:]") == b"2,3"
    assert picked(b"1,2,id7", "$[:-1]") == b"1,2"
    assert picked(b"1,2,3", "$[0]") == b"1"
    assert made(b"id7,2,3", b"1", "$[0,-1]") == b"id7,1"
    assert made(b"", b"0,0.25,0.75", "$[2]", joins=False) == b"0.75"


@pytest.mark.provenance("documented")
def test_json_joins_under_a_name_of_its_own() -> None:
    assert json.loads(made(b'{"key":1}', b'{"label":1}', kind=JSON)) == {
        "key": 1,
        "SageMakerOutput": {"label": 1},
    }
    assert json.loads(made(b'{"SageMakerOutput":0}', b"5", kind=LINES)) == {"SageMakerOutput": 5}
    assert json.loads(made(b"[1,2]", b"5", kind=JSON)) == {"SageMakerInput": [1, 2], "SageMakerOutput": 5}
    assert json.loads(made(b"7", b"null", kind=JSON)) == {"SageMakerInput": 7, "SageMakerOutput": None}


@pytest.mark.provenance("documented")
def test_json_filters_see_the_joined_record() -> None:
    joined = b'{"id":7,"features":[1,2]}'
    assert (
        made(joined, b'{"label":1}', "$['id','SageMakerOutput']", JSON)
        == b'{"id":7,"SageMakerOutput":{"label":1}}'
    )
    assert made(joined, b'{"label":1}', "$.SageMakerOutput", JSON) == b'{"label":1}'
    assert picked(joined, "$.features", JSON) == b"[1,2]"


def test_quoted_cells_keep_their_commas_and_their_spelling() -> None:
    assert picked(b'"a,b",2,"c ""d"""', "$[0,2]") == b'"a,b","c ""d"""'
    assert made(b'"a,b",2', b"1", "$[1,2]") == b"2,1"


@given(st.lists(st.text(alphabet='ab,"; é', max_size=4), min_size=1, max_size=6), st.data())
def test_picked_cells_read_as_they_did(cells: list[str], data: st.DataObject) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    wanted = data.draw(st.lists(st.integers(-len(cells), len(cells) - 1), min_size=1, max_size=4))

    row = picked(buffer.getvalue().encode(), f"$[{','.join(map(str, wanted))}]")

    expected = [cells[at] for at in wanted]
    # A row of one blank cell reads as no row; any other reads back.
    assert list(csv.reader([row.decode()])) == [expected] or expected == [""]


@given(values, values)
def test_a_joined_document_holds_both(given_value: Any, answer: Any) -> None:
    record = made(json.dumps(given_value).encode(), json.dumps(answer).encode(), kind=LINES)

    joined = json.loads(record)
    assert b"\n" not in record
    assert joined["SageMakerOutput"] == answer
    if isinstance(given_value, dict):
        assert {**given_value, "SageMakerOutput": answer} == joined
    else:
        assert joined["SageMakerInput"] == given_value


@pytest.mark.parametrize(
    ("record", "path", "kind", "reason"),
    [
        (b"1,2", "$[2]", CSV, "no column 2: there are 2, counted from 0"),
        (b"\xff,2", "$[0]", CSV, "byte 1 is not UTF-8"),
        (
            b'a"b,1',
            "$[1:]",
            CSV,
            'Failed to parse input as CSV: bare " in non quoted field found near: a"b,1',
        ),
        (b'1,"a"b,1', "$[0]", CSV, 'extraneous or missing " in quoted field found near: "a"b'),
        (b'1,"a,2', "$[0]", CSV, 'extraneous or missing " in quoted field found near: "a,2'),
        (b"{", "$.a", JSON, "not JSON"),
        (b"NaN", "$", JSON, "NaN is no JSON value"),
        (b'{"a":1}', "$.b", LINES, "there is no 'b'"),
    ],
)
def test_a_record_that_cannot_be_looked_into_is_told(
    record: bytes, path: str, kind: str, reason: str
) -> None:
    with pytest.raises(PathError, match=reason):
        picked(record, path, kind)
