"""Records out of a stream of bytes: what a SplitType means, at any chunk size, in constant memory.

A record is kept exactly as it stands in the input: a line with its newline, a frame with its padding.
`payload` says what of it is data.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from service.domain.transform.options import LINE, RECORD_IO, TF_RECORD
from service.errors import RecordError

Chunks = Iterable[bytes]

_MAGIC_NUMBER: Final = 0xCED7230A
_MAGIC: Final = struct.pack("<I", _MAGIC_NUMBER)
_FRAME: Final = struct.Struct("<II")
_LENGTH_BITS: Final = 29
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_TF_HEADER: Final = struct.Struct("<QI")
_TF_FOOTER_BYTES: Final = 4
_CRC_POLYNOMIAL: Final = 0x82F63B78  # CRC-32C, reflected
_CRC_MASK: Final = 0xA282EAD8


BLANK: Final = b"\r\n"
"""What a blank line is made of."""

_MOST_BLANK_BYTES: Final = 2**20


def split_lines(chunks: Chunks, limit_bytes: int) -> Iterator[bytes]:
    """Lines with their newline; the last one may lack it. Raises RecordError for one beyond the limit."""
    rest, number = b"", 0
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            yield _limited(line + b"\n", number, limit_bytes)
        _limited(rest, number + 1, limit_bytes)
    if rest:
        yield rest


def without_blank_end(chunks: Chunks) -> Iterator[bytes]:
    """The chunks of lines without blank ones at the very end, which are no records.

    Not all of what is more than a megabyte of them is found: memory is bounded.
    """
    held, begun = b"", False
    for chunk in chunks:
        held += chunk
        kept = len(held.rstrip(BLANK)) if len(held) <= _MOST_BLANK_BYTES + len(chunk) else len(held)
        if kept:
            yield held[:kept]
            held, begun = held[kept:], True
    if held and begun:
        yield held[: held.find(b"\n") + 1] or held


def split_record_io(chunks: Chunks, limit_bytes: int) -> Iterator[bytes]:
    """RecordIO frames with header and padding; a record in several frames is one record.

    Raises RecordError. Source: contract F.1; dmlc-core, recordio.h (the flag in the length's upper 3 bits).
    """
    reader, number = _Reader(chunks), 0
    while not reader.at_end():
        number += 1
        frames, flag = b"", -1
        while flag not in (_WHOLE, _LAST):
            header = reader.take(_FRAME.size, number)
            magic, length = _FRAME.unpack(header)
            if magic != _MAGIC_NUMBER:
                raise RecordError(number, "is no RecordIO frame: it does not begin with the magic number")
            flag, size = length >> _LENGTH_BITS, length & ((1 << _LENGTH_BITS) - 1)
            if flag not in ((_WHOLE, _FIRST) if not frames else (_MIDDLE, _LAST)):
                raise RecordError(number, "is a part of a record whose other parts are missing")
            _check_size(len(frames) + _FRAME.size + size, number, limit_bytes)
            frames += header + reader.take(_padded(size), number)
        yield frames


def split_tf_record(chunks: Chunks, limit_bytes: int) -> Iterator[bytes]:
    """TFRecord frames: length, its checksum, data, its checksum.

    The length's checksum is compared, since a wrong length misreads all that follows; the data's is the
    model's business. Raises RecordError. Source: TensorFlow, record_writer.h.
    """
    reader, number = _Reader(chunks), 0
    while not reader.at_end():
        number += 1
        header = reader.take(_TF_HEADER.size, number)
        size, checksum = _TF_HEADER.unpack(header)
        if checksum != masked_crc(header[:8]):
            raise RecordError(number, "is no TFRecord: the checksum of its length is wrong")
        _check_size(_TF_HEADER.size + size + _TF_FOOTER_BYTES, number, limit_bytes)
        yield header + reader.take(size + _TF_FOOTER_BYTES, number)


SPLITTERS: Final[Mapping[str, Callable[[Chunks, int], Iterator[bytes]]]] = MappingProxyType(
    {LINE: split_lines, RECORD_IO: split_record_io, TF_RECORD: split_tf_record}
)
"""SplitType -> the function that splits; the second argument is the most bytes of a record, 0: no limit."""


def payload(record: bytes, split_type: str) -> bytes:
    """What a single record is sent as: without newline, header and padding (contract D.3)."""
    if split_type == LINE:
        return record.removesuffix(b"\n").removesuffix(b"\r")
    if split_type == TF_RECORD:
        return record[_TF_HEADER.size : -_TF_FOOTER_BYTES]
    if split_type == RECORD_IO:
        return _MAGIC.join(_frame_data(record))  # parts are cut where the data held the magic number
    return record


def masked_crc(data: bytes) -> int:
    """The CRC-32C of a few bytes, masked as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_CRC_POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _CRC_MASK) & 0xFFFFFFFF


def _frame_data(record: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(record):
        size = _FRAME.unpack_from(record, at)[1] & ((1 << _LENGTH_BITS) - 1)
        at += _FRAME.size
        yield record[at : at + size]
        at += _padded(size)


def _padded(size: int) -> int:
    return (size + 3) & ~3


def _limited(record: bytes, number: int, limit_bytes: int) -> bytes:
    _check_size(len(record), number, limit_bytes)
    return record


def _check_size(size: int, number: int, limit_bytes: int) -> None:
    if limit_bytes and size > limit_bytes:
        raise RecordError(number, too_large(size, limit_bytes))


def too_large(size: int, limit_bytes: int) -> str:
    """What to say of a record (or a whole file) of at least `size` bytes."""
    return f"has {size} bytes or more, which is over MaxPayloadInMB ({limit_bytes >> 20} MB)"


class _Reader:
    """Takes exact numbers of bytes out of chunks of any size."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self._fill(1)

    def take(self, size: int, number: int) -> bytes:
        """The next `size` bytes. Raises RecordError where the stream ends before."""
        if not self._fill(size):
            raise RecordError(number, "is cut off: the input ends in the middle of it")
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _fill(self, size: int) -> bool:
        while len(self._held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._held += chunk
        return True
