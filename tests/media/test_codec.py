"""Bodies to rows and predictions to bodies: what is read, what is refused and in which words."""

import io
import json
import math
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from service.errors import BadPayload, ModelFailure, NotAcceptable, UnsupportedContentType
from service.media.codec import WRITTEN, Accept, choose_accept, decode, encode
from service.media.csv_quick import read_csv_quickly
from service.media.readers import parse_json_strictly, plain_rows, read_csv_strictly, read_rows_strictly
from service.media.tables import CsvBody, Table, Takes, quoted

CSV, JSON, LINES, NPY = "text/csv", "application/json", "application/jsonlines", "application/x-npy"


def matrix(body: bytes, content_type: str | None) -> list[list[float]]:
    rows = plain_rows(decode(body, content_type))
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.float64
    assert rows.flags.writeable
    assert rows.flags.c_contiguous
    return [list(map(float, row)) for row in rows]


def refusal(body: bytes, content_type: str | None) -> str:
    with pytest.raises(BadPayload) as caught:
        plain_rows(decode(body, content_type))
    return caught.value.message


def npy(array: npt.NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=True)
    return buffer.getvalue()


def header_of(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


# ---- what is read


@pytest.mark.parametrize(
    "content_type",
    [
        "text/csv",
        "TEXT/CSV",
        "text/csv; charset=utf-8",
        "text/csv;header=absent; label_size=0",
        'text/csv; Charset="US-ASCII"',
        "text/csv; charset=ISO-8859-1",
    ],
)
def test_csv_parameters_that_change_nothing_are_understood(content_type: str) -> None:
    assert matrix(b"1,2\n3,4", content_type) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"5.1", [[5.1]]),
        (b"1,2", [[1, 2]]),
        (b"\xef\xbb\xbf1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        (b"1,2\n3,4\n\n\n", [[1, 2], [3, 4]]),
        (b' 1 ,"2"\n\t"3" , " 4 "', [[1, 2], [3, 4]]),
        (b"+1,.5\n5.,01\n1e3,-1E-2", [[1, 0.5], [5, 1], [1000, -0.01]]),
        (b"inf,-Infinity,1", [[math.inf, -math.inf, 1]]),
        (b"18446744073709551616,9007199254740993", [[18446744073709551616.0, 9007199254740992.0]]),
    ],
)
def test_csv_is_read(body: bytes, rows: list[list[float]]) -> None:
    assert matrix(body, CSV) == rows


def test_csv_nan_and_minus_zero_stay_what_they_are() -> None:
    ((first, second, third),) = matrix(b"nan,-0,-0.0", CSV)
    assert math.isnan(first)
    assert math.copysign(1, second) == math.copysign(1, third) == -1
    assert math.copysign(1, matrix(b"-0\n-0", CSV)[0][0]) == -1


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"[[1,2],[3,4.5]]", [[1, 2], [3, 4.5]]),
        (b"[1,2,3]", [[1, 2, 3]]),
        (b'\xef\xbb\xbf {"instances": [[1,2],[3,4]]}\n', [[1, 2], [3, 4]]),
        (
            b'{"instances":[{"features":[1.5,16.0]},{"data":{"features":{"values":[1,2]}}}]}',
            [[1.5, 16], [1, 2]],
        ),
        (b'{"features":[1,2]}', [[1, 2]]),
        (b'[{"features":[1,2]},{"features":[3,4]}]', [[1, 2], [3, 4]]),
        (b'{"data":{"features":{"values":[1,2]}}}', [[1, 2]]),
        (b"[[18446744073709551616, -9223372036854775809]]", [[2.0**64, -(2.0**63)]]),
        (b"[[Infinity, -Infinity, 1e3, 99999999999999999999999, 3]]", [[math.inf, -math.inf, 1e3, 1e23, 3]]),
        (b"[[NaN, 18446744073709551616]]", [[math.nan, 2.0**64]]),
    ],
)
@pytest.mark.parametrize("content_type", [None, "", JSON, "application/json; charset=UTF8"])
def test_json_rows_are_read(body: bytes, rows: list[list[float]], content_type: str | None) -> None:
    np.testing.assert_array_equal(matrix(body, content_type), rows)


@pytest.mark.parametrize("content_type", [LINES, "application/x-jsonlines", "application/jsonl"])
@pytest.mark.parametrize(
    "body",
    [b"[1,2]\n[3,4]\n", b"[1,2]\r\n [3,4]", b'{"features":[1,2]}\n{"data":{"features":{"values":[3,4]}}}'],
)
def test_json_lines_are_read(body: bytes, content_type: str) -> None:
    assert matrix(body, content_type) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'[{"a":1,"b":"red: x"},{"b":null,"a":true}]', JSON),
        (b'{"instances":[{"a":1,"b":"red: x"},{"b":null,"a":true}]}', JSON),
        (b'{"a":1,"b":"red: x"}\n{"b":null,"a":true}\n', LINES),
    ],
)
def test_records_keep_their_values(body: bytes, content_type: str) -> None:
    assert decode(body, content_type) == [{"a": 1, "b": "red: x"}, {"a": True, "b": None}]


def test_a_single_record_is_one_row() -> None:
    assert decode(b'{"a":1.5,"features":"x","data":2,"instances":3}', None) == [
        {"a": 1.5, "features": "x", "data": 2, "instances": 3}
    ]
    assert decode('{"é":"ü"}'.encode("latin-1"), "application/json; charset=latin1") == [{"é": "ü"}]
    (record,) = plain_rows(decode(b'{"a":NaN,"b":"\\ud83d\\ude00"}', None))
    assert isinstance(record, dict)
    assert record["b"] == "😀"


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "<f2", "<i8", "|u1", ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy_of_any_number_type_is_read(dtype: str, order: Any, version: tuple[int, int]) -> None:
    array = np.array([[1, 2, 3], [4, 5, 6]], dtype=dtype, order=order)
    assert matrix(npy(array, version), NPY) == [[1, 2, 3], [4, 5, 6]]
    assert matrix(npy(array[0], version), NPY) == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("body", "content_type", "rows"),
    [
        (b"1,,3", CSV, [[1, math.nan, 3]]),
        (b'1,""', CSV, [[1, math.nan]]),
        (b"1,NA,True", CSV, [[1, math.nan, 1]]),
        (b"[[1,null],[true,false]]", JSON, [[1, math.nan], [1, 0]]),
        (b'[["5.1"," 3"],[" nan ",1]]', JSON, [[5.1, 3], [math.nan, 1]]),
        (b'["1", null]', JSON, [[1, math.nan]]),
        (b'[1,"2"]\n[3,null]', LINES, [[1, 2], [3, math.nan]]),
        (npy(np.array([["1", "2"], ["", "x4"[1:]]])), NPY, [[1, 2], [math.nan, 4]]),
    ],
)
def test_numbers_are_read_as_numpy_and_pandas_spell_them(
    body: bytes, content_type: str, rows: list[list[float]]
) -> None:
    np.testing.assert_array_equal(plain_rows(decode(body, content_type)), rows)


WORDY = Takes(numbers=False, texts=True)


def test_words_are_kept_as_they_were_sent() -> None:
    assert decode(b"1,red", CSV) == CsvBody(b"1,red")
    assert decode(b"1,2", CSV, WORDY) == CsvBody(b"1,2")
    assert decode(b"a,b\n1,2", "text/csv; header=present") == CsvBody(b"a,b\n1,2", header=True)
    assert decode(b"a,b", "text/csv; header=absent") == CsvBody(b"a,b", header=False)
    assert decode(b'[[1,"red"],[null,true]]', JSON) == Table([[1, "red"], [None, True]])
    assert decode(b"[[1,2]]", JSON, WORDY) == Table([[1, 2]])
    assert decode(b'["red","1"]', JSON) == Table(["red", "1"], flat=True)
    assert decode(b'{"instances":["red","1"]}', JSON) == Table([["red"], ["1"]])
    assert decode(b'"red"\n"1"', LINES) == Table([["red"], ["1"]])
    assert decode(b"red, 1\n2\n", "text/plain", WORDY) == Table(["red, 1\n2"], flat=True)
    assert decode(npy(np.array(["red", "1"])), NPY) == Table(["red", "1"], flat=True, spelled=True)


# ---- what is refused


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty."),
        (b"\n\r\n", "The body is empty."),
        (b"1,2\n3,abc", "Row 2, column 2: 'abc' is not a number."),
        (b"a,b\n1,2", "Row 1, column 1: 'a' is not a number; a header row is not accepted."),
        (b"1;2\n3;4", "Row 1, column 1: '1;2' is not a number; cells of text/csv are separated by commas."),
        (b"a\tb\n1", "Row 1, column 1: 'a\\tb' is not a number; cells of text/csv are separated by commas."),
        (b"1 2\n", "Row 1, column 1: '1 2' is not a number; cells of text/csv are separated by commas."),
        (b"1,b", "Row 1, column 2: 'b' is not a number."),
        (
            b"[[1,2]]",
            "Row 1, column 1: '[[1' is not a number; a JSON body needs Content-Type: application/json.",
        ),
        (b"1,2,3,4\n1,2,3", "Row 2 has 3 columns, but row 1 has 4."),
        (b"1,2\n1", "Row 2 has 1 column, but row 1 has 2."),
        (b"1,2\n\n3,4", "Row 2 is blank."),
        (b"1\n  \n", "Row 2 is blank."),
        (b" ", "Row 1 is blank."),
        (b"1_000,2", "Row 1, column 1: '1_000' is not a number."),
        (b"2,0x1", "Row 1, column 2: '0x1' is not a number."),
        ("1,٣".encode(), "Row 1, column 2: '٣' is not a number."),
        (b"1,1e400", "Row 1, column 2: '1e400' is too large."),
        (
            b"1\r2",
            "Row 1, column 1: '1\\r2' is not a number; "
            "lines end in a newline, not in a carriage return alone.",
        ),
        (
            b"1,2\r3,4\r",
            "Row 1, column 2: '2\\r3' is not a number; "
            "lines end in a newline, not in a carriage return alone.",
        ),
        (b"1,2\xff", "The body is not UTF-8 text: byte 4 is wrong."),
        (b"1," + b"x" * 99, f"Row 1, column 2: '{'x' * 37}...' is not a number."),
    ],
)
def test_bad_csv_is_refused_in_a_sentence(body: bytes, message: str) -> None:
    assert refusal(body, CSV) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty."),
        (b" \n ", "The body is empty."),
        (b"[]", "The body holds no rows."),
        (b'{"instances":[]}', "The body holds no rows."),
        (b"[[]]", "Row 1 has no columns."),
        (b"{}", "Row 1 has no columns."),
        (b'[{"a":1},{}]', "Row 2 has no columns."),
        (b"5", "The body is a number; send rows such as [[1, 2], [3, 4]]."),
        (b"null", "The body is null; send rows such as [[1, 2], [3, 4]]."),
        (b"[[1,2],[3]]", "Row 2 has 1 column, but row 1 has 2."),
        (b"[[1,2],3]", "Row 2 is a number, not a list of numbers."),
        (b'{"instances":[1,2]}', "Row 1 is a number, not a list of numbers."),
        (b"[[[1]]]", "Row 1, column 1 is a list, not a number."),
        (b"[1,{}]", "Row 1, column 2 is an object, not a number."),
        (b'[["red"]]', "Row 1, column 1: 'red' is not a number."),
        (b'[[1],["1e999"]]', "Row 2, column 1: '1e999' is too large."),
        (b'[[1],["1_0"]]', "Row 2, column 1: '1_0' is not a number."),
        (b'"red"', "Row 1, column 1: 'red' is not a number."),
        (b'[{"a":1},[1]]', "Row 2 is a list, but row 1 is a record."),
        (b'[{"a":1},{"b":1}]', "Row 2 lacks column 'a', which row 1 has."),
        (b'[{"a":1},{"a":1,"b":1}]', "Row 2 has column 'b', which row 1 has not."),
        (b'[{"a":[1]}]', "Row 1, column 'a' is a list; a record holds plain values."),
        (b'[{"a":1},{"a":{}}]', "Row 2, column 'a' is an object; a record holds plain values."),
        (b'{"a":1,"a":2}', "The name 'a' is given twice."),
        (b'[{"features":[1]},{"a":1}]', "Row 2 has no list of features, but row 1 has."),
        (b'[{"features":[1]},[1]]', "Row 2 has no list of features, but row 1 has."),
        (
            b'{"instances":[[1]],"configuration":{}}',
            "Only 'instances' may stand in this object; 'configuration' is not read.",
        ),
        (
            b'{"data":{"features":{"keys":[1],"values":[1]}}}',
            "Only 'values' may stand in this object; 'keys' is not read.",
        ),
        (b"[[1,2]", "The body is not JSON: Expecting ',' delimiter at line 1, column 7."),
        (b"[[1],\n[x]]", "The body is not JSON: Expecting value at line 2, column 2."),
        (b"[[1e400]]", "'1e400' is too large."),
        (b"[[" + b"9" * 400 + b"]]", f"'{'9' * 37}...' is too large."),
        (b'{"a":"\\ud800"}', "'\\ud800' holds half a character (a lone surrogate)."),
        (b'["\xff"]', "The body is not UTF-8 text: byte 3 is wrong."),
        (b"[" * 200_000, "The JSON is nested too deeply."),
        (
            b'{"a":' * 100 + b"1" + b"}" * 100,
            "Row 1, column 'a' is an object; a record holds plain values.",
        ),
    ],
)
def test_bad_json_is_refused_in_a_sentence(body: bytes, message: str) -> None:
    assert refusal(body, JSON) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\n", "The body is empty."),
        (b"[1]\n\n[2]", "Row 2 is blank."),
        (b"[1]\n[2", "Row 2: The body is not JSON: Expecting ',' delimiter at line 1, column 3."),
        (b"[1,\n2]", "Row 1: The body is not JSON: Expecting value at line 1, column 4."),
        (b"[1],[2]\n[3]", "Row 1: The body is not JSON: Extra data at line 1, column 4."),
        (b"1\n2", "Row 1 is a number, not a list of numbers."),
        (b"[[1,2]]", "Row 1, column 1 is a list, not a number."),
        (b"[1]\n[1,2]", "Row 2 has 2 columns, but row 1 has 1."),
    ],
)
def test_bad_json_lines_are_refused_in_a_sentence(body: bytes, message: str) -> None:
    assert refusal(body, LINES) == message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"1,2,3", "not an npy array"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "header of the npy array"),
        (header_of("(2,", "'<f8'"), "header of the npy array"),
        (header_of("[2]"), "header of the npy array"),
        (header_of("(1L, 1L)"), "header of the npy array"),
        (header_of("(1, 1)")[:-1], "header of the npy array"),
        (header_of("(2.0,)"), "header of the npy array"),
        (header_of("(1, 1)", "'nonsense'") + b"\0" * 8, "'nonsense'"),
        (b"\x93NUMPY\x03\x00" + header_of("(1,)")[8:], "of version 1.0 or 2.0"),
        (header_of("(1000000, 1000000)") + b"\0" * 8, "another size than the 8 bytes"),
        (header_of("(1, 1)") + b"\0" * 9, "another size than the 9 bytes"),
        (header_of("(0, 3)"), "no rows or no columns"),
        (header_of("(-1, -1)") + b"\0" * 8, "no rows or no columns"),
        (header_of("()") + b"\0" * 8, "0 dimensions"),
        (npy(np.zeros((1, 1, 1))), "3 dimensions"),
        (npy(np.array([b"a\xff"])), "not UTF-8 text"),
        (npy(np.array([b"a"])), "Row 1, column 1: 'a' is not a number"),
        (npy(np.array(["a"])), "Row 1, column 1: 'a' is not a number"),
        (npy(np.array(["ab"]))[:-4] + b"\xff" * 4, "not Unicode"),
        (npy(np.array([1j])), "'<c16'"),
        (npy(np.array([{}], dtype=object)), "'|O'"),
        (npy(np.array([1], dtype=np.longdouble)), "up to 64 bits"),
    ],
)
def test_bad_npy_is_refused(body: bytes, words: str) -> None:
    assert words in refusal(body, NPY)


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("application/x-www-form-urlencoded", "add -H 'Content-Type: text/csv'"),
        ("image/png", "'image/png' is not read; send application/json, text/csv"),
        ("text/csv; header=perhaps", "say present or absent"),
        ("text/plain", "'text/plain' is not read"),
        ("text/csv; label_size=1", "label_size must be 0"),
        ("text/csv; charset=utf-16", "charset='utf-16' is not read"),
        ("x" * 1025, "longer than 1024"),
    ],
)
def test_other_content_types_are_refused(content_type: str, words: str) -> None:
    with pytest.raises(UnsupportedContentType) as caught:
        decode(b"1", content_type)
    assert words in caught.value.message


# ---- fast and strict agree

NEAR_CSV = st.text(alphabet="0123456789.,,,\n\n-+eE \t\r\"[]{}_xnaitrul:'", max_size=30)
TRICKS = [
    "1_000",
    "0x1",
    "true",
    "[1]",
    '"1"',
    "1,[2],3",
    "1],[2",
    "{}",
    "null",
    "01",
    "+1",
    ".5",
    "1e5",
    "-0",
    "1,-0\n-0 ,2",
    "9" * 30,
    "9" * 400,
    "1e-0",
    "-0.0",
    "1 2",
    "1,2\n3,4",
    "1\n\n2",
    ",",
    ",\n,",
    "1,2\n3",
    " ",
    "1,\n,2",
    "1e400",
    "1e-400",
]


def same(quick: npt.NDArray[np.float64], strict: npt.NDArray[np.float64]) -> bool:
    return quick.shape == strict.shape and quick.tobytes() == strict.tobytes()


@pytest.mark.parametrize("text", TRICKS)
def test_the_fast_csv_reader_agrees_on_tricky_text(text: str) -> None:
    quick = read_csv_quickly(text.encode())
    assert quick is None or same(quick, read_csv_strictly(text.encode()))


@settings(max_examples=1000, deadline=None)
@given(
    st.one_of(
        NEAR_CSV, st.lists(st.sampled_from([*TRICKS, "1", "2.5", ","]), max_size=6).map("".join), st.text()
    )
)
def test_the_fast_csv_reader_agrees_wherever_it_answers(text: str) -> None:
    body = text.encode()
    quick = read_csv_quickly(body)
    assert quick is None or same(quick, read_csv_strictly(body))


@settings(max_examples=200)
@given(
    st_numpy.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(0.5, 1e9))
)
def test_the_fast_csv_reader_answers_for_plain_numbers(array: npt.NDArray[np.float64]) -> None:
    quick = read_csv_quickly(encode(array, CSV).removesuffix(b"\n"))
    assert quick is not None
    assert same(quick, array)


def test_a_first_row_and_many_lines_cost_no_memory() -> None:
    assert read_csv_quickly(b"," * 100_000 + b"\n" * 100_000) is None


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers()
    | st.text('ab:é"\\', max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(JSON_VALUES.map(json.dumps), st.text('[]{}":,0123456789.-+eEnultrfas \n\\', max_size=25)))
@example("-0")
@example("[-0, -0.0, 1e-400, 18446744073709551615, 18446744073709551616, -9223372036854775809]")
def test_the_fast_json_parser_agrees_wherever_it_answers(text: str) -> None:
    try:
        quick = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    try:
        strict = parse_json_strictly(text.encode())
    except BadPayload as error:
        strict = error
    if isinstance(strict, BadPayload):
        assert "twice" in strict.message
    else:
        assert repr(quick) == repr(strict)


@settings(max_examples=500, deadline=None)
@given(st.text("[],0123456789.-e \n", max_size=25))
@example("[[1],2]")
@example("[[[1]],[[2]]]")
@example("[[],[]]")
@example("[[-0]]")
def test_the_fast_row_reader_agrees_wherever_it_answers(text: str) -> None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if not isinstance(document, list):
        return
    rows = document if document and isinstance(document[0], list) else [document]
    try:
        quick = decode(text.encode(), JSON)
    except BadPayload:
        return
    strict = read_rows_strictly(rows)
    assert isinstance(quick, Table) == isinstance(strict, Table)
    if isinstance(quick, np.ndarray) and isinstance(strict, np.ndarray):
        assert same(quick, strict)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.sampled_from(WRITTEN))
def test_any_bytes_are_rows_or_a_refusal(body: bytes, content_type: str) -> None:
    try:
        rows = plain_rows(decode(body, content_type))
    except BadPayload:
        return
    assert len(rows) > 0


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=3), st.integers(0, 150))
def test_a_changed_npy_header_is_rows_or_a_refusal(junk: bytes, at: int) -> None:
    whole = npy(np.ones((2, 2)))
    try:
        rows = plain_rows(decode(whole[:at] + junk + whole[at + len(junk) :], NPY))
    except BadPayload:
        return
    assert len(rows) > 0


# ---- there and back

MATRICES = st_numpy.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)))


@pytest.mark.parametrize("media_type", [CSV, NPY])
@given(array=MATRICES)
def test_every_float_survives_csv_and_npy(media_type: str, array: npt.NDArray[np.float64]) -> None:
    array = np.where(np.isnan(array), np.nan, array)  # one nan is like another; CSV has only one word for it
    rows = plain_rows(decode(encode(array, media_type), media_type))
    assert isinstance(rows, np.ndarray)
    assert same(rows, array)


@pytest.mark.parametrize("media_type", [JSON, LINES])
@given(array=MATRICES)
def test_every_finite_float_survives_json(media_type: str, array: npt.NDArray[np.float64]) -> None:
    array = np.where(np.isfinite(array), array, 0.0)
    rows = decode(encode(array, media_type), media_type)
    assert isinstance(rows, np.ndarray)
    assert same(rows, array)


# ---- encode

FLOATS = np.array([0.1, 1.0, 1e-7])


@pytest.mark.parametrize(
    ("prediction", "as_json", "as_csv", "as_lines"),
    [
        (FLOATS, b"[0.1, 1.0, 1e-07]", b"0.1\n1.0\n1e-07\n", b"0.1\n1.0\n1e-07\n"),
        (np.array([[1, 2], [3, 4]]), b"[[1, 2], [3, 4]]", b"1,2\n3,4\n", b"[1, 2]\n[3, 4]\n"),
        (np.array([[1, 2], [3, 4]]).T, b"[[1, 3], [2, 4]]", b"1,3\n2,4\n", b"[1, 3]\n[2, 4]\n"),
        (np.array([1, 2], dtype=">i4"), b"[1, 2]", b"1\n2\n", b"1\n2\n"),
        (
            np.array([0.1], dtype=np.float32),
            b"[0.10000000149011612]",
            b"0.10000000149011612\n",
            b"0.10000000149011612\n",
        ),
        (np.array([True, False]), b"[true, false]", b"True\nFalse\n", b"true\nfalse\n"),
        (np.array(["a", "b"]), b'["a", "b"]', b"a\nb\n", b'"a"\n"b"\n'),
        (np.array([b"a"]), b'["a"]', b"a\n", b'"a"\n'),
        (np.array(["a", 1, None], dtype=object), b'["a", 1, null]', b'a\n1\n""\n', b'"a"\n1\nnull\n'),
        (
            np.array(["2020-01-02"], dtype="M8[ns]"),
            b'["2020-01-02T00:00:00.000000000"]',
            b"2020-01-02T00:00:00.000000000\n",
            b'"2020-01-02T00:00:00.000000000"\n',
        ),
        (np.zeros((1, 1, 2)), b"[[[0.0, 0.0]]]", b'"[0.0, 0.0]"\n', b"[[0.0, 0.0]]\n"),
        (np.zeros((0, 2)), b"[]", b"", b""),
        (np.array(2.5), b"2.5", b"2.5\n", b"2.5\n"),
        (np.float32(0.5), b"0.5", b"0.5\n", b"0.5\n"),
        ("text", b'"text"', b"text\n", b'"text"\n'),
        (b"text", b'"text"', b"text\n", b'"text"\n'),
        ((1, 2.5), b"[1, 2.5]", b"1\n2.5\n", b"1\n2.5\n"),
        ([[1, "x"], [None, ""]], b'[[1, "x"], [null, ""]]', b"1,x\n,\n", b'[1, "x"]\n[null, ""]\n'),
        (
            ["a,b", 'q"', "l\n", "r\r", ""],
            b'["a,b", "q\\"", "l\\n", "r\\r", ""]',
            b'"a,b"\n"q"""\n"l\n"\n"r\r"\n""\n',
            b'"a,b"\n"q\\""\n"l\\n"\n"r\\r"\n""\n',
        ),
        (
            {"a": np.int64(1), "b": [1, 2]},
            b'{"a": 1, "b": [1, 2]}',
            b'1,"[1, 2]"\n',
            b'{"a": 1, "b": [1, 2]}\n',
        ),
        ({np.int64(1): np.array([0.5])}, b'{"1": [0.5]}', b"[0.5]\n", b'{"1": [0.5]}\n'),
        ([{"a": 1}, {"a": 2}], b'[{"a": 1}, {"a": 2}]', b"1\n2\n", b'{"a": 1}\n{"a": 2}\n'),
        (
            [np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])],
            b"[[[0.5, 0.5]], [[1.0, 0.0]]]",
            b"0.5,0.5,1.0,0.0\n",
            b"[[0.5, 0.5], [1.0, 0.0]]\n",
        ),
        ([np.array([1]), np.array([2])], b"[[1], [2]]", b"1\n2\n", b"[1]\n[2]\n"),
        (pd.Series([1.5, 2.5]), b"[1.5, 2.5]", b"1.5\n2.5\n", b"1.5\n2.5\n"),
        (
            pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
            b'[[1, "x"], [2, "y"]]',
            b"1,x\n2,y\n",
            b'[1, "x"]\n[2, "y"]\n',
        ),
        (["null"], b'["null"]', b"null\n", b'"null"\n'),
        ({"a": None}, b'{"a": null}', b'""\n', b'{"a": null}\n'),
    ],
)
def test_predictions_are_written(prediction: Any, as_json: bytes, as_csv: bytes, as_lines: bytes) -> None:
    assert encode(prediction, JSON) == as_json
    assert encode(prediction, CSV) == as_csv
    assert encode(prediction, LINES) == encode(prediction, "application/jsonl") == as_lines


@pytest.mark.parametrize(
    ("prediction", "as_json"),
    [
        (np.array([1.0, np.nan]), b"[1.0, NaN]"),
        (np.array([[0.5, -np.inf], [np.inf, 1.0]], np.float32), b"[[0.5, -Infinity], [Infinity, 1.0]]"),
        ([0, {"a": np.float32("nan")}], b'[0, {"a": NaN}]'),
        (pd.Series([None, 1.5]), b"[NaN, 1.5]"),
        (np.float64("inf"), b"Infinity"),
    ],
)
@pytest.mark.provenance("observed")  # contract Z.42: json.dumps
def test_nan_and_infinity_are_json_as_aws_writes_it(prediction: Any, as_json: bytes) -> None:
    assert encode(prediction, JSON) == as_json
    assert b"null" not in encode(prediction, LINES)


def listed(prediction: Any) -> Any:
    return prediction.tolist() if isinstance(prediction, np.ndarray) else prediction


SHAPES = st_numpy.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)
NUMBERS = st.one_of(
    st.floats(), st.floats(-2e-4, 2e-4), st.floats(1e15, 1e18), st.floats(0, 1), st.sampled_from([0.0, 1e16])
)
ARRAYS = st.one_of(
    st_numpy.arrays(np.float64, SHAPES, elements=NUMBERS, fill=st.nothing()),
    st_numpy.arrays(np.float64, st.tuples(st.integers(30, 50)), elements=NUMBERS, fill=st.nothing()),
    st_numpy.arrays(np.float64, st.tuples(st.integers(9, 12), st.integers(1, 5)), elements=NUMBERS),
    st_numpy.arrays(np.int64, SHAPES),
    st_numpy.arrays(np.bool_, SHAPES),
    st.lists(st.text(max_size=5), max_size=4).map(lambda texts: np.array(texts, dtype=np.str_)),
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(ARRAYS, JSON_VALUES))
@example(np.array(["\ud800", "\x7f\x1f"]))
@example(["\ud800"])
@example(np.array(["a\x7f"]))
@example(np.array(["Bär", "a, b", 'q"']))
def test_json_is_json_dumps_to_the_byte(prediction: Any) -> None:
    plain = listed(prediction)
    assert encode(prediction, JSON) == json.dumps(plain).encode()
    if isinstance(plain, list) and plain:
        lines = "".join(json.dumps(row) + "\n" for row in plain)
        assert encode(prediction, LINES) == lines.encode()


@settings(max_examples=200, deadline=None)
@given(st_numpy.arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=NUMBERS))
def test_csv_spells_numbers_as_savetxt_does(table: npt.NDArray[np.float64]) -> None:
    expected = io.StringIO()
    np.savetxt(expected, table, delimiter=",", fmt="%s")
    assert encode(table, CSV) == expected.getvalue().encode()


def test_csv_holds_nan_and_infinity() -> None:
    assert encode(np.array([1e16, np.nan, -np.inf]), CSV) == b"1e+16\nnan\n-inf\n"
    assert encode(np.array([1e16]), CSV) == b"1e+16\n"


@pytest.mark.parametrize(
    ("prediction", "dtype"),
    [
        (np.array([1.5], dtype=np.float32), np.float64),
        (np.array([[1, 2]]), np.int64),
        (["a", "b"], np.dtype("<U1")),
        (np.array(["a", "bc"], dtype=object), np.dtype("<U2")),
        (3, np.int64),
        (pd.Series([True]), np.bool_),
    ],
)
def test_npy_holds_simple_types(prediction: Any, dtype: Any) -> None:
    array = np.load(io.BytesIO(encode(prediction, NPY)), allow_pickle=False)
    assert array.dtype == dtype
    assert array.tolist() == np.asarray(prediction).tolist()


def endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("prediction", "media_type"),
    [
        ({"a": 1}, NPY),
        (["a", None], NPY),
        ([[1], [1, 2]], NPY),
        (np.ma.array([1.0, 2.0], mask=[True, False]), NPY),
        (object(), JSON),
        (np.array([1j]), LINES),
        (["\ud800"], CSV),
        (b"\xff", JSON),
        (endless(), JSON),
    ],
)
def test_what_a_form_cannot_hold_is_the_models_failure(prediction: Any, media_type: str) -> None:
    with pytest.raises(ModelFailure, match=f"cannot be written as {media_type}"):
        encode(prediction, media_type)


class Sparse:
    def toarray(self) -> npt.NDArray[np.int64]:
        return np.array([[0, 1]])


def test_sparse_and_masked_answers_are_written_as_lists() -> None:
    assert encode(Sparse(), JSON) == b"[[0, 1]]"
    assert encode(np.ma.array([1.0, 2.0], mask=[True, False]), JSON) == b"[null, 2.0]"


@pytest.mark.parametrize("media_type", [JSON, LINES, CSV])
@pytest.mark.parametrize("key", [(1, 2), frozenset({1}), object()])
def test_a_name_that_json_does_not_know_is_told(key: Any, media_type: str) -> None:
    with pytest.raises(ModelFailure, match="keys must be str, int, float, bool or None, not"):
        encode({"a": {1: 2, key: 3}}, media_type)


def test_another_media_type_is_not_written() -> None:
    with pytest.raises(NotAcceptable, match="'image/png' cannot be written"):
        encode([1], "image/png")


# ---- accept


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("", JSON),
        (" , ", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        ("text/*", CSV),
        ("application/*", JSON),
        ("application/jsonl", "application/jsonl"),
        ("image/png, text/csv", CSV),
        ("text/csv;q=0.5, application/x-npy", NPY),
        ("text/csv;q=0.5, application/x-npy;q=.5", CSV),
        ("text/csv;q=nonsense", CSV),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("application/json;q=0, */*", CSV),
        ("application/json; verbose=true", JSON),
    ],
)
def test_the_accept_header_picks_the_form(accept: str | None, media_type: str) -> None:
    assert choose_accept(accept) == Accept(media_type)


def test_wildcards_prefer_the_default() -> None:
    for accept in (None, "*/*", "application/*", "image/png, */*;q=0.1"):
        assert choose_accept(accept, NPY) == Accept(NPY)
    assert choose_accept("text/*", NPY) == Accept(CSV)
    assert choose_accept("text/plain", "text/plain") == Accept("text/plain")


@pytest.mark.parametrize(
    ("parameter", "output"),
    [
        ("output=probabilities", ("probabilities",)),
        ("output=predicted_label+probabilities", ("predicted_label", "probabilities")),
        ('output="probabilities, predicted_label"', ("probabilities", "predicted_label")),
        ("output=probabilities+probabilities", ("probabilities",)),
        ("output=", None),
    ],
)
def test_the_output_parameter_is_kept(parameter: str, output: tuple[str, ...] | None) -> None:
    assert choose_accept(f"application/json; {parameter}") == Accept(JSON, output)
    assert choose_accept(f"*/*; {parameter}") == Accept(JSON, output)


@pytest.mark.parametrize(
    ("accept", "words"),
    [
        (
            "image/png",
            "Accept 'image/png' names nothing that can be written; ask for application/json, text/csv",
        ),
        ("*/*;q=0", "names nothing that can be written"),
        ('"', "names nothing"),
        ("text/csv; output=magic", "output='magic' is not known; ask for predicted_label or probabilities."),
        ("x" * 1025, "longer than 1024"),
    ],
)
def test_an_accept_header_that_cannot_be_met_is_refused(accept: str, words: str) -> None:
    with pytest.raises(NotAcceptable) as caught:
        choose_accept(accept)
    assert words in caught.value.message


@given(st.text(max_size=60))
def test_any_accept_header_is_met_or_refused(accept: str) -> None:
    try:
        chosen = choose_accept(accept)
    except NotAcceptable:
        return
    assert chosen.media_type


@given(st.text(max_size=200))
def test_quoted_text_is_short_and_printable(text: str) -> None:
    shown = quoted(text)
    assert len(shown) <= 42
    assert shown.isprintable()


def test_reading_strictly_takes_little_more_than_the_numbers() -> None:
    body = b"\n".join([b"1,2"] * 20_000) + b"\n1,x"
    tracemalloc.start()
    try:
        with pytest.raises(BadPayload, match=r"Row 20001, column 2: 'x' is not a number\."):
            read_csv_strictly(body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * len(body)


@given(
    st.lists(st.one_of(st.integers(-12, 12), st.integers(-(2**63), 2**63 - 1)), max_size=40),
    st.sampled_from(["int64", ">i8", "uint64", "int8"]),
    st.integers(1, 2),
)
def test_whole_numbers_of_any_kind_are_json_dumps_to_the_byte(
    numbers: list[int], kind: str, step: int
) -> None:
    labels = np.array(numbers, dtype=np.int64).astype(kind)[::step]

    assert encode(labels, JSON) == json.dumps(labels.tolist()).encode()
