"""Records of RecordIO protobuf, as AWS's own algorithms read and write them. Source: contract F.1.

A record is a protobuf message: `features` (field 1) and `label` (2) are maps from names to tensors, which are
of float32 (2), float64 (3) or int32 (7) and hold `values` (1), `keys` (2) where they are sparse, `shape` (3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_MAGIC = 0xCED7230A


def read_records(data: bytes) -> Iterator[bytes]:
    """What the frames hold. Raises ValueError."""
    at = 0
    while at < len(data):
        if len(data) < at + 8:
            raise ValueError("the last record is cut off")
        magic, told = struct.unpack_from("<II", data, at)
        if magic != _MAGIC:
            raise ValueError(f"no record begins at byte {at}")
        begin, at = at + 8, at + 8 + (told & 0x1FFFFFFF)
        if at > len(data):
            raise ValueError("the last record is cut off")
        yield data[begin:at]
        at += -at % 4


def read_features(record: bytes) -> tuple[Any, list[int] | None, list[int]]:
    """Values, keys where it is sparse, and shape of what a record calls `values`. Raises ValueError."""
    for number, entry in _fields(record):
        told = dict(_fields(entry)) if number == 1 else {}
        if told.get(1) == b"values":
            for kind, tensor in _fields(told[2]):
                return _tensor(kind, tensor)
    raise ValueError("a record has no feature named values")


def _tensor(kind: int, tensor: bytes) -> tuple[Any, list[int] | None, list[int]]:
    parts: dict[int, list[Any]] = {1: [], 2: [], 3: []}
    for number, value in _fields(tensor):
        parts.setdefault(number, []).append(value)
    if kind in (2, 3):
        values = np.frombuffer(b"".join(parts[1]), "<f4" if kind == 2 else "<f8")
    elif kind == 7:
        values = np.array(_numbers(parts[1]), np.uint64).astype(np.int64).astype(np.float64)
    else:
        raise ValueError("a record's values are neither float32, float64 nor int32")
    return values, _numbers(parts[2]) or None, _numbers(parts[3])


def _numbers(parts: Sequence[Any]) -> list[int]:
    """Packed or not."""
    found: list[int] = []
    for part in parts:
        at = 0
        while isinstance(part, bytes) and at < len(part):
            number, at = _varint(part, at)
            found.append(number)
        found += [] if isinstance(part, bytes) else [part]
    return found


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("a record is no protobuf message")
        if at + size > len(message):
            raise ValueError("a record is cut off")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("a record is cut off")


def record_of(answer: dict[str, Any]) -> bytes:
    """One protobuf record in its frame; its label holds the answer."""
    record = b""
    for key, value in answer.items():
        values = np.array(value if isinstance(value, list) else [value], "<f4").tobytes()
        tensor = _written(2, _written(1, values))
        record += _written(2, _written(1, key.encode()) + _written(2, tensor))
    return struct.pack("<II", _MAGIC, len(record)) + record + b"\0" * (-len(record) % 4)


def _written(number: int, value: bytes) -> bytes:
    size, length = b"", len(value)
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + value
