"""The reader of whole blocks: it agrees with the strict reader or leaves the answer to it."""

from math import nan

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import BadPayload
from service.media.codec import decode
from service.media.csv_quick import (
    count_newlines,
    read_csv_block,
    read_csv_with_gaps,
    read_json_rows_quickly,
)
from service.media.readers import plain_rows, read_csv_strictly

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(
        [
            "8e-21",
            "0",
            "-0",
            "-0.0",
            "-0e0",
            "1e400",
            "1e-400",
            "5e-324",
            "18446744073709551616",
            "9007199254740993",
        ]
    ),
)
_ODD = (
    *(
        "",
        " ",
        "1 ",
        " 1",
        "\t1",
        "+1",
        ".5",
        "1.",
        "nan",
        "inf",
        '"1"',
        "a",
        "1 2",
        "[1]",
        "[1,2]",
        "{}",
        "true",
    ),
    *("null", "-0 ", "-0\t", "\r", "1\r", "01", "1_000", "é", "\0", "--1", "1e", "-", "0x1"),
)
oddities = st.sampled_from(_ODD)
cells = st.one_of(numbers, numbers, numbers, oddities)
tables = st.lists(st.lists(cells, min_size=1, max_size=4).map(",".join), min_size=1, max_size=8).map(
    "\n".join
)
grids = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(numbers, min_size=width, max_size=width).map(",".join), min_size=1, max_size=8
    ).map("\n".join)
)


def strictly(body: bytes) -> npt.NDArray[np.float64] | None:
    try:
        return read_csv_strictly(body)
    except BadPayload:
        return None


def same(found: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> bool:
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


@given(st.one_of(tables, grids))
@example("1,2\n3")
@example("1\n2,3\n4,5,6")
@example("1,2,3\n4\n5,6")
@example("-0,1")
@example("1,-0\n2,3")
def test_what_it_reads_the_strict_reader_reads_the_same(text: str) -> None:
    body = text.encode()

    found = read_csv_block(body)

    if found is not None:
        expected = strictly(body)
        assert expected is not None
        assert same(found, expected)


@given(grids)
def test_clean_rows_are_read_unless_they_hold_what_json_cannot(text: str) -> None:
    cells = text.replace("\n", ",").split(",")
    exotic = any(cell in ("-0", "8e-21") or abs(float(cell)) > 1e19 or "400" in cell for cell in cells)

    assert exotic or read_csv_block(text.encode()) is not None


@given(st.lists(st.integers(1, 3), min_size=2, max_size=200))
def test_rows_of_different_widths_are_never_read(widths: list[int]) -> None:
    body = "\n".join(",".join(["7"] * width) for width in widths).encode()

    assert (read_csv_block(body) is None) == (len(set(widths)) > 1)


@pytest.mark.parametrize(
    "text", ["8e-21", "1,8e-21", "1,2\n8e-21,3", "1,8e-21,2\n3", "1,8e-21\n3,8e-21,2", "0.8e-20,1"]
)
def test_the_number_that_stands_for_the_end_of_a_row_is_left_to_the_strict_reader(text: str) -> None:
    assert read_csv_block(text.encode()) is None


@given(st.one_of(tables, grids), st.integers(1, 40))
@example("1,2\n3,4\n5,6,7", 8)
@example("1,2\n\n3,4", 4)
def test_bodies_are_read_alike_in_one_piece_and_in_many(text: str, piece_bytes: int) -> None:
    whole = read_csv_block(text.encode())

    found = read_csv_block(text.encode(), piece_bytes)

    assert (found is None) == (whole is None)
    assert found is None or whole is None or same(found, whole)


@pytest.mark.parametrize("columns", [1, 7, 64, 200])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 1000])
def test_any_shape_is_found(rows: int, columns: int) -> None:
    values = np.random.default_rng(rows * columns).normal(size=(rows, columns)).round(3)
    body = "\n".join(",".join(map(str, row)) for row in values.tolist()).encode()

    found = read_csv_block(body)

    assert found is not None
    assert same(found, values)
    assert read_csv_block(body + b"\n") is not None
    assert read_csv_block(body + b"\n\n") is None


def test_large_bodies_are_decoded_by_it_and_refused_as_small_ones_are() -> None:
    rows = ["0.25,-1.5,3e2"] * 5000
    body = "\n".join(rows).encode()

    assert same(np.asarray(decode(body, "text/csv")), np.array([[0.25, -1.5, 300.0]] * 5000))
    assert same(
        np.asarray(decode(body.replace(b"\n", b"\r\n") + b"\r\n", "text/csv")),
        np.array([[0.25, -1.5, 300.0]] * 5000),
    )
    for bad, reason in (
        ("1,2", "Row 4001 has 2 columns"),
        ("1,x,3", "Row 4001, column 2: 'x' is not a number"),
    ):
        with pytest.raises(BadPayload, match=reason):
            plain_rows(decode("\n".join([*rows[:4000], bad, *rows[:100]]).encode(), "text/csv"))


@given(st.binary(max_size=300))
def test_newlines_are_counted(body: bytes) -> None:
    assert count_newlines(body) == body.count(b"\n")


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"1,2", [[1, 2]]),
        (b"1,,3", [[1, nan, 3]]),
        (b",,,", [[nan, nan, nan, nan]]),
        (b"1,\n,3", [[1, nan], [nan, 3]]),
        (b",\n,", [[nan, nan], [nan, nan]]),
        (b"1,,\n,,3\n,2,", [[1, nan, nan], [nan, nan, 3], [nan, 2, nan]]),
        (b"1,8e-21", None),
        (b"1,8e-21,", None),
        (b"", None),
        (b"1,2\n\n3,4", None),
        (b"1,2\n", None),
        (b"1, ,2", None),
        (b"1,nan", None),
        (b"1,,2\n1,2", None),
        (b"[1],,2", None),
        (b"-0,,1", None),
    ],
)
def test_cells_with_nothing_in_them_are_gaps(body: bytes, rows: list[list[float]] | None) -> None:
    found = read_csv_with_gaps(body)
    if rows is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        (b"[[1, 2.5], [-3e2, 4]]", [[1, 2.5], [-300, 4]]),
        (b"[1,2,3]", [[1, 2, 3]]),
        (b"[[1],[2]]", [[1], [2]]),
        (b"[[-0,1]]", [[0, 1]]),
        (b"", None),
        (b"1,2", None),
        (b"[]", None),
        (b"[[]]", None),
        (b"[[1,2],[3]]", None),
        (b"[[1,2],3]", None),
        (b"[[[1,2]]]", None),
        (b"[[1,2][3,4]]", None),
        (b"[1,2][3,4]", None),
        (b"[[1,,2]]", None),
        (b"[[1 2,3]]", None),
        (b"[[1,2],]", None),
        (b"[[01,2]]", None),
        (b"[1,null]", None),
        (b"[1,\n2]", None),
        (b"]", None),
        (b"[1,2", None),
        (b"[18446744073709551616,1]", None),
    ],
)
def test_rows_of_json_are_read_where_they_are_nothing_but_numbers(
    body: bytes, rows: list[list[float]] | None
) -> None:
    found = read_json_rows_quickly(body)
    if rows is None:
        assert found is None
    else:
        np.testing.assert_array_equal(found, rows)
