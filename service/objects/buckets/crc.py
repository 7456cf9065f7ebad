"""Cyclic redundancy checks that Python has none of: CRC-32C and CRC-64/NVME, over arrays instead of bytes.

A block is cut into many strips of the same length, whose sums are counted side by side, byte by byte; then
neighbours are joined, two by two. A sum goes on over so many bytes of zero by one linear map, which is the
same for all strips. Source: the catalogue of parametrised CRC algorithms; all three here are reflected.
"""

import zlib
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np

_STRIPS: Final = 4096
_STRIP_BYTES: Final = 64
_BLOCK_BYTES: Final = _STRIPS * _STRIP_BYTES
_KNOWN_SHIFTS: Final = 64

_POLYNOMIALS: Final = {"CRC32": 0xEDB88320, "CRC32C": 0x82F63B78, "CRC64NVME": 0x9A6C9329AC4BC9B5}
_BITS: Final = {"CRC32": 32, "CRC32C": 32, "CRC64NVME": 64}

CRCS: Final = tuple(_POLYNOMIALS)
"""The checks that are known here."""


class Crc:
    """One sum, over bytes as they come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value = 0

    def update(self, data: bytes) -> None:
        """Go on over these bytes."""
        if self._name == "CRC32":
            self._value = zlib.crc32(data, self._value)
            return
        whole = len(data) - len(data) % _BLOCK_BYTES
        for at in range(0, whole, _BLOCK_BYTES):
            inside = _block_sum(self._name, data[at : at + _BLOCK_BYTES])
            self._value = _over_zeros(self._name, self._value, _BLOCK_BYTES) ^ inside
        self._value = _plain_sum(self._name, data[whole:], self._value)

    def digest(self) -> bytes:
        """The sum so far, most significant byte first."""
        return self._value.to_bytes(_BITS[self._name] // 8, "big")


def joined(name: str, sums: list[tuple[bytes, int]]) -> bytes:
    """The sum over parts that follow each other, each with its sum and its size in bytes."""
    value = 0
    for digest, size in sums:
        value = _over_zeros(name, value, size) ^ int.from_bytes(digest, "big")
    return value.to_bytes(_BITS[name] // 8, "big")


def _block_sum(name: str, block: bytes) -> int:
    """The sum of one block of the usual size."""
    ones = (1 << _BITS[name]) - 1
    table = _table(name)
    strips = np.frombuffer(block, np.uint8).reshape(_STRIPS, _STRIP_BYTES)
    columns = np.ascontiguousarray(strips.T)
    values = np.zeros(_STRIPS, np.uint64)
    eight, low = np.uint64(8), np.uint64(0xFF)
    for column in columns:
        values = table[(values & low).astype(np.intp) ^ column] ^ (values >> eight)
    length = _STRIP_BYTES
    while len(values) > 1:
        values = _mapped(_zeros(name, length), values[0::2]) ^ values[1::2]
        length *= 2
    # What starts and ends a sum are ones: over a whole block they are one constant.
    edge = _over(_zeros(name, _BLOCK_BYTES), ones) ^ ones
    return int(values[0]) ^ edge


def _plain_sum(name: str, data: bytes, value: int) -> int:
    ones = (1 << _BITS[name]) - 1
    table = _plain_table(name)
    value ^= ones
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ ones


def _over_zeros(name: str, value: int, size: int) -> int:
    """What a sum adds to that of what follows it in so many bytes."""
    return _over(_zeros(name, size), value)


@cache
def _plain_table(name: str) -> tuple[int, ...]:
    polynomial, table = _POLYNOMIALS[name], []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    return tuple(table)


@cache
def _table(name: str) -> Any:
    return np.array(_plain_table(name), np.uint64)


# A linear map over bits is kept as tables: one for each byte of a sum, so that eight look-ups apply it.


@lru_cache(_KNOWN_SHIFTS)
def _zeros(name: str, size: int) -> Any:
    """The map of a sum over so many bytes of zero: shape (8, 256), uint64."""
    columns = _one_zero(name)
    result = [1 << bit for bit in range(_BITS[name])]
    while size:
        if size & 1:
            result = [_times(columns, column) for column in result]
        columns = [_times(columns, column) for column in columns]
        size >>= 1
    tables = np.zeros((8, 256), np.uint64)
    for byte in range(_BITS[name] // 8):
        for number in range(256):
            tables[byte, number] = _times(result, number << (8 * byte))
    return tables


def _one_zero(name: str) -> list[int]:
    """The map over one byte of zero, as what becomes of each bit."""
    table = _plain_table(name)
    return [table[(1 << bit) & 0xFF] ^ ((1 << bit) >> 8) for bit in range(_BITS[name])]


def _times(columns: list[int], value: int) -> int:
    result = 0
    for column in columns:
        if value & 1:
            result ^= column
        value >>= 1
    return result


def _over(tables: Any, value: int) -> int:
    result = 0
    for byte in range(8):
        result ^= int(tables[byte, (value >> (8 * byte)) & 0xFF])
    return result


def _mapped(tables: Any, values: Any) -> Any:
    result = np.zeros(len(values), np.uint64)
    for byte in range(8):
        result ^= tables[byte][((values >> np.uint64(8 * byte)) & np.uint64(0xFF)).astype(np.intp)]
    return result
