"""Writing each media type: what a model answered to response bytes.

JSON reads as AWS's containers write it, which is as Python's own json.dumps writes it, to the byte: a blank
after each comma and colon, floats as Python spells them, NaN and Infinity (contract A.9, Z.42). Arrays of
numbers and of texts take a faster way to the same bytes. CSV spells numbers alike, as numpy.savetxt does.
"""

import dataclasses
import datetime
import io
import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from json.encoder import encode_basestring_ascii
from types import MappingProxyType
from typing import Any, Final, NoReturn
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson

from service.errors import ModelFailure
from service.media.digits import write_digits
from service.media.types import CSV, JSON, JSON_LINES, NPY

_TO_QUOTE: Final = re.compile(r'[",\r\n]')
_NUMBER_KINDS: Final = "biuf"
_NPY_KINDS: Final = "biufU"
_KEY_TYPES: Final = (str, int, float, type(None))
# What orjson and Python spell otherwise: exponents of one digit, positive ones, and numbers below 0.0001.
_SHORT_EXPONENT: Final = re.compile(rb"e-(?=\d[],])")
_POSITIVE_EXPONENT: Final = re.compile(rb"e(?=\d)")
_TINY: Final = re.compile(rb"(?<!\d)0\.0000([1-9])(\d*)")


def unwrap(value: Any) -> Any:
    """Data frames, series and sparse matrices as arrays; floats as float64, times and bytes as text."""
    if type(value) is not np.ndarray:
        for method in ("to_numpy", "toarray"):
            if hasattr(value, method):
                value = getattr(value, method)()
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "f":
        # Python's float is what scikit-learn's users see: float32 0.1 reads 0.10000000149011612.
        return value.astype(np.float64, copy=False)
    if not value.dtype.isnative:
        return value.astype(value.dtype.newbyteorder("="))
    if value.dtype.kind == "S":
        return np.char.decode(value, "utf-8")
    return value.astype(str) if value.dtype.kind in "MmT" else value


def _native(value: Any) -> Any:
    """The same in Python's own lists, dicts and scalars."""
    value = unwrap(value)
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {_name(key): _native(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_native(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def _name(key: Any) -> Any:
    """A name of an object in Python's own types. Raises TypeError for what names nothing."""
    native = key if isinstance(key, _KEY_TYPES) else _native(key)
    return _refuse_name(key) if isinstance(native, (list, dict)) else native


def _refuse_name(key: Any) -> NoReturn:
    raise TypeError(f"keys must be str, int, float, bool or None, not {type(key).__name__}")


def _outputs_of(value: Any) -> list[npt.NDArray[Any]] | None:
    """The parts of a multi-output predict_proba, each (n, classes), or None where the answer is none."""
    if not isinstance(value, (list, tuple)) or not value:
        return None
    parts = [unwrap(item) for item in value if hasattr(item, "ndim")]
    if len(parts) < len(value) or {part.ndim for part in parts} != {2} or len({len(p) for p in parts}) > 1:
        return None
    return parts


def _by_row(value: Any) -> list[Any]:
    parts = _outputs_of(value)
    if parts is not None:
        return [list(row) for row in zip(*(part.tolist() for part in parts), strict=True)]
    native = _native(value)
    return native if isinstance(native, list) else [native]


# ---- JSON


def _plain(value: Any) -> Any:
    """What the encoder does not know as what it knows. Raises TypeError."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    native = _native(value)
    if native is value:
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
    return native


_JSON: Final = json.JSONEncoder(default=_plain)


def _plain_name(key: Any) -> Any:
    try:
        return _plain(key)
    except TypeError:
        _refuse_name(key)


def _with_plain_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key if isinstance(key, _KEY_TYPES) else _plain_name(key): _with_plain_keys(item)
            for key, item in value.items()
        }
    return [_with_plain_keys(item) for item in value] if isinstance(value, list) else value


def _dump(value: Any) -> bytes:
    try:
        return _JSON.encode(value).encode()
    except TypeError:
        # Names that are numpy scalars or dates never reach `default`.
        return _JSON.encode(_with_plain_keys(_native(value))).encode()


def _numbers(value: npt.NDArray[Any]) -> bytes | None:
    """An array of numbers without blanks; None if nan or infinity is among them."""
    written = orjson.dumps(value, default=_native, option=orjson.OPT_SERIALIZE_NUMPY)
    if value.dtype.kind == "f":
        if b"n" in written:  # null
            return None
        if b"e" in written or b"0.0000" in written:
            return _spelled_as_python(written)
    return written


def _spelled_as_python(written: bytes) -> bytes:
    """Exponents are spelled otherwise by orjson (1e-7, 1e16, 0.00001; 1e-07, 1e+16 and 1e-05 in Python)."""
    if b"e" in written:
        written = _POSITIVE_EXPONENT.sub(b"e+", _SHORT_EXPONENT.sub(b"e-0", written))
    return _TINY.sub(_tiny, written) if b"0.0000" in written else written


def _tiny(found: re.Match[bytes]) -> bytes:
    first, others = found.groups()
    return b"%b.%be-05" % (first, others) if others else first + b"e-05"


def _texts(value: npt.NDArray[Any]) -> bytes:
    texts = value.tolist()
    try:
        written = orjson.dumps(texts)
    except TypeError:  # half a character
        written = b"\xff"
    # json.dumps escapes all beyond ASCII, and DEL.
    if written.isascii() and b"\x7f" not in written and written.count(b",") < max(len(texts), 1):
        return written.replace(b",", b", ")
    return f"[{', '.join(map(encode_basestring_ascii, texts))}]".encode()


def _write_json(value: Any) -> bytes:
    if type(value) is np.ndarray:
        kind = value.dtype.kind
        if kind == "i" and len(value.shape) == 1 and value.size:  # labels, mostly
            lists = write_digits(value, [(0, len(value))])
            if lists is not None:
                return lists[0]
        if kind in _NUMBER_KINDS:
            written = _numbers(value)
            if written is not None:
                return written.replace(b",", b", ")
        elif kind == "U" and value.ndim == 1:
            return _texts(value)
        value = value.tolist()
    return _dump(value)


def _is_table(value: Any) -> bool:
    """Whether a value is rows of numbers, or a column of them."""
    return (
        type(value) is np.ndarray
        and value.dtype.kind in _NUMBER_KINDS
        and value.ndim in (1, 2)
        and value.size > 0
    )


def _write_json_lines(value: Any) -> bytes:
    if _is_table(value):
        written = _numbers(value)
        if written is not None:
            lines = written[1:-1].replace(*(b",", b"\n") if value.ndim == 1 else (b"],[", b"]\n["))
            return lines.replace(b",", b", ") + b"\n"
    return b"".join([_dump(row) + b"\n" for row in _by_row(value)])


# ---- CSV


def _write_csv(value: Any) -> bytes:
    parts = _outputs_of(value)
    if parts is not None:
        value = np.hstack(parts)
    if _is_table(value) and value.dtype.kind != "b":
        written = _numbers(value)
        if written is not None:
            rows = (
                written[1:-1].replace(b",", b"\n")
                if value.ndim == 1
                else written[2:-2].replace(b"],[", b"\n")
            )
            return rows + b"\n"
    return "".join([_csv_line(row) + "\n" for row in _by_row(value)]).encode()


def _csv_line(row: Any) -> str:
    cells = list(row.values()) if isinstance(row, dict) else row if isinstance(row, list) else [row]
    # A line of one blank cell would read as no line at all.
    return '""' if cells in ([None], [""]) else ",".join(map(_csv_cell, cells))


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    text = _write_json(value).decode() if isinstance(value, (list, dict)) else str(value)
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if _TO_QUOTE.search(text) else text


# ---- npy


def _write_npy(value: Any) -> bytes:
    simple = type(value) is np.ndarray and value.dtype.kind in _NPY_KINDS
    array = value if simple else np.array(_native(value))
    if array.dtype.kind not in _NPY_KINDS:
        raise ModelFailure(
            f"The model's answer cannot be written as {NPY}: its values are of no one simple type."
        )
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, order="C"), allow_pickle=False)  # in one order, however it came about
    return buffer.getvalue()


WRITERS: Final[Mapping[str, Callable[[Any], bytes]]] = MappingProxyType(
    {JSON: _write_json, CSV: _write_csv, JSON_LINES: _write_json_lines, NPY: _write_npy}
)
"""One writer per media type; each takes what `unwrap` gives.

They raise ModelFailure, and RecursionError, TypeError or ValueError for what their form cannot hold.
"""
