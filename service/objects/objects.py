"""The seam between those who work with objects and the places that keep them.

Who reads or writes holds `ObjectPath`s, which `resolver` makes of addresses, and names no kind of place. What
keeps objects implements `Objects`: tests/contracts/test_objects.py says what that has to hold.
"""

import errno
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Final, Protocol, cast

from service.errors import ObjectFault, ObjectUnreadable
from service.objects.beneath import shown

CHUNK_BYTES: Final = 2**18
ABSENT: Final = ""
"""The version of what is not there."""

_BROKEN_GZIP: Final = (gzip.BadGzipFile, EOFError, zlib.error)
_ENDINGS: Final = (".out", ".rejected", ".gz")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its key, its size in bytes, and its version, which is another one for other bytes."""

    key: str
    size_bytes: int
    version: str


class ObjectReader(Protocol):
    """An object that is being read: the same one to its end; where another one gets its key it may fail."""

    @property
    def size_bytes(self) -> int:
        """Its size."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from `start` on, fewer only where it ends. Raises ObjectFault."""
        ...


class Sink(Protocol):
    """An object that is being written."""

    def write(self, data: bytes, /) -> object:
        """Add bytes. Raises ObjectFault: no space left, and the like."""
        ...

    @property
    def version(self) -> str:
        """The version that it has once it has its key, and that no object of other bytes has.

        Raises ObjectFault.
        """
        ...


class Objects(Protocol):
    """Objects by their keys: those of a bucket, or of a folder. Equal ones are the same; can be pickled.

    Keys are texts with slashes, without empty parts. What begins with `key/` lies below the key; the empty
    key is that of what holds all others. Whatever cannot do what it is asked for raises ObjectFault.
    """

    def address(self, key: str) -> str:
        """What the resolver finds it by."""
        ...

    def path(self, key: str) -> Path | None:
        """Where on this machine its file or folder is or would be; None where objects are no files here."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin so, however many, in the order of their keys; only whole ones."""
        ...

    def stat(self, key: str) -> StoredObject | None:
        """The object as it is now, None where there is none."""
        ...

    def open(self, key: str) -> AbstractContextManager[ObjectReader]:
        """Read it, in any order and as little of it as is wanted: nothing else is copied or fetched."""
        ...

    def write(
        self, key: str, *, keep: bool = False, expected: str | None = None
    ) -> AbstractContextManager[Sink]:
        """Write an object that has its key, whole, when the block ends without an exception, else never.

        Its name is durable once `sync` was called. With `keep` nothing is replaced: where the key is taken,
        it gets the next one of its numbered names. With `expected` it takes the place of the object with that
        version alone, with ABSENT of none. Raises ObjectChanged where another one is there, or with `keep`
        comes at the very same moment.
        """
        ...

    def sync(self, key: str) -> None:
        """Make the names of what was written right below the key durable, once for many objects."""
        ...

    def remove(self, key: str) -> None:
        """Remove the object, if it is there."""
        ...

    def fetch(self, key: str) -> Path:
        """Where its bytes, or all objects below the key, can be read on this machine: no link on the way."""
        ...

    def fetched(self, key: str) -> Path | None:
        """What `fetch` told last, None where it was not asked; without asking anybody for it."""
        ...

    def withdraw(self, key: str, version: str) -> None:
        """Have the write of this object whose sink has that version fail, whoever is at it.

        To be called before the object is looked at: what got its key meanwhile is there then.
        """
        ...

    def clear(self, key: str) -> None:
        """Remove what killed processes left unfinished below the key; what is being written stays."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """A key, and the objects that it is one of; nothing need be there."""

    objects: Objects
    key: str = ""

    def __truediv__(self, name: str) -> "ObjectPath":
        """What is called `name` below it."""
        return ObjectPath(self.objects, f"{self.key}/{name}" if self.key else name)

    def __str__(self) -> str:
        """Its address, for people."""
        return shown(self.address)

    @property
    def address(self) -> str:
        """What the resolver finds it by."""
        return self.objects.address(self.key)

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.address.rpartition("/")[2]

    @property
    def parent(self) -> "ObjectPath":
        """What holds it."""
        return ObjectPath(self.objects, self.key.rpartition("/")[0])

    def is_below(self, other: "ObjectPath") -> bool:
        """Whether it lies below the other one, whichever way both are called."""
        return self._place.startswith(other._place.rstrip("/") + "/")

    @property
    def _place(self) -> str:
        return str(self.objects.path(self.key) or self.address)


def find(path: ObjectPath) -> StoredObject:
    """What is at a path. Raises ObjectUnreadable where nothing is."""
    found = path.objects.stat(path.key)
    if found is None:
        raise ObjectUnreadable(str(path), os.strerror(errno.ENOENT))
    return found


def read_chunks(path: ObjectPath, *, unpack: bool = False, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The bytes of an object, unpacked from gzip if asked for. Raises ObjectFault."""
    with path.objects.open(path.key) as reader:
        stream = _Stream(reader)
        if not unpack:
            yield from iter(lambda: stream.read(size), b"")
            return
        try:
            packed = gzip.GzipFile(fileobj=cast(IO[bytes], stream))  # of which it asks `read` alone
            yield from iter(lambda: packed.read(size), b"")
        except _BROKEN_GZIP as error:
            raise ObjectFault(f"{path} is not a whole gzip file.") from error


def sync(paths: Iterable[ObjectPath]) -> None:
    """Make the names of what was written right below these durable. Raises ObjectFault."""
    for path in paths:
        path.objects.sync(path.key)


def numbered(name: str) -> Iterator[str]:
    """The names that objects of one name get, one after the other: june.csv, june-2.csv, and so on."""
    stem, ending, last = name, "", _ENDINGS[0]
    while last in _ENDINGS:  # june.csv.gz.out is june and .csv.gz.out
        stem, last = os.path.splitext(stem)
        ending = last + ending
    yield name
    yield from (f"{stem}-{number}{ending}" for number in count(2))


def is_written(path: ObjectPath, version: str) -> bool:
    """Whether the object of this version has its key, or one of its numbered ones."""
    for name in numbered(path.name):
        found = _version_at(path.parent / name)
        if found in (version, ABSENT):
            return found != ABSENT
    raise AssertionError  # numbers do not end


def _version_at(path: ObjectPath) -> str:
    try:
        found = path.objects.stat(path.key)
    except ObjectFault:  # a folder, a link: no object
        return ABSENT
    return ABSENT if found is None else found.version


class _Stream:
    """An object from its beginning to its end."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes, none at its end. Raises ObjectFault."""
        data = self._reader.read(self._at, size)
        self._at += len(data)
        return data
