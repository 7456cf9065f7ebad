"""UBJSON, in which XGBoost saves models: bytes to plain values, arrays of numbers to numpy's.

Source: ubjson.org, draft 12. Nothing is trusted: lengths are held against the bytes that are there, and what
becomes an object of Python's, which takes many times its bytes, may only be a part of the document.
"""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

DEEPEST: Final = 64
"""Levels of a document, such as JSON's too."""

_NUMBERS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        ord("i"): (">b", "i1"),
        ord("U"): (">B", "u1"),
        ord("I"): (">h", ">i2"),
        ord("l"): (">i", ">i4"),
        ord("L"): (">q", ">i8"),
        ord("d"): (">f", ">f4"),
        ord("D"): (">d", ">f8"),
    }
)
_WHOLE = b"iUIlL"
_NULL, _TRUE, _FALSE, _STRING, _ARRAY, _OBJECT, _ARRAY_END, _OBJECT_END = b"ZTFS[{]}"
_TYPE, _COUNT = b"$#"
_FEW: Final = 4096
_BYTES_PER_VALUE: Final = 8


class NotUbjson(Exception):
    """The bytes are not what they should be."""


def most_values(size_bytes: int) -> int:
    """Values that a document may have, an array of numbers being one: so it takes little memory."""
    return _FEW + size_bytes // _BYTES_PER_VALUE


def read_ubjson(data: bytes) -> Any:
    """The value that the bytes begin with. Raises NotUbjson."""
    try:
        return _Reader(data).value(0)
    except (IndexError, struct.error, ValueError) as error:
        raise NotUbjson(f"{type(error).__name__}: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._left = most_values(len(data))

    def value(self, depth: int, kind: int | None = None) -> Any:
        kind = self._byte() if kind is None else kind
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise NotUbjson("it is nested too deeply" if depth > DEEPEST else "it holds too many values")
        if kind in _NUMBERS:
            return self._number(kind)
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(depth + 1)
        if kind == _OBJECT:
            return self._object(depth + 1)
        if kind in _PLAIN:
            return _PLAIN[kind]
        raise NotUbjson(f"byte {kind} is no type")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self._at:
            raise NotUbjson("it is truncated")
        self._at += size
        return self._data[self._at - size : self._at]

    def _number(self, kind: int) -> Any:
        form = _NUMBERS[kind][0]
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _length(self) -> int:
        """At most as many as there are bytes, for what is counted may take none."""
        kind = self._byte()
        if kind not in _WHOLE:
            raise NotUbjson("a length is no whole number")
        found = int(self._number(kind))
        if not 0 <= found <= len(self._data):
            raise NotUbjson("a length is beyond the bytes that are there")
        return found

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _array(self, depth: int) -> Any:
        kind = self._optional(_TYPE, self._byte)
        count = self._optional(_COUNT, self._length)
        if kind is not None and count is None:
            raise NotUbjson("an array of one type has no length")
        if kind is not None and kind in _NUMBERS and count is not None:
            form = np.dtype(_NUMBERS[kind][1])
            return np.frombuffer(self._take(count * form.itemsize), form)
        found: list[Any] = []
        while len(found) != count if count is not None else self._data[self._at] != _ARRAY_END:
            found.append(self.value(depth, kind))
        self._at += count is None
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind = self._optional(_TYPE, self._byte)
        count = self._optional(_COUNT, self._length)
        found: dict[str, Any] = {}
        read = 0
        while read != count if count is not None else self._data[self._at] != _OBJECT_END:
            name = self._text()
            found[name] = self.value(depth, kind)
            read += 1
        self._at += count is None
        return found

    def _optional(self, mark: int, read: Callable[[], int]) -> int | None:
        if self._data[self._at] != mark:
            return None
        self._at += 1
        return read()


_PLAIN: Final[Mapping[int, Any]] = MappingProxyType({_NULL: None, _TRUE: True, _FALSE: False})
