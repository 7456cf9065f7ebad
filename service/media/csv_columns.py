"""CSV of words, gaps and numbers to rows of numbers, without an object for each cell.

The strict way (tables) decides what such CSV is. This one answers only where it is sure: it finds all cells
at once by their separators, looks words up by their bytes (spellings), and hands all numbers to simdjson as
one list. Whatever is odd about a body, it leaves all of it to the strict way, which knows what to make of
it or how to refuse it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from service.media.csv_quick import parse_numbers, pieces
from service.media.spellings import Spellings, Text

_Numbers = npt.NDArray[np.float64]
_Places = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]

_PIECE_BYTES: Final = 1 << 17
_QUOTE, _COMMA, _NEWLINE, _MINUS = b'",\n-'
_ZERO, _DIGITS = np.uint8(48), 10


@dataclass(frozen=True, slots=True)
class CellKind:
    """What the cells of one column are: spellings that are known and, if it says so, numbers.

    Numbers beyond `most` are left to the strict way.
    """

    spellings: Spellings
    numbers: bool = False
    most: float = float("inf")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a body is written: whether with quotes, and whether its lines ended as in Windows."""

    has_quotes: bool
    of_windows: bool


def read_columns(body: bytes, kinds: Sequence[CellKind], piece_bytes: int = _PIECE_BYTES) -> _Numbers | None:
    """Rows (n, columns) of CSV whose columns are of these kinds; None where only the strict way can tell.

    It is read in pieces of `piece_bytes`, so that they stay in the processor's cache.
    """
    lines = clean_lines(body)
    if lines is None or len(kinds) < 2:
        return None
    body, form = lines.text, _Form(b'"' in lines.text, lines.of_windows)
    parts: list[_Numbers] = []
    for start, end in pieces(body, len(body) if form.has_quotes else piece_bytes):
        part = _read_piece(body[start : end - (body[end - 1] == _NEWLINE)], kinds, form)
        if part is None:
            return None
        parts.append(part)
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


@dataclass(frozen=True, slots=True)
class CsvLines:
    """Text whose lines end in a newline alone, with none at its end; whether they ended as in Windows."""

    text: bytes
    of_windows: bool


def clean_lines(body: bytes) -> CsvLines | None:
    """The lines of a body; None where it is not so simple, or there are none."""
    lines = body.rstrip(b"\r\n")
    of_windows = b"\r" in lines
    if of_windows:
        lines = lines.replace(b"\r\n", b"\n")
    if not lines or b"\r" in lines or b"\0" in lines or not _is_text(lines):
        return None
    return CsvLines(lines, of_windows)


def _is_text(body: bytes) -> bool:
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_piece(lines: bytes, kinds: Sequence[CellKind], form: _Form) -> _Numbers | None:
    text = Text(lines + b"\n")
    cells = _find_cells(text, len(kinds), form)
    if cells is None:
        return None
    rows = np.empty(cells.starts.shape)
    places = [place for place, kind in enumerate(kinds) if kind.numbers]
    if places and not _fill_in_numbers(rows, text, cells, kinds, places):
        return None
    for place, kind in enumerate(kinds):
        if kind.numbers:
            continue
        values = kind.spellings.find(text, cells.starts[:, place], cells.ends[:, place])
        if values is None:
            return None
        rows[:, place] = values
    return rows


@dataclass(frozen=True, slots=True)
class _Cells:
    """Where cells begin and end, each (rows, columns), without quotes.

    `sizes` are their bytes with quotes and the separator behind, of all cells one after the other.
    """

    starts: _Places
    ends: _Places
    sizes: _Places


def _find_cells(text: Text, width: int, form: _Form) -> _Cells | None:
    """None where not all rows are as wide, or quotes are not simply around cells."""
    newlines = text.bytes == _NEWLINE
    separators = newlines | (text.bytes == _COMMA)
    quotes = text.bytes == _QUOTE if form.has_quotes else newlines[:0]
    if form.has_quotes:
        outside = ~np.logical_xor.accumulate(quotes)
        if form.of_windows and (newlines & ~outside).any():  # nobody knows any more what end it was
            return None
        newlines &= outside
        separators &= outside
    found = np.flatnonzero(separators)
    rows, rest = divmod(len(found), width)
    if rest or not rows or np.count_nonzero(newlines) != rows:
        return None
    ends = found.reshape(rows, width)
    if not newlines.take(ends[:, -1]).all():
        return None
    begins = np.empty_like(found)
    begins[0] = 0
    np.add(found[:-1], 1, out=begins[1:])
    starts, sizes = begins.reshape(rows, width), found - begins + 1
    if not form.has_quotes:
        return _Cells(starts, ends, sizes)
    quoted = quotes.take(starts)
    around = quotes.take(ends - 1)[quoted].all() and (ends - starts)[quoted].min(initial=2) > 1
    if not around or np.count_nonzero(quotes) != 2 * np.count_nonzero(quoted):
        return None
    return _Cells(starts + quoted, ends - quoted, sizes)


def _fill_in_numbers(
    rows: _Numbers, text: Text, cells: _Cells, kinds: Sequence[CellKind], places: Sequence[int]
) -> bool:
    """Fill in the columns of numbers; False where only the strict way can tell."""
    starts = cells.starts[:, places]
    first = text.bytes.take(starts)  # of a blank cell it is what ends it
    plain = (first - _ZERO < _DIGITS) | (first == _MINUS)
    values = _parse(text, cells, plain, places)
    if values is None:
        return False
    zeros = (values == 0) & (first == _MINUS)
    if zeros.any() and not np.signbit(values[zeros]).all():  # JSON reads an integer -0 without its sign
        return False
    if not plain.all():
        ends = cells.ends[:, places]
        for at, place in enumerate(places):
            odd = np.flatnonzero(~plain[:, at])
            if len(odd):
                known = kinds[place].spellings.find(text, starts[odd, at], ends[odd, at])
                if known is None:
                    return False
                values[odd, at] = known
    rows[:, places] = values
    bounds = [(place, kinds[place].most) for place in places if kinds[place].most < np.inf]
    return not any((np.abs(rows[:, place]) > most).any() for place, most in bounds)


def _parse(text: Text, cells: _Cells, plain: _Flags, places: Sequence[int]) -> _Numbers | None:
    """The numbers of plain cells, others may be any; None where one is no number of JSON."""
    kept = np.zeros(cells.starts.shape, dtype=np.bool_)
    kept[:, places] = plain
    listed = text.bytes[np.repeat(kept.ravel(), cells.sizes)].tobytes()
    numbers = parse_numbers(b"[%b]" % listed[:-1].replace(b"\n", b",").replace(b'"', b""))
    if numbers is None or len(numbers) != np.count_nonzero(plain):
        return None
    if len(numbers) == plain.size:
        return numbers.reshape(plain.shape)
    values = np.zeros(plain.shape)
    values[plain] = numbers
    return values
