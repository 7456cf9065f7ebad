"""Objects that are files below a folder of this machine: a bucket's, or one that somebody names by its path.

A key is a file's name below the folder. In buckets no link is followed, whoever put it there (beneath).
"""

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service.errors import ObjectFault, ObjectUnreadable
from service.objects.beneath import Spot, folders_below, shown, version_of
from service.objects.objects import ObjectReader, Sink, StoredObject
from service.objects.writing import PART, remove_abandoned, remove_unfinished, replacing, sync_folder


@dataclass(frozen=True, slots=True)
class Folder:
    """Implements Objects. The empty key is the folder itself."""

    spot: Spot

    def address(self, key: str) -> str:
        """`s3://bucket/key`, or the path of what has no other name."""
        spot = self._spot(key)
        return "/".join([spot.called, *spot.parts]) if spot.called else str(spot.path)

    def path(self, key: str) -> Path:
        """The file's path, to be shown or compared: who opens it may follow a link."""
        return self._spot(key).path

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every plain file, but none that is being written; nor hidden ones, but in buckets."""
        if self.spot.called:
            self._check_bucket()
        start = prefix[: prefix.rfind("/") + 1]
        found = (
            StoredObject(start + name, status.st_size, version_of(status))
            for name, status in _walk(self._spot(start[:-1]), hidden=not self.spot.links)
            if (start + name).startswith(prefix)
        )
        return iter(sorted(found, key=lambda each: each.key))

    def stat(self, key: str) -> StoredObject | None:
        """The plain file of that name. Raises ObjectUnreadable where it is anything else."""
        spot = self._spot(key)
        try:
            status = spot.status()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _cannot_read(spot, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise ObjectUnreadable(str(spot), "it is no plain file")
        return StoredObject(key, status.st_size, version_of(status))

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        """Open the file."""
        spot = self._spot(key)
        try:
            descriptor = spot.open()
        except OSError as error:
            raise _cannot_read(spot, error) from error
        try:
            yield _FileReader(descriptor, spot)
        finally:
            os.close(descriptor)

    def write(
        self, key: str, *, keep: bool = False, expected: str | None = None
    ) -> AbstractContextManager[Sink]:
        """Write a file under a temporary name beside its own."""
        return replacing(self._spot(key), keep=keep, expected=expected)

    def sync(self, key: str) -> None:
        """Sync the folder of that name."""
        sync_folder(self._spot(key))

    def remove(self, key: str) -> None:
        """Remove the file."""
        spot = self._spot(key)
        try:
            spot.remove()
        except OSError as error:
            raise ObjectFault(
                f"{spot} cannot be removed: {error.strerror or error}.", writing=True
            ) from error

    def fetch(self, key: str) -> Path:
        """The file or folder itself, below what the folder is, wherever links in it lead."""
        spot = self._spot(key)
        try:
            around = Path(os.path.realpath(self.spot.path, strict=True))
            real = Path(os.path.realpath(spot.path, strict=True))
        except OSError as error:
            raise _cannot_read(spot, error) from error
        if key and around not in real.parents:
            raise ObjectUnreadable(str(spot), "it is a link that leads elsewhere")
        return real

    def fetched(self, key: str) -> Path | None:
        """The same, if it is there."""
        with suppress(ObjectFault):
            return self.fetch(key)
        return None

    def withdraw(self, key: str, version: str) -> None:
        """Remove the temporary file."""
        remove_unfinished(self._spot(key), version)

    def clear(self, key: str) -> None:
        """Remove temporary files that nobody has locked."""
        remove_abandoned(self._spot(key))

    def _spot(self, key: str) -> Spot:
        if not key:
            return self.spot
        try:
            os.fsencode(key)
            return self.spot / key
        except UnicodeEncodeError:  # half of a pair of surrogates, as JSON can have it
            raise ObjectFault(f"{key!r} is no name that a file can have.") from None
        except ValueError as error:
            raise ObjectFault(f"{error}.") from error

    def _check_bucket(self) -> None:
        name, ending = self.spot.name, shown("/".join(self.spot.path.parts[-3:]))
        try:
            status = self.spot.status()
        except OSError:  # strangers need not know where the data folder lies
            raise ObjectFault(f"There is no bucket {name}: it would be the folder {ending}.") from None
        if not stat.S_ISDIR(status.st_mode):
            raise ObjectFault(f"There is no bucket {name}: what is there is a link or a file.")


class _FileReader:
    """A file that is open."""

    def __init__(self, descriptor: int, spot: Spot) -> None:
        self._descriptor = descriptor
        self._spot = spot
        status = os.fstat(descriptor)
        self.size_bytes = status.st_size
        self.version = version_of(status)

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the file, at once as far as the system gives them. Raises ObjectUnreadable."""
        try:
            data = os.pread(self._descriptor, size, start)
            while len(data) < size:  # a call reads 2 GiB at most
                more = os.pread(self._descriptor, size - len(data), start + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise _cannot_read(self._spot, error) from error
        return data


def _walk(spot: Spot, *, hidden: bool) -> Iterator[tuple[str, os.stat_result]]:
    """Name below the folder and status of every plain file; no file that is still being written."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a prefix that nothing begins with, or gone meanwhile
            raise _cannot_read(spot, error) from error

    for _, prefix, entries in folders_below(spot, refuse, hidden=hidden):
        for entry in entries:
            if entry.name.startswith(".") and (not hidden or entry.name.endswith(PART)):
                continue
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=spot.links):
                    yield prefix + entry.name, entry.stat(follow_symlinks=spot.links)


def _cannot_read(spot: Spot, error: OSError) -> ObjectUnreadable:
    return ObjectUnreadable(str(spot), error.strerror or str(error))
