"""Bodies of numbers to rows, several times faster than by any other reader; only where there is no doubt.

The strict reader in media decides what CSV is. These hand a whole body to simdjson as one JSON list, which
refuses whatever is no JSON number and rounds as Python does, and check here what JSON would let pass: that
all rows are of one width, and that no -0 is an integer, which JSON reads as 0. One is for small bodies, where
each step counts, the other for large ones, where each byte does.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import simdjson

NUMBER_BYTES: Final = b"0123456789.-+eE "
"""What numbers are written with, and blanks beside them."""

_COMMA, _NEWLINE, _BLANK, _MINUS, _ZERO = b",\n -0"
_PIECE_BYTES = 1 << 18
# Stands for the end of a row among the numbers of a block, or for a gap. What really holds it goes elsewhere.
# Its exponent is one of those that are read in the fewest steps.
_ROW_END: Final = b"8e-21"
_ROW_END_VALUE: Final = float(_ROW_END)
# Brackets would nest, which a flattened list no longer shows; tabs and carriage returns are blanks to JSON
# wherever they stand, but not to the strict reader.
_DOUBTFUL = (b"[", b"\t", b"\r")
_REFUSALS = (ValueError, TypeError, RuntimeError)


def read_csv_quickly(body: bytes) -> npt.NDArray[np.float64] | None:
    """What `media.read_csv_strictly` returns, (n, features) float64, or None where only that one can tell.

    Without the bytes of numbers, a clean body is nothing but the separators of equal rows.
    """
    separators = body.translate(None, NUMBER_BYTES)
    rows = separators.count(b"\n") + 1
    columns = len(separators) // rows + 1
    equal = b"," * (columns - 1)
    if separators != (equal if rows == 1 else b"%b%b" % ((equal + b"\n") * (rows - 1), equal)):
        return None
    if rows > 1:
        body = body.replace(b"\n", b",")
    numbers = parse_numbers(b"[%b]" % body)
    if numbers is None or len(numbers) != rows * columns:
        return None
    zeros = b"-" in body and b"-0" in body and np.count_nonzero(numbers) < len(numbers)
    if zeros and (b"-0," in body or b"-0 " in body or body.endswith(b"-0")):
        return None
    return numbers.reshape(rows, columns)


def read_csv_with_gaps(body: bytes) -> npt.NDArray[np.float64] | None:
    """As `read_csv_quickly`, where cells may be empty, which are nan.

    They are read as a number, which no other cell may hold.
    """
    lines = b"\n%b\n" % body
    for beside in (b",,", b",,", b"\n,", b",\n"):  # of several commas each second one is seen at a time
        lines = lines.replace(beside, b"%b%b%b" % (beside[:1], _ROW_END, beside[1:]))
    rows = read_csv_quickly(lines[1:-1])
    if rows is None:
        return None
    gaps = rows == _ROW_END_VALUE
    if np.count_nonzero(gaps) * len(_ROW_END) != len(lines) - len(body) - 2:
        return None
    return np.where(gaps, np.nan, rows)


def read_json_rows_quickly(body: bytes) -> npt.NDArray[np.float64] | None:
    """A JSON list of rows of numbers, or of the numbers of one row, (n, features) float64; None for all else.

    Of rows with as many numbers; of blanks it knows the space alone.
    """
    separators = body.translate(None, NUMBER_BYTES)
    rows = separators.count(b"[") - 1
    columns = separators.count(b",", 0, separators.find(b"]")) + 1
    row = b"[%b]" % (b"," * (columns - 1))
    if separators != (row if rows == 0 else b"[%b]" % b",".join([row] * rows)):
        return None
    numbers = parse_numbers(body)
    if numbers is None or len(numbers) != max(rows, 1) * columns:
        return None
    return numbers.reshape(-1, columns)


def read_csv_block(body: bytes, piece_bytes: int = _PIECE_BYTES) -> npt.NDArray[np.float64] | None:
    """What `media.read_csv_strictly` returns, (n, features) float64, or None where only that one can tell.

    A newline at the end of `body` is none of a blank row. It is read in pieces of `piece_bytes`, so that they
    stay in the processor's cache. Costs some 17 ns per number of ten characters.
    """
    tables: list[npt.NDArray[np.float64]] = []
    view = memoryview(body)
    for start, end in pieces(body, piece_bytes):
        table = _read_piece(view[start : end - (body[end - 1] == _NEWLINE)])
        if table is None or table.shape[1] != (tables or [table])[0].shape[1]:
            return None
        tables.append(table)
    return np.concatenate(tables) if tables else None


def pieces(body: bytes, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Where pieces of whole rows begin and end that stay in the processor's cache while they are read."""
    start = 0
    while start < len(body):
        end = len(body)
        if end - start > size_bytes:
            end = body.rfind(b"\n", start, start + size_bytes) + 1 or end
        yield start, end
        start = end


def _read_piece(lines: memoryview) -> npt.NDArray[np.float64] | None:
    one_row = b"".join((b"[", lines, b",", _ROW_END, b"]"))
    if any(one_row.find(mark, 1) >= 0 for mark in _DOUBTFUL):
        return None
    listed = one_row.replace(b"\n", b",%b," % _ROW_END)
    rows = 1 + (len(listed) - len(one_row)) // (len(_ROW_END) + 1)
    numbers = parse_numbers(listed)
    if numbers is None or numbers.size % rows or ((numbers == 0).any() and _holds_negative_zero(listed)):
        return None
    # As many ends as there are rows, and one in the last column of each: all rows are as wide.
    ends = (numbers == _ROW_END_VALUE).reshape(rows, -1)
    if ends.shape[1] < 2 or not ends[:, -1].all() or np.count_nonzero(ends) != rows:
        return None
    return numbers.reshape(rows, -1)[:, :-1]


def parse_numbers(listed: bytes) -> npt.NDArray[np.float64] | None:
    """A JSON list of numbers, in which an integer -0 is 0; None if it is not that, or holds brackets."""
    try:
        document: Any = simdjson.Parser().parse(listed)
        return np.frombuffer(document.as_buffer(of_type="d"), np.float64)
    except _REFUSALS:
        return None


def count_newlines(body: bytes) -> int:
    """Newlines in a body, several times faster than `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == _NEWLINE))


def _holds_negative_zero(listed: bytes) -> bool:
    """Whether there is an integer -0, which JSON reads as 0, without the sign."""
    characters = np.frombuffer(listed, np.uint8)
    found = np.flatnonzero((characters[:-2] == _MINUS) & (characters[1:-1] == _ZERO))
    return bool(np.isin(characters[found + 2], (_COMMA, _BLANK)).any())
