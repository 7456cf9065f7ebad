"""CBOR (RFC 8949): bytes to plain values and back. No shapes in here.

Read is what AWS's clients send: whole numbers, floats, texts, bytes, lists, maps by texts, the simple values,
and tags, of which only what they are around counts. Bodies come from strangers: what is too deep, or says
that it is longer than it is, is refused before memory is spent on it.
"""

import struct
from typing import Any, Final

_MOST_LEVELS: Final = 32
_ENDLESS: Final = 31
_BREAK: Final = 0xFF
_SIMPLE: Final = {20: False, 21: True, 22: None, 23: None}
_FLOATS: Final = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _OTHER = range(8)


def read_item(data: bytes) -> Any:
    """The one value that the bytes are. Raises ValueError: they are none, or more than one."""
    reading = _Reading(data)
    found = reading.item(0)
    if reading.at != len(data):
        raise ValueError("there is more behind the value")
    return found


class _Reading:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def item(self, level: int) -> Any:
        if level > _MOST_LEVELS:
            raise ValueError("nested too deeply")
        first = self._take(1)[0]
        kind, told = first >> 5, first & 31
        if kind == _OTHER:
            return self._other(told)
        if kind in (_BYTES, _TEXT):
            found = self._joined(kind) if told == _ENDLESS else self._take(self._number(told))
            return found.decode("utf-8") if kind == _TEXT else found
        if kind in (_LIST, _MAP):
            count = None if told == _ENDLESS else self._number(told)
            return self._list(count, level) if kind == _LIST else self._map(count, level)
        number = self._number(told)
        if kind == _TAG:
            return self.item(level + 1)
        return number if kind == _UNSIGNED else -1 - number

    def _take(self, count: int) -> bytes:
        if count > len(self._data) - self.at:
            raise ValueError("not all of it is there")
        self.at += count
        return self._data[self.at - count : self.at]

    def _number(self, told: int) -> int:
        if told < 24:
            return told
        if told not in _WIDTHS:
            raise ValueError("a length of no known form")
        return int.from_bytes(self._take(_WIDTHS[told]), "big")

    def _other(self, told: int) -> Any:
        if told in _FLOATS:
            return _FLOATS[told].unpack(self._take(_FLOATS[told].size))[0]
        if told not in _SIMPLE:
            raise ValueError("a simple value that nobody knows")
        return _SIMPLE[told]

    def _joined(self, kind: int) -> bytes:
        parts: list[bytes] = []
        while not self._is_over():
            first = self._take(1)[0]
            if first >> 5 != kind or first & 31 == _ENDLESS:
                raise ValueError("a part of another kind")
            parts.append(self._take(self._number(first & 31)))
        return b"".join(parts)

    def _list(self, count: int | None, level: int) -> list[Any]:
        found: list[Any] = []
        while not self._is_over() if count is None else len(found) < count:
            found.append(self.item(level + 1))
        return found

    def _map(self, count: int | None, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._is_over() if count is None else len(found) < count:
            key = self.item(level + 1)
            if not isinstance(key, str) or key in found:  # which of two would count is anybody's guess
                raise ValueError("a key that is no text, or is there twice")
            found[key] = self.item(level + 1)
        return found

    def _is_over(self) -> bool:
        """Whether what has no length ends here."""
        if self._data[self.at : self.at + 1] != bytes([_BREAK]):
            return False
        self.at += 1
        return True


def write_head(kind: int, number: int) -> bytes:
    """How a value begins that is a number, or has a length."""
    if number < 24:
        return bytes([kind << 5 | number])
    told = next(told for told, width in _WIDTHS.items() if number < 1 << 8 * width)
    return bytes([kind << 5 | told]) + number.to_bytes(_WIDTHS[told], "big")


def write_map(items: dict[str, bytes]) -> bytes:
    """A map of values that are written already."""
    parts = [write_head(_MAP, len(items))]
    for name, value in items.items():
        parts += (write_text(name), value)
    return b"".join(parts)


def write_list(items: list[bytes]) -> bytes:
    """A list of values that are written already."""
    return write_head(_LIST, len(items)) + b"".join(items)


def write_text(text: str) -> bytes:
    """A text; half a character is a question mark."""
    data = text.encode("utf-8", "replace")
    return write_head(_TEXT, len(data)) + data


def write_bytes(data: bytes) -> bytes:
    """Bytes."""
    return write_head(_BYTES, len(data)) + data


def write_integer(number: int) -> bytes:
    """A whole number of at most 64 bits."""
    return write_head(_UNSIGNED, number) if number >= 0 else write_head(_NEGATIVE, -1 - number)


def write_float(number: float) -> bytes:
    """A float of 64 bits."""
    return b"\xfb" + _FLOATS[27].pack(number)


def write_boolean(value: bool) -> bytes:
    """True or false."""
    return b"\xf5" if value else b"\xf4"


def write_time(seconds: float) -> bytes:
    """A time, in seconds since 1970."""
    return write_head(_TAG, 1) + write_float(seconds)
