"""The one place that says what an address means: `s3://bucket/key` is a file below the buckets' folder.

Or an object of an S3 server, where one has the buckets.

Addresses come from strangers where `allow_paths` is false: then only s3:// is understood, and nothing leads
out of the buckets' folder, neither words nor links. Whatever the address, only plain files are opened.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from service.errors import ObjectFault, ObjectUnreadable
from service.object_settings import S3Server, copies_in
from service.objects.beneath import Spot, version_of
from service.objects.folders import Folder
from service.objects.objects import ObjectPath, Objects, StoredObject, read_chunks
from service.objects.s3.bucket import S3Bucket
from service.s3uri import parse_s3_uri
from service.settings import DEPLOYMENTS, Settings

_FILE: Final = "file:"
_CALLED: Final = "s3:/"  # what the buckets' folder is called by those who know it by addresses


@dataclass(frozen=True, slots=True)
class Listing:
    """Some of `objects`, in the order of their keys, and the prefix that all these keys begin with."""

    prefix: str
    objects: Objects
    entries: tuple[StoredObject, ...]

    def path(self, entry: StoredObject) -> ObjectPath:
        """Where one of the entries is."""
        return ObjectPath(self.objects, entry.key)


@dataclass(frozen=True, slots=True)
class Afar:
    """An S3 server that has the buckets, and the folder of what is copied from it."""

    server: S3Server
    copies: Path


class Resolver:
    """Objects of this machine; `buckets` is the folder of the s3:// ones, but for those that are `afar`."""

    def __init__(self, buckets: Path, *, allow_paths: bool = False, afar: Afar | None = None) -> None:
        self._buckets = buckets
        self._allow_paths = allow_paths
        self._afar = afar

    def bucket(self, name: str) -> Objects:
        """The objects of a bucket; it need not exist. The name must be one that an address can have."""
        if self._afar is not None and self.is_afar(name):
            return S3Bucket(self._afar.server, name, self._afar.copies)
        return Folder(Spot(self._buckets, called=_CALLED) / name)

    def is_afar(self, bucket: str) -> bool:
        """Whether a bucket's objects are asked for over a network. Those of `sagebird deploy` never are."""
        return self._afar is not None and bucket != DEPLOYMENTS

    def folder(self, name: str) -> Path:
        """Where a bucket lies on this machine, for who puts whole trees there or takes them away at once."""
        return self._buckets / name

    def bucket_at(self, real: Path) -> str | None:
        """The bucket that a path without links lies in, "" for what holds all of them, None for no bucket."""
        folders = [self._buckets] if self._afar is None else [self._buckets, self._afar.copies]
        for folder in map(Path, map(os.path.realpath, folders)):
            if real.is_relative_to(folder):
                return next(iter(real.relative_to(folder).parts), "")
        return None

    def locate(self, address: str) -> ObjectPath:
        """The object or folder that an address means; it need not exist. Raises ObjectFault."""
        uri = parse_s3_uri(address)
        if uri is not None:
            _check_key(uri.key, address)
            return ObjectPath(self.bucket(uri.bucket), uri.key.removesuffix("/"))
        if address.startswith("s3:"):
            raise ObjectFault(f"{address} names no bucket.")
        if not self._allow_paths:
            raise ObjectFault(f"{address} is no address of an object: it must begin with s3://.")
        return ObjectPath(Folder(_named(address)))

    def list(self, address: str, *, below: ObjectPath | None = None) -> Listing:
        """All objects whose key begins with the address's; of a plain folder, all files in it.

        Hidden files of plain folders, unfinished writes, and what lies in the folder `below` are left out.

        Raises: ObjectFault.
        """
        uri = parse_s3_uri(address)
        found = self.locate(address)
        if uri is None:
            listing, complaint = _list_path(address), f"The folder {address} holds no files."
        else:
            listing = Listing(uri.key, found.objects, tuple(found.objects.list(uri.key)))
            complaint = f"No object's key begins with {address}."
        if not listing.entries:
            raise ObjectFault(complaint)
        if below is None:
            return listing
        kept = tuple(entry for entry in listing.entries if not listing.path(entry).is_below(below))
        return Listing(listing.prefix, listing.objects, kept)

    def read(self, address: str) -> bytes:
        """A whole object. Raises ObjectFault."""
        return b"".join(read_chunks(self.locate(address)))


def open_resolver(settings: Settings, *, allow_paths: bool = False) -> Resolver:
    """What addresses mean to a server: that of the settings. Whoever asks for objects asks this one."""
    server = settings.s3_server
    afar = None if server is None else Afar(server, copies_in(settings.data))
    return Resolver(settings.buckets, allow_paths=allow_paths, afar=afar)


def shared_folder(folder: Path) -> ObjectPath:
    """A folder of this machine that others may write to: no link below it is followed."""
    return ObjectPath(Folder(Spot(folder)))


def _named(address: str) -> Spot:
    """What somebody who may read and write there calls so: its links are followed. Raises ObjectFault."""
    if "://" in address and not address.startswith(_FILE):
        raise ObjectFault(f"{address} cannot be read: use s3://bucket/key, file:// or a path.")
    if address.startswith(_FILE):
        address = unquote(urlsplit(address).path)
    if not address or "\0" in address:
        raise ObjectFault(f"{address!r} is no path.")
    return Spot(Path(os.path.abspath(Path(address).expanduser())), links=True)


def _check_key(key: str, address: str) -> None:
    parts = key.removesuffix("/").split("/") if key else []
    if "\0" in key or any(part in ("", ".", "..") for part in parts):
        raise ObjectFault(f"{address}: a key with empty, . or .. between its slashes is not kept here.")
    try:
        os.fsencode(key)
    except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can have it
        raise ObjectFault(f"{address!r} is no name that a file can have.") from None


def _list_path(address: str) -> Listing:
    """A file alone, or all that a folder holds. Raises ObjectFault."""
    spot = _named(address)
    try:
        status = spot.status()
    except FileNotFoundError:
        raise ObjectFault(f"There is no file or folder {address}.") from None
    except OSError as error:
        raise ObjectUnreadable(str(spot), error.strerror or str(error)) from error
    if stat.S_ISREG(status.st_mode):
        alone = StoredObject(spot.name, status.st_size, version_of(status))
        return Listing("", Folder(spot.parent), (alone,))
    if not stat.S_ISDIR(status.st_mode):
        raise ObjectFault(f"There is no file or folder {address}.")
    folder = Folder(spot)
    return Listing("", folder, tuple(folder.list("")))
