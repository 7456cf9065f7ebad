"""A shape compiled into functions that read and write JSON bodies. No statuses and no constraints in here.

Plain values: str, int, float, bool, bytes (blob), aware UTC datetime (timestamp), list, dict by member name.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from types import MappingProxyType
from typing import Any, NoReturn

from service.errors import SerializationFault
from service.wire.constraints import wire_path
from service.wire.spec import Member, Shape

Reader = Callable[[Any, str], Any]
"""JSON value and its path ("" at the top) to a plain value."""
Writer = Callable[[Any], Any]
"""Plain value to a JSON value."""

ReaderTable = dict[tuple[Shape, str | None], Reader]
"""What is compiled already, by shape and timestamp format."""
WriterTable = dict[tuple[Shape, str | None], Writer]
"""What is compiled already, by shape and timestamp format."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECIMAL = re.compile(r"-?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Infinity)|NaN", re.ASCII)
_NOT_NUMBERS = MappingProxyType({"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf})
_INTEGER_BITS = MappingProxyType({"byte": 8, "short": 16, "integer": 32, "long": 64})
_WORDS = MappingProxyType(
    {
        "structure": "a Structure",
        "list": "a List",
        "map": "a Map",
        "string": "a String",
        "character": "a String",
        "byte": "a Byte",
        "short": "a Short",
        "integer": "an Integer",
        "long": "a Long",
        "float": "a Float",
        "double": "a Double",
        "boolean": "a Boolean",
        "blob": "a Blob",
        "timestamp": "a Timestamp",
    }
)


def compile_reader(shape: Shape, table: ReaderTable | None = None) -> Reader:
    """The function that turns a shape's JSON value into a plain one; unknown members and nulls are left out.

    It raises SerializationFault, naming the member, for a JSON value of the wrong type. `table` keeps what is
    compiled already, to share among operations.
    """
    return _reader(shape, None, {} if table is None else table)


def compile_writer(shape: Shape, table: WriterTable | None = None) -> Writer:
    """The function that turns a shape's plain value into a JSON one; None and unknown members are left out.

    A timestamp may be given as a datetime or as epoch seconds.
    """
    return _writer(shape, None, {} if table is None else table)


def read_body(reader: Reader, body: bytes) -> Any:
    """The plain value of a JSON body; an empty body is an empty structure.

    Raises: SerializationFault.
    """
    try:
        return reader(_parse(body), "")
    except RecursionError as error:
        raise SerializationFault("The request body is nested too deeply.") from error


def write_body(writer: Writer, value: Any) -> bytes:
    """The JSON body of a plain value."""
    return render_json(writer(value))


def render_json(value: Any) -> bytes:
    """Compact UTF-8 JSON; a lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")


def _parse(body: bytes) -> Any:
    if not body:
        return {}
    try:
        text = bytes(body).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode(
                "utf-8"
            )  # half a character is none: no UTF-8 can hold it
    except ValueError as error:
        raise SerializationFault("The request body is not valid JSON.") from error
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two values would count is anybody's guess, so neither does."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Reading


def _reader(shape: Shape, timestamp_format: str | None, table: ReaderTable) -> Reader:
    key = (shape, timestamp_format)
    known = table.get(key)
    if known is not None:
        return known

    def forward(value: Any, path: str) -> Any:  # what a shape inside itself calls
        return table[key](value, path)

    table[key] = forward
    match shape.kind:
        case "structure":
            table[key] = _structure_reader(shape, table)
        case "list":
            table[key] = _list_reader(shape, table)
        case "map":
            table[key] = _map_reader(shape, table)
        case _:
            table[key] = _SCALAR_READERS.get(shape.kind) or _integer_reader(shape.kind)
    return table[key]


def _structure_reader(shape: Shape, table: ReaderTable) -> Reader:
    entries = [
        (member.wire_name, member.name, wire_path(member.name), _member_reader(member, table))
        for member in shape.members.values()
        if member.location is None
    ]
    union = shape.union

    def read_structure(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _mismatch(value, "structure", path)
        prefix = f"{path}." if path else ""
        found = {
            name: read(one, prefix + tail)
            for wire_name, name, tail, read in entries
            if (one := value.get(wire_name)) is not None
        }
        if union and len(found) != 1:
            raise SerializationFault(f"Exactly one member must be set at '{path}'.")
        return found

    return read_structure


def _member_reader(member: Member, table: ReaderTable) -> Reader:
    return _reader(member.shape, member.timestamp_format, table)


def _list_reader(shape: Shape, table: ReaderTable) -> Reader:
    read = _member_reader(shape.item, table)
    most = None if shape.maximum is None else int(shape.maximum)

    def read_list(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise _mismatch(value, "list", path)
        # Nulls stay: the checker names them by their place. What is beyond the list's limit stays as it came:
        # the checker refuses the list for its length, and nobody works through a stranger's million items.
        known = value if most is None or len(value) <= most else value[:most]
        found = [
            None if one is None else read(one, f"{path}.{index}.member") for index, one in enumerate(known, 1)
        ]
        return found if known is value else found + value[len(known) :]

    return read_list


def _map_reader(shape: Shape, table: ReaderTable) -> Reader:
    read = _member_reader(shape.value, table)

    def read_map(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _mismatch(value, "map", path)
        return {key: None if one is None else read(one, f"{path}.{key}.member") for key, one in value.items()}

    return read_map


def _mismatch(value: Any, kind: str, path: str) -> SerializationFault:
    """Worded like "NUMBER_VALUE can not be converted to a String", seen from AWS's JSON services."""
    if isinstance(value, bool):
        token = "TRUE_VALUE" if value else "FALSE_VALUE"
    else:
        tokens = {str: "STRING_VALUE", list: "START_ARRAY", dict: "START_OBJECT", type(None): "NULL_VALUE"}
        token = tokens.get(type(value), "NUMBER_VALUE")
    place = f" at '{path}'" if path else ""
    return SerializationFault(f"{token} can not be converted to {_WORDS[kind]}{place}.")


def _read_string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _mismatch(value, "string", path)
    return value


def _read_boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _mismatch(value, "boolean", path)
    return value


def _integer_reader(kind: str) -> Reader:
    bound = 1 << (_INTEGER_BITS[kind] - 1)

    def read_integer(value: Any, path: str) -> int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not -bound <= value < bound:
            raise _mismatch(value, kind, path)
        return int(value)

    return read_integer


def _read_double(value: Any, path: str) -> float:
    if isinstance(value, str) and value in _NOT_NUMBERS:
        return _NOT_NUMBERS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(value, "double", path)
    try:
        found = float(value)
    except OverflowError:
        raise _mismatch(value, "double", path) from None
    if not math.isfinite(found):  # 1e999
        raise _mismatch(value, "double", path)
    return found


def read_blob(value: Any, path: str) -> bytes:
    """The bytes that a text of Base64 stands for. Raises: SerializationFault."""
    if isinstance(value, bytes):  # of a protocol that has a form of its own for them
        return value
    if not isinstance(value, str):
        raise _mismatch(value, "blob", path)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise SerializationFault(f"Invalid Base64 at '{path}'.") from None


def _read_timestamp(value: Any, path: str) -> datetime:
    """Epoch seconds, ISO 8601 or an HTTP date, whichever format the model names: clients send all three."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _mismatch(value, "timestamp", path)
    try:
        if isinstance(value, str):
            found = _parse_date(value)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        return _EPOCH + timedelta(seconds=value)
    except (ValueError, OverflowError):
        raise _mismatch(value, "timestamp", path) from None


def _parse_date(text: str) -> datetime:
    return datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)


_SCALAR_READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "string": _read_string,
        "character": _read_string,
        "boolean": _read_boolean,
        "float": _read_double,
        "double": _read_double,
        "blob": read_blob,
        "timestamp": _read_timestamp,
    }
)


# Writing


def _writer(shape: Shape, timestamp_format: str | None, table: WriterTable) -> Writer:
    key = (shape, timestamp_format)
    known = table.get(key)
    if known is not None:
        return known

    def forward(value: Any) -> Any:  # what a shape inside itself calls
        return table[key](value)

    table[key] = forward
    match shape.kind:
        case "structure":
            table[key] = _structure_writer(shape, table)
        case "list":
            write_item = _member_writer(shape.item, table)
            table[key] = lambda value: [write_item(one) for one in value]
        case "map":
            write_value = _member_writer(shape.value, table)
            table[key] = lambda value: {name: write_value(one) for name, one in value.items()}
        case "timestamp":
            table[key] = lambda value: write_timestamp(value, timestamp_format or "unixTimestamp")
        case _:
            table[key] = _SCALAR_WRITERS.get(shape.kind, _as_is)
    return table[key]


def _structure_writer(shape: Shape, table: WriterTable) -> Writer:
    entries = [
        (member.name, member.wire_name, _member_writer(member, table))
        for member in shape.members.values()
        if member.location is None
    ]
    return lambda value: {
        wire_name: write(one) for name, wire_name, write in entries if (one := value.get(name)) is not None
    }


def _member_writer(member: Member, table: WriterTable) -> Writer:
    return _writer(member.shape, member.timestamp_format, table)


def _as_is(value: Any) -> Any:
    return value


def _write_double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def write_timestamp(value: datetime | float, timestamp_format: str) -> float | str:
    """A time as `unixTimestamp` (float seconds to the millisecond), `iso8601` or `rfc822`.

    Raises: ValueError for a datetime that does not know its time zone.
    """
    when = value if isinstance(value, datetime) else _EPOCH + timedelta(seconds=value)
    if when.tzinfo is None:
        raise ValueError("a timestamp needs a time zone")
    when = when.astimezone(UTC)
    if timestamp_format == "iso8601":
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if timestamp_format == "rfc822":
        return format_datetime(when.replace(microsecond=0), usegmt=True)
    return round((when - _EPOCH).total_seconds(), 3)


_SCALAR_WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "float": _write_double,
        "double": _write_double,
        "blob": lambda value: base64.b64encode(value).decode("ascii"),
    }
)


# Text: the values of headers and of paths


def parse_text(shape: Shape, text: str, path: str) -> Any:
    """The plain value of a header or path part; blobs, lists and structures do not travel there.

    Raises: SerializationFault.
    """
    if shape.kind in _INTEGER_BITS and _DECIMAL.fullmatch(text):
        return _integer_reader(shape.kind)(int(text), path)
    if shape.kind == "boolean" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if shape.kind in {"float", "double"} and _NUMBER.fullmatch(text):
        return float(text)
    if shape.kind == "timestamp":
        return _read_timestamp(int(text) if _DECIMAL.fullmatch(text) else text, path)
    raise _mismatch(text, shape.kind, path)
