"""Reading each of the media types: request bytes to rows.

Every text format has a strict reader that explains what is wrong, and a fast one in front of it that answers
only where both agree. Rows of numbers become a matrix at once; what holds words, gaps or truth values is kept
as it was sent (tables), for only a model knows what its columns mean.
What the headers say, and the way back, is in codec.
"""

import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from service.errors import BadPayload
from service.media.csv_numbers import read_csv_block, read_csv_quickly
from service.media.csv_quick import NUMBER_BYTES
from service.media.npy import read_npy
from service.media.split_frame import SPLIT, read_split
from service.media.tables import (
    GAPS,
    HEADER_NOT_READ,
    NAMES_NOT_READ,
    NUMBER,
    PLAIN,
    TRUTHS,
    CsvBody,
    Table,
    Takes,
    check_width,
    decode_text,
    each_line,
    quoted,
    read_numbers,
    separated_otherwise,
)
from service.media.types import CSV, JSON, JSON_LINES, NPY, TEXT

Matrix: TypeAlias = npt.NDArray[np.float64]
Records: TypeAlias = list[dict[str, Any]]
"""Objects with the same names."""
Rows: TypeAlias = Matrix | Records | Table | CsvBody
"""What a body holds: (n, features) float64 where all is numbers; n and features are at least 1."""

_ROW_BYTES: Final = NUMBER_BYTES + b",[]\t\r\n"
_NUMBER_TYPES: Final = frozenset({int, float})
_CELL_TYPES: Final = frozenset({int, float, bool, str, type(None)})
_NESTED_TYPES: Final = frozenset({dict, list})
_KINDS: Final = MappingProxyType(
    {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
)
_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
_COUNTED_DEPTH: Final = 5
_BLOCK_BYTES: Final = 20_000  # from here on the reader of whole blocks is the faster one


def read_csv_strictly(body: bytes, header_hint: str = "a header row is not accepted") -> Matrix:
    """The reader that decides what rows of numbers are: ASCII numbers, quoted or not, blanks around them.

    A truth value is 1 or 0, a blank cell is nan, as are pandas' other spellings of a gap.

    Raises: BadPayload.
    """
    numbers, width = array("d"), 0
    for number, line in enumerate(each_line(decode_text(body)), 1):
        if not line.strip(" \t"):
            raise BadPayload(f"Row {number} is blank.")
        cells = line.split(",")
        numbers.extend(
            [_csv_number(cell, number, column, cells, header_hint) for column, cell in enumerate(cells, 1)]
        )
        width = width or len(cells)
        check_width(len(cells), width, number)
    return np.frombuffer(numbers, np.float64).reshape(-1, width)


def parse_json_strictly(body: bytes) -> Any:
    """The parser that decides what JSON is: the standard's, plus the literals NaN and Infinity.

    Python clients write those two. Integers beyond 64 bits become floats; a name given twice is refused.

    Raises: BadPayload.
    """
    try:
        return json.loads(
            decode_text(body), object_pairs_hook=_object, parse_float=_json_float, parse_int=_json_integer
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadPayload(f"The body is not JSON: {error.msg} at {where}.") from error
    except RecursionError as error:
        raise BadPayload("The JSON is nested too deeply.") from error


def _refuse_empty() -> NoReturn:
    raise BadPayload("The body is empty.")


def _lines(body: bytes) -> bytes:
    unix = body.replace(b"\r\n", b"\n") if b"\r" in body else body
    return unix.rstrip(b"\r\n") or _refuse_empty()


def read_csv_numbers(body: bytes, header_hint: str = "a header row is not accepted") -> Matrix:
    """CSV of numbers, truth values and gaps alone, by the fastest reader that is sure. Raises: BadPayload."""
    if len(body) >= _BLOCK_BYTES and (block := read_csv_block(body)) is not None:
        return block
    lines = _lines(body)
    quick = _read_lines_quickly(lines)
    return read_csv_strictly(lines, header_hint) if quick is None else quick


def plain_rows(rows: Rows) -> Matrix | Records:
    """What was read, as numpy reads it where nothing is known of columns; records stay records.

    Raises: BadPayload for words.
    """
    if isinstance(rows, CsvBody):
        if rows.header:
            raise BadPayload(HEADER_NOT_READ)
        return read_csv_numbers(rows.body)
    if not isinstance(rows, Table):
        return rows
    if rows.names is not None:
        raise BadPayload(NAMES_NOT_READ)
    lines = [rows.rows] if rows.flat else rows.rows
    return np.array([_plain_row(row, number, rows.spelled) for number, row in enumerate(lines, 1)])


def _plain_row(row: Sequence[Any], number: int, spelled: bool) -> Matrix:
    return read_numbers(row, lambda column: f"Row {number}, column {column}", spelled=spelled)


# ---- CSV and text in


def _read_csv(body: bytes, takes: Takes, header: bool | None) -> Matrix | CsvBody:
    if header or not takes.numbers:
        return CsvBody(body, header)
    if len(body) >= _BLOCK_BYTES and (block := read_csv_block(body)) is not None:
        return block
    quick = _read_lines_quickly(_lines(body))
    return CsvBody(body, header) if quick is None else quick


def _read_lines_quickly(lines: bytes) -> Matrix | None:
    return read_csv_quickly(lines) if len(lines) < _BLOCK_BYTES else read_csv_block(lines)


def _read_text(body: bytes, takes: Takes, header: bool | None) -> Table:
    """All of the body is one text; nobody means the newline that files end with."""
    return Table([decode_text(body).removesuffix("\n").removesuffix("\r")], flat=True)


def _csv_number(cell: str, row: int, column: int, cells: list[str], header_hint: str) -> float:
    text = _bare(cell)
    if NUMBER.fullmatch(text):
        value = float(text)
        if math.isinf(value) and text[-1].isdigit():
            raise BadPayload(f"Row {row}, column {column}: {quoted(text)} is too large.")
        return value
    if text in GAPS:
        return math.nan
    if text in TRUTHS:
        return float(TRUTHS[text])
    hint = _csv_hint(row, cells, header_hint)
    raise BadPayload(f"Row {row}, column {column}: {quoted(text)} is not a number{hint}.")


def _csv_hint(row: int, cells: list[str], header_hint: str) -> str:
    if any("\r" in cell for cell in cells):
        return "; lines end in a newline, not in a carriage return alone"
    if row > 1 or any(NUMBER.fullmatch(_bare(cell)) for cell in cells):
        return ""
    if cells[0].lstrip().startswith(("[", "{")):
        return "; a JSON body needs Content-Type: application/json"
    if len(cells) == 1 and separated_otherwise(cells[0]):
        return "; cells of text/csv are separated by commas"
    return f"; {header_hint}"


def _bare(cell: str) -> str:
    text = cell.strip(" \t")
    return text[1:-1].strip(" \t") if len(text) > 1 and text[0] == text[-1] == '"' else text


# ---- JSON in


def _read_json(body: bytes, takes: Takes, header: bool | None) -> Rows:
    document = _parse_json(body)
    plain = takes.numbers and _holds_plain_rows(body)
    if isinstance(document, list):
        if document and type(document[0]) not in (list, dict):
            return _flat(document, plain, takes)
        return _rows(document, plain, takes)
    if isinstance(document, str):
        return Table([document], flat=True)
    if not isinstance(document, dict):
        raise BadPayload(f"The body is {_kind(document)}; send {takes.example}.")
    instances = document.get("instances")
    if isinstance(instances, list | dict):
        _only(document, "instances")
        return _rows(instances if isinstance(instances, list) else [instances], plain, takes)
    if isinstance(document.get(SPLIT), dict):
        names, rows = read_split(_only(document, SPLIT))
        found = read_rows_strictly(rows, takes)
        return found if names is None else Table(rows, names=names)
    return _rows([document], plain, takes)


def _read_json_lines(body: bytes, takes: Takes, header: bool | None) -> Rows:
    lines = _lines(body)
    items = [_parse_json_line(line, number) for number, line in enumerate(lines.split(b"\n"), 1)]
    return _rows(items, takes.numbers and not lines.translate(None, _ROW_BYTES), takes)


def _parse_json_line(line: bytes, number: int) -> Any:
    if not line.strip():
        raise BadPayload(f"Row {number} is blank.")
    try:
        return _parse_json(line)
    except BadPayload as error:
        raise BadPayload(f"Row {number}: {error.message}") from error


def _parse_json(body: bytes) -> Any:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        if not body.strip():
            _refuse_empty()
        return parse_json_strictly(body)
    # Each name brings a colon, so a name that the fast parser dropped as a duplicate leaves too many of them.
    if b"{" in body and body.count(b":") != _count_names(document):
        return parse_json_strictly(body)
    return document


def _count_names(value: Any, depth: int = _COUNTED_DEPTH) -> int:
    """At most the number of names below: as deep as requests go, in lists that start with an object."""
    if depth == 0:
        return 0
    if type(value) is dict:
        nested = [item for item in value.values() if type(item) in _NESTED_TYPES]
        return len(value) + sum(_count_names(item, depth - 1) for item in nested)
    if value and type(value) is list and type(value[0]) is dict:
        return sum(_count_names(item, depth - 1) for item in value)
    return 0


def _holds_plain_rows(body: bytes) -> bool:
    """Whether every list of the document can only hold numbers and lists."""
    return not body[body.find(b"[") : body.rfind(b"]") + 1].translate(None, _ROW_BYTES)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in members if names.count(name) > 1)
        raise BadPayload(f"The name {quoted(twice)} is given twice.")
    for text in (text for pair in pairs for text in pair if isinstance(text, str)):
        if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise BadPayload(f"{quoted(text)} holds half a character (a lone surrogate).")
    return members


def _json_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadPayload(f"{quoted(text)} is too large.")
    return value


def _json_integer(text: str) -> int | float:
    if len(text) > 20:
        return _json_float(text)
    value = int(text)
    return value if _INT64_MIN <= value <= _UINT64_MAX else float(value)


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _only(document: dict[str, Any], name: str) -> Any:
    other = next((key for key in document if key != name), None)
    if other is not None:
        raise BadPayload(f"Only {quoted(name)} may stand in this object; {quoted(other)} is not read.")
    return document[name]


def _rows(items: list[Any], plain: bool, takes: Takes) -> Rows:
    if not items:
        raise BadPayload("The body holds no rows.")
    if type(items[0]) is str:  # each is a text
        items = [[item] if type(item) is str else item for item in items]
    if type(items[0]) is not dict:
        return _matrix(items, plain, takes)
    if _features(items[0]) is None:
        return _records(items)
    rows = [_features(item) if type(item) is dict else None for item in items]
    if None in rows:
        raise BadPayload(f"Row {rows.index(None) + 1} has no list of features, but row 1 has.")
    return _matrix(rows, plain, takes)


def _features(item: dict[str, Any]) -> list[Any] | None:
    """The dense values of an instance in AWS's built-in algorithms' forms, or None: a plain record."""
    if isinstance(item.get("features"), list):
        return list(_only(item, "features"))
    data = item.get("data")
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, dict) or not isinstance(features.get("values"), list):
        return None
    return list(_only(_only(_only(item, "data"), "features"), "values"))


def _flat(values: list[Any], plain: bool, takes: Takes) -> Matrix | Table:
    rows = _matrix([values], plain, takes)
    return Table(values, flat=True) if isinstance(rows, Table) else rows


def _matrix(rows: list[Any], plain: bool, takes: Takes) -> Matrix | Table:
    if plain:
        try:
            matrix = np.array(rows, dtype=np.float64)
        except ValueError:
            return read_rows_strictly(rows, takes)
        if matrix.ndim == 2 and matrix.size:
            return matrix
    return read_rows_strictly(rows, takes)


def read_rows_strictly(rows: Sequence[Any], takes: Takes = PLAIN) -> Matrix | Table:
    """Parsed rows, each a list of single values of the same length: as an array if all are numbers.

    Raises: BadPayload.
    """
    numbers = takes.numbers
    for number, row in enumerate(rows, 1):
        if type(row) is not list:
            told = f"; send {takes.example}" if takes.texts else ", not a list of numbers"
            raise BadPayload(f"Row {number} is {_kind(row)}{told}.")
        if not row:
            raise BadPayload(f"Row {number} has no columns.")
        types = set(map(type, row))
        if not types <= _NUMBER_TYPES:
            numbers = False
            if not types <= _CELL_TYPES:
                _refuse_nested(row, number, f"; send {takes.example}" if takes.texts else ", not a number")
        check_width(len(row), len(rows[0]), number)
    return np.array(rows, dtype=np.float64) if numbers else Table(rows)


def _refuse_nested(row: list[Any], number: int, told: str) -> NoReturn:
    column, value = next((at, value) for at, value in enumerate(row, 1) if type(value) in _NESTED_TYPES)
    raise BadPayload(f"Row {number}, column {column} is {_kind(value)}{told}.")


def _records(items: list[Any]) -> list[dict[str, Any]]:
    names = items[0].keys()
    for number, item in enumerate(items, 1):
        if type(item) is not dict:
            raise BadPayload(f"Row {number} is {_kind(item)}, but row 1 is a record.")
        if not item:
            raise BadPayload(f"Row {number} has no columns.")
        if item.keys() != names:
            _refuse_names(item, names, number)
        if not _NESTED_TYPES.isdisjoint(map(type, item.values())):
            name, value = next(pair for pair in item.items() if type(pair[1]) in _NESTED_TYPES)
            where = f"Row {number}, column {quoted(name)}"
            raise BadPayload(f"{where} is {_kind(value)}; a record holds plain values.")
    return items


def _refuse_names(item: dict[str, Any], names: Set[str], number: int) -> NoReturn:
    for name in names:
        if name not in item:
            raise BadPayload(f"Row {number} lacks column {quoted(name)}, which row 1 has.")
    added = next(name for name in item if name not in names)
    raise BadPayload(f"Row {number} has column {quoted(added)}, which row 1 has not.")


def _read_npy(body: bytes, takes: Takes, header: bool | None) -> Matrix | Table:
    return read_npy(body)


READERS: Final[Mapping[str, Callable[[bytes, Takes, bool | None], Rows]]] = MappingProxyType(
    {CSV: _read_csv, JSON: _read_json, JSON_LINES: _read_json_lines, NPY: _read_npy, TEXT: _read_text}
)
"""One reader per media type; each takes a body that is not empty, and raises BadPayload."""
