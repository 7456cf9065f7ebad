"""Rows that are more than plain numbers: kept as they were sent until somebody knows what their columns mean.

In here: such rows, CSV cut into cells, and what a column of cells becomes where numbers are wanted. A cell
is read as pandas.read_csv reads it. Not in here: which columns a model has, and of which kind
(hosting/runtimes/columns).
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt

from service.errors import BadPayload

Numbers = npt.NDArray[np.float64]
Label = Callable[[int], str]
"""The name of a row's cell in a sentence, given the row's number from 1."""

NUMBER: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.I)
"""How a number is spelled."""

GAPS: Final = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "<NA>", "NaN", "nan", "-NaN", "-nan"}
    | {"NULL", "null", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
)
"""Cells that say that there is no value. Source: pandas.read_csv, na_values."""

TRUTHS: Final = dict.fromkeys(("True", "TRUE", "true"), True) | dict.fromkeys(
    ("False", "FALSE", "false"), False
)
"""Truth values. Source: pandas.read_csv, true_values and false_values."""

HEADER_NOT_READ: Final = "A header row is not read here: leave it out, and `header=present` too."
"""The refusal of a header where nothing is known of columns."""

NAMES_NOT_READ: Final = "Names of columns are not read here: send the rows alone."
"""The same of names beside rows."""

_NUMBER_TYPES: Final = frozenset({int, float})
_SHOWN_NAMES: Final = 30


@dataclass(frozen=True, slots=True)
class Takes:
    """What a model can be given beside rows of numbers.

    `numbers`: a body of nothing but numbers means these numbers, not words that look like them.
    `texts`: a text alone is an input. `example`: what can be sent, for people.
    """

    numbers: bool = True
    texts: bool = False
    example: str = "rows such as [[1, 2], [3, 4]]"


PLAIN: Final = Takes()


class HeaderUse(Enum):
    """What a model makes of the header line that a CSV is said to begin with."""

    KNOWN = auto()  # built-in code reads it, by the model's names if it has such
    GIVEN = auto()  # whoever reads the bytes has to know it: a script, a container


@dataclass(frozen=True, slots=True)
class CsvBody:
    """A CSV body that holds more than numbers; `header` is what its Content-Type says about its first row."""

    body: bytes
    header: bool | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of equal width, or with `flat` one list of values: a single row, or as many texts.

    `spelled`: all are text, in which numbers and gaps are spelled as in CSV. `names` are those of the
    columns, where they were sent.
    """

    rows: Sequence[Any]
    flat: bool = False
    spelled: bool = False
    names: tuple[str, ...] | None = None


def quoted(text: str) -> str:
    """Text of a caller as a sentence may show it: in quotes, at most 40 characters, controls escaped."""
    shown = repr(text[:41])[1:-1]
    return f"'{shown}'" if len(shown) <= 40 else f"'{shown[:37]}...'"


def separated_otherwise(line: str) -> bool:
    """Whether a line without commas looks like cells that something else separates."""
    return any(mark in line for mark in ";\t|") or (
        " " in line.strip() and all(map(NUMBER.fullmatch, line.split()))
    )


def decode_text(body: bytes) -> str:
    """Raises: BadPayload, which names the first byte that is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadPayload(f"The body is not UTF-8 text: byte {error.start + 1} is wrong.") from error


def each_line(text: str) -> Iterator[str]:
    """As `split` has them, one at a time: all lines of a large body take many times its size."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def check_width(width: int, expected: int, row: int) -> None:
    """Refuse a row that is not as wide as the first one. Raises: BadPayload."""
    if width != expected:
        columns = "1 column" if width == 1 else f"{width} columns"
        raise BadPayload(f"Row {row} has {columns}, but row 1 has {expected}.")


def read_cells(body: bytes) -> list[list[str]]:
    """CSV as its cells: in quotes they may hold commas, newlines and doubled quotes. Widths are not compared.

    Raises: BadPayload.
    """
    text = decode_text(body.rstrip(b"\r\n"))
    if not text:
        raise BadPayload("The body is empty.")
    if len(text) > csv.field_size_limit():  # of the process, and small; a body is bounded long before
        csv.field_size_limit(len(text))
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip(" \t") and '"' not in text):
                raise BadPayload(f"Row {len(rows) + 1} is blank.")
            rows.append(row)
    except csv.Error as error:
        raise BadPayload(f"Row {len(rows) + 1} is no CSV: {_worded(error)}.") from error
    return rows


def _worded(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quote is opened and never closed"
    if "expected after" in str(error):
        return "text follows a closing quote; a quote inside a cell is written twice"
    return str(error)


def read_header(line: bytes) -> list[str] | None:
    """The cells of one line, without blanks around them; None where it is no line of CSV."""
    try:
        rows = read_cells(line)
    except BadPayload:
        return None
    return [cell.strip(" \t") for cell in rows[0]] if len(rows) == 1 else None


def header_order(cells: Sequence[str], names: Sequence[str], *, insisted: bool) -> list[int] | None:
    """Where each of a model's columns is, if a first row is the header of exactly these; None if it is not.

    Names that look like numbers are a header only where somebody insists on one.
    """
    if sorted(cells) != sorted(names) or (not insisted and all(map(NUMBER.fullmatch, names))):
        return None
    return [cells.index(name) for name in names]


def shown_names(names: Sequence[str]) -> str:
    """A model's columns, as a sentence may list them."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def misnamed(what: str, given: Sequence[str], names: Sequence[str]) -> str:
    """The sentence for a header or a record that does not have exactly a model's columns."""
    told = f"the model's columns are {shown_names(names)}"
    missing = next((name for name in names if name not in given), None)
    if missing is not None:
        return f"{what} lacks the column {missing!r}; {told}"
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        return f"{what} has the unknown column {unknown!r}; {told}"
    twice = next(name for name in given if given.count(name) > 1)
    return f"{what} has the column {twice!r} twice; {told}"


def read_numbers(cells: Sequence[Any], label: Label, *, spelled: bool) -> Numbers:
    """A column as float64: truth values are 1 and 0, gaps are nan, numbers may stand in quotes.

    Raises: BadPayload for the first cell that is none of it.
    """
    if spelled:
        found = _read_spelled(cells)
        if found is not None:
            return found
    elif _NUMBER_TYPES.issuperset(map(type, cells)):
        return np.array(cells, np.float64)
    return np.array(
        [_read_number(cell, row, label, spelled) for row, cell in enumerate(cells, 1)], np.float64
    )


def _read_spelled(cells: Sequence[str]) -> Numbers | None:
    """Quickly, where Python's spelling of numbers is the same as ours."""
    try:
        numbers = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    text = "".join(cells)
    return numbers if text.isascii() and "_" not in text and not np.isinf(numbers).any() else None


def _read_number(cell: Any, row: int, label: Label, spelled: bool) -> float:
    if cell is None:
        return math.nan
    if not isinstance(cell, str):
        try:
            return float(cell)
        except (TypeError, ValueError):  # an object of a script's input_fn
            raise BadPayload(f"{label(row)}: {quoted(str(cell))} is not a number.") from None
    text = cell.strip(" \t")
    if NUMBER.fullmatch(text):
        value = float(text)
        if math.isinf(value) and text[-1].isdigit():
            raise BadPayload(f"{label(row)}: {quoted(text)} is too large.")
        return value
    if spelled and text in GAPS:
        return math.nan
    if spelled and text in TRUTHS:
        return float(TRUTHS[text])
    raise BadPayload(f"{label(row)}: {quoted(text)} is not a number.")


def read_value(cell: str) -> Any:
    """One cell of a column of which nothing is known: a number, a truth value, None for a gap, or a word."""
    text = cell.strip(" \t")
    if NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    if text in GAPS:
        return None
    return TRUTHS.get(text, cell)


def refuse_cell(label: str, value: Any, wanted: str) -> NoReturn:
    """Raises: BadPayload."""
    shown = quoted(value) if isinstance(value, str) else "null" if value is None else str(value)
    raise BadPayload(f"{label}: {shown} is not {wanted}.")
