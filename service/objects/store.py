"""Reading and listing by address.

`s3://bucket/key` is a file below the buckets' folder. Addresses come from strangers where `allow_paths` is
false: then only s3:// is understood, and nothing leads out of the buckets' folder, neither words nor links.
Whatever the address, only plain files are opened.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

from service.errors import ObjectFault
from service.objects.beneath import Spot, folders_below, shown
from service.objects.writing import PART
from service.s3uri import S3Uri, parse_s3_uri

CHUNK_BYTES: Final = 2**18

_FILE: Final = "file:"
BUCKETS_CALLED: Final = "s3:/"
"""What callers know the buckets' folder as."""
_BROKEN_GZIP: Final = (gzip.BadGzipFile, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its key below the place that was listed, its file and its size in bytes."""

    key: str
    spot: Spot
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects in the order of their keys, and the prefix that all these keys begin with."""

    prefix: str
    entries: tuple[StoredObject, ...]


class ObjectStore:
    """Objects of this machine; `buckets` is the folder of the s3:// ones."""

    def __init__(self, buckets: Path, *, allow_paths: bool) -> None:
        self._buckets = buckets
        self._allow_paths = allow_paths

    def list(self, address: str, *, below: Spot | None = None) -> Listing:
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
            listing.prefix, tuple(entry for entry in listing.entries if not entry.spot.is_below(below))
        )

    def locate(self, address: str) -> Spot:
        """The file or folder that an address means; it need not exist. Raises ObjectFault."""
        uri = parse_s3_uri(address)
        if uri is not None:
            _check_key(uri.key, address)
            bucket = Spot(self._buckets, called=BUCKETS_CALLED) / uri.bucket
            return bucket / key if (key := uri.key.removesuffix("/")) else bucket
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
        return Spot(Path(os.path.abspath(Path(address).expanduser())), links=True)

    def read(self, address: str) -> bytes:
        """A whole object. Raises ObjectFault."""
        return b"".join(read_chunks(self.locate(address)))

    def _list_bucket(self, uri: S3Uri, address: str) -> Listing:
        prefix = uri.key
        _check_key(prefix, address)
        root = Spot(self._buckets, called=BUCKETS_CALLED) / uri.bucket
        try:
            if not stat.S_ISDIR(root.status().st_mode):
                raise ObjectFault(f"There is no bucket {uri.bucket}: what is there is a link or a file.")
        except OSError:
            raise ObjectFault(
                f"There is no bucket {uri.bucket}: it would be the folder {_ending(root)}."
            ) from None
        start = prefix[: prefix.rfind("/") + 1]
        found = (
            StoredObject(start + name, spot, size)
            for name, spot, size in _walk(root / start[:-1] if start else root, hidden=True)
            if (start + name).startswith(prefix)
        )
        return _listing(prefix, found, f"No object's key begins with {address}.")


def read_chunks(spot: Spot, *, unpack: bool = False, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of a file, unpacked from gzip if asked for. Raises ObjectFault."""
    try:
        with os.fdopen(spot.open(), "rb") as file:
            source = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if unpack else file
            while chunk := source.read(size):
                yield chunk
    except _BROKEN_GZIP as error:
        raise ObjectFault(f"{spot} is not a whole gzip file.") from error
    except OSError as error:
        raise cannot_read(spot, error) from error


def _check_key(key: str, address: str) -> None:
    parts = key.removesuffix("/").split("/") if key else []
    if "\0" in key or any(part in ("", ".", "..") for part in parts):
        raise ObjectFault(f"{address}: a key with empty, . or .. between its slashes is not kept here.")
    try:
        os.fsencode(key)
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can have it
        raise ObjectFault(f"{address!r} is no name that a file can have.") from None


def _list_path(spot: Spot, address: str) -> Listing:
    try:
        status = spot.status()
    except FileNotFoundError:
        raise ObjectFault(f"There is no file or folder {address}.") from None
    except OSError as error:
        raise cannot_read(spot, error) from error
    if stat.S_ISREG(status.st_mode):
        return Listing("", (StoredObject(spot.name, spot, status.st_size),))
    if not stat.S_ISDIR(status.st_mode):
        raise ObjectFault(f"There is no file or folder {address}.")
    return _listing(
        "",
        (StoredObject(*found) for found in _walk(spot, hidden=False)),
        f"The folder {address} holds no files.",
    )


def _listing(prefix: str, found: Iterable[StoredObject], complaint: str) -> Listing:
    entries = tuple(sorted(found, key=lambda entry: entry.key))
    if not entries:
        raise ObjectFault(complaint)
    return Listing(prefix, entries)


def _walk(spot: Spot, *, hidden: bool) -> Iterator[tuple[str, Spot, int]]:
    """Name below the folder, place and size of every plain file; no file that is still being written."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a prefix that nothing begins with, or gone meanwhile
            raise cannot_read(spot, error) from error

    for _, prefix, entries in folders_below(spot, refuse, hidden=hidden):
        for entry in entries:
            if entry.name.startswith(".") and (not hidden or entry.name.endswith(PART)):
                continue
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=spot.links):
                    name = prefix + entry.name
                    yield name, spot / name, entry.stat(follow_symlinks=spot.links).st_size


def cannot_read(spot: Spot, error: OSError) -> ObjectFault:
    """The fault of a file that cannot be read."""
    return ObjectFault(f"{spot} cannot be read: {error.strerror or error}.")


def _ending(bucket: Spot) -> str:
    """Where a bucket would be, for whoever keeps the data folder; strangers need not know where that lies."""
    return shown("/".join(bucket.path.parts[-3:]))
