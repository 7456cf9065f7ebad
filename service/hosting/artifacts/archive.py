"""Unpacks archives that come from strangers: never outside their own folder, never more than the limits."""

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from service.media.tables import quoted
from service.objects.beneath import Spot

_RATIO_FROM_BYTES: Final = 100 * 2**20
# One member's headers: pax records and long names are read into memory as a whole.
_MAX_HEADER_BYTES: Final = 2**20
_USUAL_HEADER_BYTES: Final = 4096
_CHUNK_BYTES: Final = 2**18
_MAX_DEPTH: Final = 64
_MAX_PATH_BYTES: Final = 2048
_MAX_NAME_BYTES: Final = 255  # as file systems have it
_MAX_LINKS_ON_THE_WAY: Final = 40  # as Linux has it
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
    """Unpack a gzip tar archive into an empty folder. Links that lead to what it holds itself are kept.

    Raises: NotAllowedError where it is damaged, hostile or over the limits; OSError.
    """
    try:
        with os.fdopen(Spot(path).open(), "rb") as packed, gzip.GzipFile(fileobj=packed) as stream:
            rules = _Rules(limits, os.fstat(packed.fileno()).st_size)
            meter = _Meter(stream)
            _extract_members(meter, into, rules, limits.max_members)
            _check_end(meter)
    except _BROKEN as error:
        said = str(error).partition(" (b")[0]  # where it goes on to quote the file
        raise NotAllowedError(f"is not a readable gzip tar archive: {said}") from error


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
        self._links: dict[PurePosixPath, PurePosixPath] = {}

    def admit(self, member: tarfile.TarInfo) -> PurePosixPath:
        """The member's path below the archive's folder, `.` for that folder itself."""
        self._count += 1
        if self._count > self._limits.max_members:
            raise NotAllowedError(f"holds more than {self._limits.max_members} members")
        name = _safe_name(member)
        if any(parent in self._links for parent in name.parents):
            raise NotAllowedError(f"holds {quoted(member.name)}, which lies below a link")
        if name in self._is_folder and not (member.isdir() and self._is_folder[name]):
            raise NotAllowedError(f"holds {quoted(member.name)} twice")
        if member.issym() or member.islnk():
            # A symbolic link tells the way from its own folder, a hard link from the top.
            around = name.parent if member.issym() else PurePosixPath()
            self._links[name] = _way(member, around)
        self._is_folder[name] = member.isdir()
        self._bytes += member.size if member.isreg() else 0
        if self._bytes > self._limits.max_bytes:
            raise NotAllowedError(f"holds more than {self._limits.max_bytes} bytes")
        if self._bytes > max(_RATIO_FROM_BYTES, self._limits.max_ratio * self._packed_bytes):
            raise NotAllowedError(f"unpacks to more than {self._limits.max_ratio:g} times its size")
        return name

    def links(self) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
        """Each link and what it comes to, a file or folder of the archive with no link on the way there."""
        for name, way in self._links.items():
            yield name, self._follow(name, way)

    def _follow(self, name: PurePosixPath, way: PurePosixPath) -> PurePosixPath:
        refused = NotAllowedError(f"holds {quoted(str(name))}, which is a link that leads out of it")
        at: list[str] = []
        left = list(reversed(way.parts))
        followed = 0
        while left:
            part = left.pop()
            if part == "..":
                if not at:
                    raise refused
                at.pop()
                continue
            at.append(part)
            link = self._links.get(PurePosixPath(*at))
            if link is not None:
                followed += 1
                if followed > _MAX_LINKS_ON_THE_WAY:
                    raise NotAllowedError(f"holds {quoted(str(name))}, which is a link to itself")
                at = []
                left += reversed(link.parts)
        target = PurePosixPath(*at)
        if target in name.parents or target == PurePosixPath():
            raise NotAllowedError(f"holds {quoted(str(name))}, which is a link to a folder around it")
        return target


def _way(member: tarfile.TarInfo, around: PurePosixPath) -> PurePosixPath:
    """The way that a link takes from the top, which may hold `..`."""
    way = PurePosixPath(member.linkname)
    if way.is_absolute() or not member.linkname or "\\" in member.linkname or "\0" in member.linkname:
        raise NotAllowedError(f"holds {quoted(member.name)}, which is a link that leads out of it")
    return around / way


def _safe_name(member: tarfile.TarInfo) -> PurePosixPath:
    shown, name = quoted(member.name), PurePosixPath(member.name)
    is_link = member.issym() or member.islnk()
    if not (member.isdir() or member.isreg() or is_link) or member.issparse() or member.size < 0:
        raise NotAllowedError(f"holds {shown}, which is neither a plain file nor a folder")
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        raise NotAllowedError(f"holds {shown}, which lies outside of its folder")
    if not name.parts and not member.isdir():
        raise NotAllowedError("holds a file without a name")
    if len(name.parts) > _MAX_DEPTH:
        raise NotAllowedError(f"holds folders more than {_MAX_DEPTH} deep")
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in name.parts]
    if sum(sizes) > _MAX_PATH_BYTES or max(sizes, default=0) > _MAX_NAME_BYTES:
        raise NotAllowedError(f"holds a name that is too long: {shown}")
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
            if member.issym() or member.islnk():
                continue
            try:
                (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
                if member.isreg():
                    meter.grant(member.size, "has a damaged member")
                    content = cast(IO[bytes], archive.extractfile(member))  # None only for no plain file
                    with target.open("xb") as file:  # never an existing file, never through a link
                        shutil.copyfileobj(content, file, _CHUNK_BYTES)
            except (FileExistsError, NotADirectoryError) as error:
                raise NotAllowedError(
                    f"holds {quoted(member.name)}, where a file and a folder would have the same name"
                ) from error
    _make_links(into, rules)


def _make_links(into: Path, rules: _Rules) -> None:
    """Make what was put off until all was there, so that nothing was ever written through a link."""
    links = list(rules.links())
    for name, target in links:
        if not (into / target).exists():
            raise NotAllowedError(
                f"holds {quoted(str(name))}, which is a link to {quoted(str(target))}: it is not there"
            )
    for name, target in links:
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).symlink_to(os.path.relpath(target, name.parent))


def _check_end(meter: _Meter) -> None:
    """Tarfile takes a damaged header for the end, and gzip checks its sum only when all was read."""
    if any(meter.last) or len(meter.last) % tarfile.BLOCKSIZE:
        raise tarfile.ReadError("a header is damaged")
    meter.grant(_MAX_HEADER_BYTES, "has too much behind its end")
    while rest := meter.read(_CHUNK_BYTES):
        if any(rest):
            raise NotAllowedError("has more files or other bytes behind its end")
