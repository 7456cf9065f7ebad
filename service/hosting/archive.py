"""Unpacks archives that come from strangers: never outside their own folder, never more than the limits."""

import gzip
import io
import os
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from service.hosting.tables import quoted

_RATIO_FROM_BYTES: Final = 100 * 2**20
# One member's headers: pax records and long names are read into memory as a whole.
_MAX_HEADER_BYTES: Final = 2**20
_USUAL_HEADER_BYTES: Final = 4096
_CHUNK_BYTES: Final = 2**18
_BROKEN: Final = (gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error, RecursionError, ValueError)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one archive or folder may hold; the ratio of unpacked to packed bytes counts above 100 MiB."""

    max_bytes: int
    max_members: int
    max_ratio: float


class NotAllowedError(Exception):
    """An archive breaks a rule; the text completes the sentence that begins with the archive's name."""


def extract(path: Path, into: Path, limits: Limits) -> None:
    """Unpack a gzip tar archive into an empty folder.

    Raises: NotAllowedError where it is damaged, hostile or over the limits.
    """
    try:
        with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
            rules = _Rules(limits, os.fstat(packed.fileno()).st_size)
            meter = _Meter(stream)
            _extract_members(meter, into, rules, limits.max_members)
            _check_end(meter)
    except _BROKEN as error:
        raise NotAllowedError(f"is not a readable gzip tar archive: {error}") from error


class _Meter(io.RawIOBase):
    """A forward-only stream that yields no more bytes than were granted, whatever a header claims."""

    def __init__(self, source: gzip.GzipFile) -> None:
        super().__init__()
        self._source = source
        self._position = 0
        self._granted = 0
        self._complaint = ""
        self.last = b""

    def grant(self, size: int, complaint: str) -> None:
        """Allow `size` bytes from here on; whoever wants more fails with the complaint."""
        self._granted = size
        self._complaint = complaint

    def read(self, size: int = -1, /) -> bytes:
        most = self._granted + 1
        self.last = self._source.read(most if size < 0 else min(size, most))
        self._position += len(self.last)
        self._granted -= len(self.last)
        if self._granted < 0:
            raise NotAllowedError(self._complaint)
        return self.last

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence != os.SEEK_SET or offset < self._position:
            raise tarfile.StreamError("a header points backwards")
        while self._position < offset and self.read(min(offset - self._position, _CHUNK_BYTES)):
            pass
        return self._position

    def tell(self) -> int:
        return self._position


class _Rules:
    """What was admitted of one archive so far, and whether its next member may be written."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._packed_bytes = packed_bytes
        self._bytes = 0
        self._count = 0
        self._is_folder: dict[PurePosixPath, bool] = {}

    def admit(self, member: tarfile.TarInfo) -> PurePosixPath:
        """The member's path below the archive's folder, `.` for that folder itself."""
        self._count += 1
        if self._count > self._limits.max_members:
            raise NotAllowedError(f"holds more than {self._limits.max_members} members")
        name = _safe_name(member)
        if name in self._is_folder and not (member.isdir() and self._is_folder[name]):
            raise NotAllowedError(f"holds {quoted(member.name)} twice")
        self._is_folder[name] = member.isdir()
        self._bytes += 0 if member.isdir() else member.size
        if self._bytes > self._limits.max_bytes:
            raise NotAllowedError(f"holds more than {self._limits.max_bytes} bytes")
        if self._bytes > max(_RATIO_FROM_BYTES, self._limits.max_ratio * self._packed_bytes):
            raise NotAllowedError(f"unpacks to more than {self._limits.max_ratio:g} times its size")
        return name


def _safe_name(member: tarfile.TarInfo) -> PurePosixPath:
    shown, name = quoted(member.name), PurePosixPath(member.name)
    if member.issym() or member.islnk():
        raise NotAllowedError(f"holds {shown}, which is a link; models are plain files and folders")
    if not (member.isdir() or member.isreg()) or member.issparse() or member.size < 0:
        raise NotAllowedError(f"holds {shown}, which is neither a plain file nor a folder")
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        raise NotAllowedError(f"holds {shown}, which lies outside of its folder")
    if not name.parts and not member.isdir():
        raise NotAllowedError("holds a file without a name")
    return name


def _extract_members(meter: _Meter, into: Path, rules: _Rules, max_members: int) -> None:
    headers_left = _MAX_HEADER_BYTES + _USUAL_HEADER_BYTES * max_members
    meter.grant(_MAX_HEADER_BYTES, "has a header that is too long")
    with tarfile.open(fileobj=meter, mode="r:") as archive:
        while True:
            start = meter.tell()
            meter.grant(min(_MAX_HEADER_BYTES, headers_left), "has a header that is too long")
            member = archive.next()
            if member is None:
                break
            headers_left -= meter.tell() - start
            target = into / rules.admit(member)
            (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
            if member.isreg():
                meter.grant(member.size, "has a damaged member")
                content = cast(IO[bytes], archive.extractfile(member))  # None only for what is no plain file
                with target.open("xb") as file:  # never an existing file, never through a link
                    shutil.copyfileobj(content, file, _CHUNK_BYTES)


def _check_end(meter: _Meter) -> None:
    """Tarfile takes a damaged header for the end, and gzip checks its sum only when all was read."""
    if any(meter.last) or len(meter.last) % tarfile.BLOCKSIZE:
        raise tarfile.ReadError("a header is damaged")
    meter.grant(_MAX_HEADER_BYTES, "has too much behind its end")
    while rest := meter.read(_CHUNK_BYTES):
        if any(rest):
            raise NotAllowedError("has more files or other bytes behind its end")
