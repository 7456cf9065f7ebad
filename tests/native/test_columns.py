"""Rows of words and numbers by the kernel: cells become what they are one by one, or it leaves them."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given

from service.media.csv_columns import CellKind
from service.media.csv_words import ColumnReader
from service.media.spellings import Spellings
from tests.media import test_csv_columns as cells
from tests.media.test_csv_columns import KINDS, NUMBER, bodies, same, strictly

kernels = pytest.importorskip("service.native._kernels", reason="there was no C compiler")

READER = ColumnReader(KINDS)


@given(bodies)
@example(b"Rome,1,Rome,1,1,x\n\nRome,1,Rome,1,1,x")
@example(b'"Rome",1,"NA","1",1,"a\nb"\nRome,1,Rome,1,1,x')
@example(b'"Rome",1,"NA","1,2",1,x')
@example(b'"Rome",1,NA,1,1,"a\r\nb"\r\n"Rome",1,NA,1,1,b')
@example(b'"Rome",1,NA,1,1,"a\nb"\r\n"Rome",1,NA,1,1,b')
@example(b'Rome,1,NA,1,1,"\n",1,NA,1,1,"')
@example(b'Rome,"1",NA,1,"1"x,x')
@example(b"Rome,-0.0,NA,-0.0,-0e1,x")
def test_what_it_reads_cells_one_by_one_are_read_as(body: bytes) -> None:
    found = READER.read(body)

    if found is not None:
        expected = strictly(body, KINDS)
        assert expected is not None
        assert same(np.ascontiguousarray(found), expected)


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_usual_rows_are_read(rows: int, end: str, quoted: bool) -> None:
    body = "".join(",".join(row) + end for row in cells.table(rows, quoted)).encode()

    found = READER.read(body)

    assert found is not None
    assert found.flags.f_contiguous
    assert same(np.ascontiguousarray(found), strictly(body, KINDS))


def test_lines_that_end_within_quotes_are_no_rows() -> None:
    body = b'"Rome",1,NA,1,1,"a\nb\nc"\nRome,2,NA,1,1,x'
    found = READER.read(body)
    assert found is not None
    assert same(np.ascontiguousarray(found), strictly(body, KINDS))


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        *((place, "\r") for place in (0, 1)),
        *((0, cell) for cell in ("never", 'a"b', "a\0", "\udcff", "a,b")),
        *(
            (1, cell)
            for cell in ("x", "+1", ".5", "-0", "[1]", "1,2", "1e400", "{}", "nul", "1 2", "1 ", '"1')
        ),
        *((2, cell) for cell in ("a stranger", "never", " ")),
        *((3, cell) for cell in ("", "9007199254740994", "true", "NA")),
    ],
)
def test_one_odd_cell_among_many_rows_leaves_all_of_them_to_others(place: int, cell: str) -> None:
    rows = cells.table(500)
    rows[417][place] = cell
    body = "\n".join(",".join(row) for row in rows).encode(errors="surrogateescape")

    assert READER.read(body) is None


@pytest.mark.parametrize("count", [1, 2, 300, 6000])
def test_words_of_any_number_and_length_are_told_apart(count: int) -> None:
    known: dict[str, float | None] = {
        f"{'word '[: number % 6]}{'-' * (number % 40)}{number}": float(number) for number in range(count)
    }
    asked = [
        *known,
        *(f"{word}x" for word in known),
        *(word[:-1] for word in known if word[:-1] not in known),
    ]
    body = "\n".join(f"{word},1" for word in asked).encode()

    found = ColumnReader([CellKind(Spellings(known, -1.0)), NUMBER]).read(body)

    assert found is not None
    assert found[:, 0].tolist() == [known.get(word, -1.0) for word in asked]


def test_a_word_may_be_anywhere_near_the_end_of_a_body() -> None:
    kinds = [NUMBER, CellKind(Spellings({"": 0.0, "a": 1.0, "abcdefg": 7.0, "abcdefgh": 8.0}, -1.0))]
    for word, value in (("", 0), ("a", 1), ("abcdefg", 7), ("abcdefgh", 8), ("abcdefghi", -1), ("b", -1)):
        found = ColumnReader(kinds).read(f"1,{word}\n2,{word}".encode())
        assert found is not None
        assert found[:, 1].tolist() == [value, value]


def test_a_single_column_and_no_rows_are_left_to_others() -> None:
    assert ColumnReader([NUMBER]).read(b"1\n2\n") is None
    assert READER.read(b"\r\n\n") is None
    assert READER.read(b"") is None


def test_nan_is_what_spellings_of_gaps_stand_for() -> None:
    found = ColumnReader([NUMBER, NUMBER]).read(b"NA,\n,nan")
    assert found is not None
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    "kinds",
    [
        (),
        (({b"a": 1.0}, None, False),),
        (({"a": 1.0}, None, False, math.inf),),
        (({b"a": "1"}, None, False, math.inf),),
        (({b"a": 1.0}, "1", False, math.inf),),
        ("abcd",),
    ],
)
def test_kinds_that_are_none_are_refused(kinds: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        kernels.Columns(kinds)
    with pytest.raises(TypeError):
        kernels.Columns((({}, 0.0, False, math.inf),)).read("text")
