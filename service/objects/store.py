"""Reading and listing by address, and writing so that a file appears whole or not at all.

`s3://bucket/key` is a file below the buckets' folder. Addresses come from strangers where `allow_paths` is
false: then only s3:// is understood, and no address leads out of the buckets' folder by its words.
"""

import fcntl
import gzip
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast
from urllib.parse import unquote, urlsplit

from service.errors import ObjectFault
from service.s3uri import S3Uri, parse_s3_uri

CHUNK_BYTES: Final = 2**18

_PART: Final = ".sagebird-part"
_FILE: Final = "file:"
_BROKEN_GZIP: Final = (gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: its key below the place that was listed, its file and its size in bytes."""

    key: str
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects in the order of their keys, and the prefix that all these keys begin with."""

    prefix: str
    entries: tuple[Entry, ...]


class Sink(Protocol):
    """A file that is being written."""

    def write(self, data: bytes, /) -> object:
        """Add bytes. Raises ObjectFault: no space left, and the like."""
        ...

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """Device, inode, size in bytes and time of change in ns: the file's own, also under its final name.

        Raises ObjectFault.
        """
        ...


class ObjectStore:
    """Objects of this machine; `buckets` is the folder of the s3:// ones."""

    def __init__(self, buckets: Path, *, allow_paths: bool) -> None:
        self._buckets = buckets
        self._allow_paths = allow_paths

    def list(self, address: str, *, below: Path | None = None) -> Listing:
        """All objects whose key begins with the address's; of a plain folder, all files in it.

        Hidden files of plain folders, unfinished writes, and what lies in the folder `below` are left out.

        Raises: ObjectFault.
        """
        uri = parse_s3_uri(address)
        if uri is None:
            listing = _list_path(self.locate(address), address)
        else:
            listing = self._list_bucket(uri, address)
        if below is None:
            return listing
        return Listing(
            listing.prefix, tuple(entry for entry in listing.entries if below not in entry.path.parents)
        )

    def locate(self, address: str) -> Path:
        """The file or folder that an address means; it need not exist. Raises ObjectFault."""
        uri = parse_s3_uri(address)
        if uri is not None:
            _check_key(uri.key, address)
            return self._buckets / uri.bucket / uri.key
        if address.startswith("s3:"):
            raise ObjectFault(f"{address} names no bucket.")
        if not self._allow_paths:
            raise ObjectFault(f"{address} is no address of an object: it must begin with s3://.")
        if "://" in address and not address.startswith(_FILE):
            raise ObjectFault(f"{address} cannot be read: use s3://bucket/key, file:// or a path.")
        if address.startswith(_FILE):
            address = unquote(urlsplit(address).path)
        if not address or "\0" in address:
            raise ObjectFault(f"{address!r} is no path.")
        return Path(os.path.abspath(Path(address).expanduser()))

    def read(self, address: str) -> bytes:
        """A whole object. Raises ObjectFault."""
        return b"".join(read_chunks(self.locate(address)))

    def _list_bucket(self, uri: S3Uri, address: str) -> Listing:
        prefix = uri.key
        _check_key(prefix, address)
        root = self._buckets / uri.bucket
        if not root.is_dir():
            raise ObjectFault(f"There is no bucket {uri.bucket}: it would be the folder {root}.")
        start = prefix[: prefix.rfind("/") + 1]
        found = (
            Entry(start + name, path, size)
            for name, path, size in _walk(root / start if start else root, hidden=True)
            if (start + name).startswith(prefix)
        )
        return _listing(prefix, found, f"No object's key begins with {address}.")


def read_chunks(path: Path, *, unpack: bool = False, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a file, unpacked from gzip if asked for. Raises ObjectFault."""
    try:
        with path.open("rb") as file:
            source = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if unpack else file
            while chunk := source.read(size):
                yield chunk
    except _BROKEN_GZIP as error:
        raise ObjectFault(f"{path} is not a whole gzip file: {error}.") from error
    except OSError as error:
        raise ObjectFault(f"{path} cannot be read: {error.strerror or error}.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Sink]:
    """Write a file that gets its name only when the block ends without an exception.

    Until then it has a temporary name in the same folder, and a lock that ends with this process. The folder
    is not synced: `sync_folders` does that, once for many files.

    Raises: ObjectFault.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, descriptor = _create_locked(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            sink = _File(file, path)
            yield sink
            sink.finish()
            try:
                temporary.replace(path)
            except OSError as error:
                raise _cannot_write(path, error) from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _create_locked(path: Path) -> tuple[Path, int]:
    while True:
        temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}{_PART}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another job took it for abandoned before it was locked


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names of files in these folders durable. Raises ObjectFault."""
    for folder in folders:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _cannot_write(folder, error) from error


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left unfinished below a folder; what is being written is locked."""
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(_PART):
                _remove_if_abandoned(Path(place, name))


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError), path.open("rb") as file:  # locked by its writer, or gone meanwhile
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _check_key(key: str, address: str) -> None:
    parts = key.removesuffix("/").split("/") if key else []
    if "\0" in key or any(part in ("", ".", "..") for part in parts):
        raise ObjectFault(f"{address}: a key with empty, . or .. between its slashes is not kept here.")


class _File:
    """A temporary file whose failures are worded."""

    def __init__(self, file: BinaryIO, target: Path) -> None:
        self._file = file
        self._target = target
        self._finished = False

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """Device, inode, size in bytes and time of change in ns. Raises ObjectFault."""
        self.finish()
        status = os.fstat(self._file.fileno())
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def write(self, data: bytes, /) -> None:
        """Add bytes. Raises ObjectFault."""
        self._finished = False
        try:
            self._file.write(data)
        except OSError as error:
            raise _cannot_write(self._target, error) from error

    def finish(self) -> None:
        """Bring everything to the disk. Raises ObjectFault."""
        if self._finished:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot_write(self._target, error) from error
        self._finished = True


def _list_path(path: Path, address: str) -> Listing:
    if path.is_file():
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ObjectFault(f"{path} cannot be read: {error.strerror or error}.") from error
        return Listing("", (Entry(path.name, path, size),))
    if not path.is_dir():
        raise ObjectFault(f"There is no file or folder {address}.")
    found = (Entry(name, file, size) for name, file, size in _walk(path, hidden=False))
    return _listing("", found, f"The folder {address} holds no files.")


def _listing(prefix: str, found: Iterable[Entry], complaint: str) -> Listing:
    entries = tuple(sorted(found, key=lambda entry: entry.key))
    if not entries:
        raise ObjectFault(complaint)
    return Listing(prefix, entries)


def _walk(folder: Path, *, hidden: bool) -> Iterator[tuple[str, Path, int]]:
    """Name below the folder, path and size of every file; no file that is still being written."""
    places, seen = [(folder, "")], set()
    while places:
        place, prefix = places.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue  # a link back to where the walk has been
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith(".") and (not hidden or entry.name.endswith(_PART)):
                        continue
                    if entry.is_dir():
                        places.append((Path(entry.path), f"{prefix}{entry.name}/"))
                    elif entry.is_file():
                        yield prefix + entry.name, Path(entry.path), entry.stat().st_size
        except FileNotFoundError:
            continue  # a prefix that nothing begins with, or a folder that went meanwhile
        except OSError as error:
            raise ObjectFault(f"{place} cannot be read: {error.strerror or error}.") from error


def _cannot_write(path: Path, error: OSError) -> ObjectFault:
    return ObjectFault(f"{path} cannot be written: {error.strerror or error}.", writing=True)
