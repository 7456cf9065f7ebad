"""The media types, and reading each of them: request bytes to rows.

Every text format has a strict reader that explains what is wrong, and a fast one in front of it that answers
only where both agree. Nothing is guessed: a blank, a word or a ragged row is refused, never turned into nan.
What the headers say, and the way back, is in codec; what the numbers mean is the model's business.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from service.errors import BadPayload
from service.hosting.csv_quick import NUMBER_BYTES, read_csv_block, read_csv_quickly

CSV: Final = "text/csv"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
NPY: Final = "application/x-npy"

Matrix: TypeAlias = npt.NDArray[np.float64]
Rows: TypeAlias = Matrix | list[dict[str, Any]]
"""(n, features) float64, or n records with the same column names; n and features are at least 1."""

_ROW_BYTES: Final = NUMBER_BYTES + b",[]\t\r\n"
_NUMBER: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)", re.I)
_NUMBER_TYPES: Final = frozenset({int, float})
_NESTED_TYPES: Final = frozenset({dict, list})
_KINDS: Final = MappingProxyType(
    {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
)
_INT64_MIN: Final = -(2**63)
_UINT64_MAX: Final = 2**64 - 1
_COUNTED_DEPTH: Final = 5
_BLOCK_BYTES: Final = 20_000  # from here on the reader of whole blocks is the faster one
_NPY_LENGTHS: Final = MappingProxyType({b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4})
_NPY_NUMBER: Final = re.compile(r"[<>|=]?(?:[iu][1248]|f[248])")
_MAX_NPY_HEADER_BYTES: Final = 10_000


def quoted(text: str) -> str:
    """Text of a caller as a sentence may show it: in quotes, at most 40 characters, controls escaped."""
    shown = repr(text[:41])[1:-1]
    return f"'{shown}'" if len(shown) <= 40 else f"'{shown[:37]}...'"


def read_csv_strictly(body: bytes) -> Matrix:
    """The reader that decides what CSV is: cells of ASCII numbers, quoted or not, blanks around them.

    Raises: BadPayload.
    """
    lines = _text(body).split("\n")
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip(" \t"):
            raise BadPayload(f"Row {number} is blank.")
        cells = line.split(",")
        rows.append([_csv_number(cell, number, column, cells) for column, cell in enumerate(cells, 1)])
        _check_width(len(cells), len(rows[0]), number)
    return np.array(rows, dtype=np.float64)


def parse_json_strictly(body: bytes) -> Any:
    """The parser that decides what JSON is: the standard's, plus the literals NaN and Infinity.

    Python clients write those two. Integers beyond 64 bits become floats; a name given twice is refused.

    Raises: BadPayload.
    """
    try:
        return json.loads(
            _text(body), object_pairs_hook=_object, parse_float=_json_float, parse_int=_json_integer
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadPayload(f"The body is not JSON: {error.msg} at {where}.") from error
    except RecursionError as error:
        raise BadPayload("The JSON is nested too deeply.") from error


def _refuse_empty() -> NoReturn:
    raise BadPayload("The body is empty.")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadPayload(f"The body is not UTF-8 text: byte {error.start + 1} is wrong.") from error


def _lines(body: bytes) -> bytes:
    unix = body.replace(b"\r\n", b"\n") if b"\r" in body else body
    return unix.rstrip(b"\r\n") or _refuse_empty()


def _check_width(width: int, expected: int, row: int) -> None:
    if width != expected:
        columns = "1 column" if width == 1 else f"{width} columns"
        raise BadPayload(f"Row {row} has {columns}, but row 1 has {expected}.")


# ---- CSV in


def _read_csv(body: bytes) -> Matrix:
    if len(body) >= _BLOCK_BYTES and (block := read_csv_block(body)) is not None:
        return block
    lines = _lines(body)
    quick = read_csv_quickly(lines) if len(lines) < _BLOCK_BYTES else read_csv_block(lines)
    return read_csv_strictly(lines) if quick is None else quick


def _csv_number(cell: str, row: int, column: int, cells: list[str]) -> float:
    text = _bare(cell)
    if _NUMBER.fullmatch(text):
        value = float(text)
        if math.isinf(value) and text[-1].isdigit():
            raise BadPayload(f"Row {row}, column {column}: {quoted(text)} is too large.")
        return value
    if not text:
        raise BadPayload(f"Row {row}, column {column} is blank.")
    raise BadPayload(f"Row {row}, column {column}: {quoted(text)} is not a number{_csv_hint(row, cells)}.")


def _csv_hint(row: int, cells: list[str]) -> str:
    if row > 1 or any(_NUMBER.fullmatch(_bare(cell)) for cell in cells):
        return ""
    if cells[0].lstrip().startswith(("[", "{")):
        return "; a JSON body needs Content-Type: application/json"
    return "; a header row is not accepted"


def _bare(cell: str) -> str:
    text = cell.strip(" \t")
    return text[1:-1].strip(" \t") if len(text) > 1 and text[0] == text[-1] == '"' else text


# ---- JSON in


def _read_json(body: bytes) -> Rows:
    document = _parse_json(body)
    plain = _holds_plain_rows(body)
    if isinstance(document, list):
        if document and type(document[0]) not in (list, dict):
            return _matrix([document], plain)
        return _rows(document, plain)
    if not isinstance(document, dict):
        raise BadPayload(f"The body is {_kind(document)}; send rows such as [[1, 2], [3, 4]].")
    if isinstance(document.get("instances"), list):
        return _rows(_only(document, "instances"), plain)
    return _rows([document], plain)


def _read_json_lines(body: bytes) -> Rows:
    lines = _lines(body)
    items = [_parse_json_line(line, number) for number, line in enumerate(lines.split(b"\n"), 1)]
    return _rows(items, not lines.translate(None, _ROW_BYTES))


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


def _rows(items: list[Any], plain: bool) -> Rows:
    if not items:
        raise BadPayload("The body holds no rows.")
    if type(items[0]) is not dict:
        return _matrix(items, plain)
    if _features(items[0]) is None:
        return _records(items)
    rows = [_features(item) if type(item) is dict else None for item in items]
    if None in rows:
        raise BadPayload(f"Row {rows.index(None) + 1} has no list of features, but row 1 has.")
    return _matrix(rows, plain)


def _features(item: dict[str, Any]) -> list[Any] | None:
    """The dense values of an instance in AWS's built-in algorithms' forms, or None: a plain record."""
    if isinstance(item.get("features"), list):
        return list(_only(item, "features"))
    data = item.get("data")
    features = data.get("features") if isinstance(data, dict) else None
    if not isinstance(features, dict) or not isinstance(features.get("values"), list):
        return None
    return list(_only(_only(_only(item, "data"), "features"), "values"))


def _matrix(rows: list[Any], plain: bool) -> Matrix:
    if plain:
        try:
            matrix = np.array(rows, dtype=np.float64)
        except ValueError:
            return read_rows_strictly(rows)
        if matrix.ndim == 2 and matrix.size:
            return matrix
    return read_rows_strictly(rows)


def read_rows_strictly(rows: Sequence[Any]) -> Matrix:
    """Parsed rows as an array, each a list of numbers of the same length.

    Raises: BadPayload.
    """
    for number, row in enumerate(rows, 1):
        if type(row) is not list:
            raise BadPayload(f"Row {number} is {_kind(row)}, not a list of numbers.")
        if not row:
            raise BadPayload(f"Row {number} has no columns.")
        if not _NUMBER_TYPES.issuperset(map(type, row)):
            _refuse_value(row, number)
        _check_width(len(row), len(rows[0]), number)
    return np.array(rows, dtype=np.float64)


def _refuse_value(row: list[Any], number: int) -> NoReturn:
    column, value = next((at, value) for at, value in enumerate(row, 1) if type(value) not in _NUMBER_TYPES)
    where = f"Row {number}, column {column}"
    if isinstance(value, str):
        raise BadPayload(f'{where}: {quoted(value)} is not a number; text needs records, {{"name": value}}.')
    raise BadPayload(f"{where} is {_kind(value)}, not a number.")


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


# ---- npy in


def _read_npy(body: bytes) -> Matrix:
    start, shape, fortran_order, descr = _npy_header(body)
    if not _NPY_NUMBER.fullmatch(descr):
        raise BadPayload(f"The npy array holds {quoted(descr)}; send integers or floats of up to 64 bits.")
    if len(shape) not in (1, 2):
        raise BadPayload(f"The npy array has {len(shape)} dimensions; send rows and columns.")
    if min(shape) < 1:
        raise BadPayload("The npy array holds no rows or no columns.")
    dtype, follows = np.dtype(descr), len(body) - start
    if math.prod(shape) * dtype.itemsize != follows:
        raise BadPayload(f"The npy header announces another size than the {follows} bytes that follow it.")
    values = np.frombuffer(body, dtype, offset=start).reshape(shape, order="F" if fortran_order else "C")
    with np.errstate(invalid="ignore"):  # a signalling nan is a nan
        return np.array(np.atleast_2d(values), dtype=np.float64, order="C")


def _npy_header(body: bytes) -> tuple[int, tuple[int, ...], bool, str]:
    """Where the values start, shape, Fortran order and type.

    numpy's own reader warns, guesses at old headers and fails in many ways; version 3 exists for structured
    arrays only. Source: numpy.lib.format.
    """
    length_bytes = _NPY_LENGTHS.get(body[:8])
    if length_bytes is None:
        raise BadPayload("The body is not an npy array of version 1.0 or 2.0.")
    start = 8 + length_bytes
    end = start + int.from_bytes(body[8:start], "little")
    try:
        fields = ast.literal_eval(
            body[start : min(end, start + _MAX_NPY_HEADER_BYTES)].decode("ascii").strip()
        )
        shape, fortran_order, descr = fields["shape"], fields["fortran_order"], fields["descr"]
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError) as error:
        raise BadPayload("The header of the npy array cannot be read.") from error
    if not isinstance(shape, tuple) or any(type(side) is not int for side in shape) or end > len(body):
        raise BadPayload("The header of the npy array cannot be read.")
    return end, shape, bool(fortran_order), str(descr)


READERS: Final[Mapping[str, Callable[[bytes], Rows]]] = MappingProxyType(
    {CSV: _read_csv, JSON: _read_json, JSON_LINES: _read_json_lines, NPY: _read_npy}
)
"""One reader per media type; each takes a body that is not empty and raises BadPayload."""
