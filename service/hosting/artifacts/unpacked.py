"""How much memory a model may take, and how large its file is when unpacked: counted, nothing is kept."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from service.hosting.footprint import SMALLEST_BYTES

_PIECE_BYTES: Final = 2**20
_PACKED_PIECE_BYTES: Final = 2**16
_LZ4: Final = b"\x04\x22\x4d\x18"
_MOST_LZ4_RATIO: Final = 255
_BROKEN: Final = (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError)


class Room(NamedTuple):
    """How much memory a model may take, 0 for any, and the names of its own modules, not to be run here.

    So many `sharers` have its arrays in memory once, of which each counts its part; `built` is told of each
    array and each estimator that is there, as soon as it is.
    """

    most_bytes: int
    own_modules: frozenset[str] = frozenset()
    sharers: int = 1
    built: Callable[[object], None] | None = None


UNLIMITED: Final = Room(0)


def estimate_bytes(folder: Path, most: int, endings: Sequence[str]) -> int:
    """Memory that the model in `folder` will hold, as far as its files tell: their sizes when unpacked.

    Model files are those with one of the `endings`.

    What has more than `most` is counted to a little beyond it.
    """
    files = [file for file in folder.iterdir() if file.name.endswith(tuple(endings)) and file.is_file()]
    return max(sum(unpacked_bytes(file, most) for file in files), SMALLEST_BYTES)


def unpacked_bytes(file: Path, most: int) -> int:
    """Bytes of a model file when unpacked, the file's own size where it is not compressed.

    Counts no further than to a little more than `most`. Of a damaged file as much as can be unpacked: its
    load says what is wrong. Of lz4, which needs a package of its own, the most that it can be.
    """
    size = file.stat().st_size
    with file.open("rb") as packed:
        pieces = _pieces(packed, packed.read(8))
        if pieces is None:
            return size
        total = 0
        try:
            for piece in pieces:
                total += piece
                if total > most:
                    break
        except MemoryError:  # a window of some GiB
            return most + 1
        except _BROKEN:
            return total
    return total


def _pieces(packed: IO[bytes], begin: bytes) -> Iterator[int] | None:
    """The sizes of what is unpacked, piece by piece; None where nothing is packed.

    Source of the first bytes that joblib knows compressed files by: joblib, compressor.py.
    """
    packed.seek(0)
    if begin.startswith(b"x"):
        return _of_zlib(packed)
    if begin.startswith(b"\x1f\x8b"):
        return _of_stream(cast(IO[bytes], gzip.GzipFile(fileobj=packed)))
    if begin.startswith(b"BZ"):
        return _of_stream(bz2.BZ2File(packed))
    if begin.startswith((b"\xfd7zXZ", b"]\x00")):
        return _of_stream(lzma.LZMAFile(packed))
    if begin.startswith(_LZ4):
        return iter([_MOST_LZ4_RATIO * packed.seek(0, 2)])
    return None


def _of_stream(stream: IO[bytes]) -> Iterator[int]:
    while piece := stream.read(_PIECE_BYTES):
        yield len(piece)


def _of_zlib(packed: IO[bytes]) -> Iterator[int]:
    unpacker = zlib.decompressobj()
    while not unpacker.eof and (data := unpacker.unconsumed_tail or packed.read(_PACKED_PIECE_BYTES)):
        yield len(unpacker.decompress(data, _PIECE_BYTES))
