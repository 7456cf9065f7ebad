"""The reader of words and gaps in blocks: cells become what they are one by one, or it leaves them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import BadPayload
from service.media.csv_columns import CellKind, read_columns
from service.media.spellings import Spellings
from service.media.tables import GAPS, TRUTHS, read_cells, read_numbers

_WORDS: dict[str, float | None] = {
    "Rome": 2.0,
    "Köln": 3.0,
    "São Paulo, Guarulhos": 4.0,
    "eight by": 5.0,
    "10": 6.0,
    "never": None,
    "": 0.0,
    "NA": 0.0,
}
_NUMBERS: dict[str, float | None] = {**dict.fromkeys(GAPS, math.nan), **TRUTHS}
ANY_WORD = CellKind(Spellings(_WORDS, 1.0))
KNOWN_WORD = CellKind(Spellings(_WORDS))
NUMBER = CellKind(Spellings(_NUMBERS), numbers=True)
SMALL_NUMBER = CellKind(Spellings({}), numbers=True, most=2.0**53)
IGNORED = CellKind(Spellings({}, 0.0))
KINDS = (ANY_WORD, NUMBER, KNOWN_WORD, SMALL_NUMBER, NUMBER, IGNORED)

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**60), 2**60).map(str),
    st.sampled_from(["0", "-0.0", "-0", "1e400", "18446744073709551616", "9007199254740993", "01"]),
)
words = st.sampled_from([*_WORDS, "Rom", "Rome ", "eight by ", "eight bytes", "\u0130", "x" * 70])
_ODD = (
    *("", " ", "nan", "None", "true", " 1", "1 ", "\t2", "+1", ".5", "1.", "[1]", "-", "1_0", "inf", "1 2"),
    *('"Rome"', '"São Paulo, Guarulhos"', '"1"', '""', '"', '"a"b', 'a"b', '"a""b"', '"a\nb"', '"1,2"'),
    *("a\0", "\r"),
)
oddities = st.sampled_from(_ODD)


def strictly(body: bytes, kinds: Sequence[CellKind]) -> Any:
    """Cell by cell; None where something is refused, or not known."""
    try:
        rows = read_cells(body)
        if {len(kinds)} != set(map(len, rows)):
            return None
        columns = zip(zip(*rows, strict=True), kinds, strict=True)
        return np.column_stack([_column(list(cells), kind) for cells, kind in columns])
    except (BadPayload, LookupError):
        return None


def _column(cells: list[str], kind: CellKind) -> Any:
    if kind is NUMBER:
        return read_numbers(cells, str, spelled=True)
    if kind is SMALL_NUMBER:
        found = read_numbers(cells, str, spelled=True)
        if not (np.abs(found) <= kind.most).all() or not GAPS.isdisjoint(cells):
            raise LookupError
        return np.where(found == 0, 0.0, found) if "-0" in cells else found
    return [0.0 if kind is IGNORED else _word(cell, kind) for cell in cells]


def _word(cell: str, kind: CellKind) -> float:
    value = _WORDS.get(cell, 1.0 if kind is ANY_WORD else None)
    if value is None:
        raise LookupError
    return value


def same(found: Any, expected: Any) -> bool:
    return bool(found.shape == expected.shape and found.tobytes() == expected.tobytes())


usual = st.tuples(
    words, numbers, st.sampled_from(["Rome", "Köln", "NA"]), st.integers(0, 9).map(str), numbers, words
)
rows_of_any = st.lists(st.one_of(numbers, words, oddities), min_size=5, max_size=7)
bodies = st.tuples(
    st.lists(st.one_of(usual, usual, rows_of_any).map(",".join), min_size=1, max_size=8),
    st.sampled_from(["\n", "\n", "\r\n"]),
    st.sampled_from(["", "\n", "\n\n"]),
).map(lambda drawn: (drawn[1].join(drawn[0]) + drawn[2]).encode())


@given(bodies, st.sampled_from([1, 30, 1 << 17]))
@example(b"Rome,1,Rome,1,1,x\n\nRome,1,Rome,1,1,x", 1)
@example(b"Rome,1,Rome,1,1,x\n\nRome,1,Rome,1,1,x", 19)
@example(b'"Rome",1,"NA","1",1,"a\nb"\nRome,1,Rome,1,1,x', 19)
@example(b'"Rome",1,"NA","1,2",1,x', 19)
@example(b'"Rome",1,NA,1,1,"a\r\nb"\r\n"Rome",1,NA,1,1,b', 19)
@example(b'"Rome",1,NA,1,1,"a\nb"\r\n"Rome",1,NA,1,1,b', 19)
@example(b'Rome,1,NA,1,1,"\n",1,NA,1,1,"', 19)
def test_what_it_reads_cells_one_by_one_are_read_as(body: bytes, piece_bytes: int) -> None:
    found = read_columns(body, KINDS, piece_bytes)

    if found is not None:
        expected = strictly(body, KINDS)
        assert expected is not None
        assert same(found, expected)


def table(rows: int, quoted: bool = False) -> list[list[str]]:
    random = np.random.default_rng(rows)
    spelled = ['"Rome"', '"São Paulo, Guarulhos"', "NA", '""'] if quoted else ["Rome", "Köln", "NA", "", "10"]
    return [
        [
            str(random.choice([*spelled, "a stranger", "eight bytes"])),
            str(random.choice(["", "NA", "true", "-3.25e-7", "-0.0", str(random.normal())])),
            str(random.choice(spelled)),
            str(random.integers(-9, 9)),
            str(random.choice(["", str(random.normal())])),
            "whatever",
        ]
        for _ in range(rows)
    ]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_usual_rows_are_read_in_pieces_of_any_size(rows: int, end: str, quoted: bool) -> None:
    body = "".join(",".join(row) + end for row in table(rows, quoted)).encode()
    expected = strictly(body, KINDS)

    for piece_bytes in (64, 1000, 1 << 20):
        found = read_columns(body, KINDS, piece_bytes)
        assert found is not None
        assert same(found, expected)


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        *((place, "\r") for place in (0, 1)),
        *((0, cell) for cell in ("never", 'a"b', "a\0", "\udcff", "a,b")),
        *((1, cell) for cell in ("x", "+1", ".5", "-0", "[1]", "1,2", "1e400", "{}", "nul", "1 2")),
        *((2, cell) for cell in ("a stranger", "never", " ")),
        *((3, cell) for cell in ("", "9007199254740994", "true", "NA")),
    ],
)
def test_one_odd_cell_among_many_rows_leaves_all_of_them_to_others(place: int, cell: str) -> None:
    rows = table(500)
    rows[417][place] = cell
    body = "\n".join(",".join(row) for row in rows).encode(errors="surrogateescape")

    assert read_columns(body, KINDS) is None
    assert read_columns(body, KINDS, 256) is None


def test_a_single_column_and_no_rows_are_left_to_others() -> None:
    assert read_columns(b"1\n2\n", [NUMBER]) is None
    assert read_columns(b"\r\n\n", KINDS) is None
    assert read_columns(b"", KINDS) is None


@pytest.mark.parametrize("count", [1, 2, 300, 6000])
def test_words_of_any_number_and_length_are_told_apart(count: int) -> None:
    known: dict[str, float | None] = {
        f"word {'-' * (number % 40)}{number}": float(number) for number in range(count)
    }
    asked = [
        *known,
        *(f"{word}x" for word in known),
        *(word[:-1] for word in known if word[:-1] not in known),
    ]
    body = "\n".join(f"{word},1" for word in asked).encode()

    found = read_columns(body, [CellKind(Spellings(known, -1.0)), NUMBER])

    assert found is not None
    assert found[:, 0].tolist() == [known.get(word, -1.0) for word in asked]


def test_spellings_of_more_bytes_than_are_looked_at_are_refused() -> None:
    Spellings({"x" * 64: 1.0})
    for word in ("x" * 65, "\ud800"):
        with pytest.raises(ValueError, match=r"bytes|surrogates"):
            Spellings({word: 1.0})


def test_nothing_is_known_of_cells_where_no_spelling_is() -> None:
    assert read_columns(b"a,1", [CellKind(Spellings({})), NUMBER]) is None
