"""Files that appear whole or not at all, and never in the place of one that is to be kept."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import BinaryIO, Final, Protocol

from service.errors import ObjectFault
from service.objects.beneath import Spot, folders_below, open_plain, take_after

PART: Final = ".sagebird-part"
"""How the names of unfinished files end."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENDINGS: Final = (".out", ".rejected", ".gz")
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # a file system without hard links


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


@contextmanager
def replacing(spot: Spot, *, keep: bool = False) -> Iterator[Sink]:
    """Write a file that gets its name only when the block ends without an exception.

    Until then it has a temporary name in the same folder, and a lock that ends with this process. The folder
    is not synced: `sync_folders` does that, once for many files. With `keep` nothing is replaced: where the
    name is taken, the file gets the next of its numbered names.

    Raises: ObjectFault.
    """
    with _folder_of(spot) as folder:
        try:
            temporary, descriptor = _create_locked(folder, spot)
        except OSError as error:
            raise _cannot_write(spot, error) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                sink = _File(file, spot)
                yield sink
                sink.finish()
                try:
                    if keep:
                        _publish(folder, temporary, spot.name)
                    else:
                        os.replace(temporary, spot.name, src_dir_fd=folder, dst_dir_fd=folder)
                except OSError as error:
                    raise _cannot_write(spot, error) from error
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise


@contextmanager
def _folder_of(spot: Spot) -> Iterator[int]:
    entered = False
    try:
        with spot.parent.folder(make=True) as folder:
            entered = True
            yield folder
    except OSError as error:
        if entered:
            raise
        raise _cannot_write(spot, error) from error


def numbered(name: str) -> Iterator[str]:
    """The names that files of one name get, one after the other: june.csv, june-2.csv, and so on."""
    stem, ending, last = name, "", _ENDINGS[0]
    while last in _ENDINGS:  # june.csv.gz.out is june and .csv.gz.out
        stem, last = os.path.splitext(stem)
        ending = last + ending
    yield name
    yield from (f"{stem}-{number}{ending}" for number in count(2))


def move_away(source: int, name: str, target: int, wanted: str) -> str:
    """Move a file of the folder `source` to the first free of its numbered names in `target`; tells it.

    Nothing that is there is replaced, whoever else is at it. Raises OSError.
    """
    for free in numbered(wanted):
        if _take(free, target):
            try:
                os.replace(name, free, src_dir_fd=source, dst_dir_fd=target)
            except OSError:
                os.unlink(free, dir_fd=target)
                raise
            return free
    raise AssertionError  # numbers do not end


def _publish(folder: int, temporary: str, wanted: str) -> None:
    """Give a finished file the first free of its numbered names. Raises OSError."""
    for free in numbered(wanted):
        with suppress(FileExistsError):
            try:
                os.link(temporary, free, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
                os.unlink(temporary, dir_fd=folder)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                move_away(folder, temporary, folder, wanted)
            return


def _take(name: str, folder: int) -> bool:
    """Make an empty file of that name, False where there is one."""
    try:
        os.close(os.open(name, _NEW, 0o600, dir_fd=folder))
    except FileExistsError:
        return False
    return True


def _create_locked(folder: int, spot: Spot) -> tuple[str, int]:
    while True:
        temporary = f".{spot.name[:60]}.{secrets.token_hex(6)}{PART}"
        descriptor = os.open(temporary, _NEW, 0o644 if spot.links else 0o600, dir_fd=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            if not spot.links:
                take_after(descriptor, folder)
            return temporary, descriptor
        os.close(descriptor)  # another job took it for abandoned before it was locked


def sync_folders(folders: Iterable[Spot]) -> None:
    """Make the names of files in these folders durable. Raises ObjectFault."""
    for spot in folders:
        try:
            with spot.folder() as folder:
                os.fsync(folder)
        except OSError as error:
            raise _cannot_write(spot, error) from error


def remove_abandoned(spot: Spot) -> None:
    """Remove what killed processes left unfinished below a folder; what is being written is locked."""
    for folder, _, entries in folders_below(spot, lambda error: None):
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(PART):
                _remove_if_abandoned(folder, entry.name)


def remove_unfinished(spot: Spot, identity: tuple[int, ...]) -> None:
    """Remove the write of `spot` whose file is this one, whoever is at it, before it has its name.

    `identity` is its sink's. To be called before `spot` itself is looked at: what got its name meanwhile is
    there then.
    """
    with suppress(OSError), spot.parent.folder() as folder, os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(PART):
                with suppress(OSError):  # it got its name, or went
                    if _identity(entry.stat(follow_symlinks=False)) == identity:
                        os.unlink(entry.name, dir_fd=folder)


def identity_of(spot: Spot) -> tuple[int, ...]:
    """Device, inode, size in bytes and time of change in ns of a file, () where there is none."""
    try:
        return _identity(spot.status())
    except OSError:
        return ()


def is_written(spot: Spot, identity: tuple[int, ...]) -> bool:
    """Whether the file with this identity has its name, or one of its numbered ones."""
    for name in numbered(spot.name):
        found = identity_of(spot.parent / name)
        if found == identity or not found:
            return bool(found)
    raise AssertionError  # numbers do not end


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _remove_if_abandoned(folder: int, name: str) -> None:
    with (
        suppress(OSError),
        os.fdopen(open_plain(folder, name), "rb") as file,
    ):  # locked, or gone
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)


class _File:
    """A temporary file whose failures are worded."""

    def __init__(self, file: BinaryIO, target: Spot) -> None:
        self._file = file
        self._target = target
        self._finished = False

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """Device, inode, size in bytes and time of change in ns. Raises ObjectFault."""
        self.finish()
        return _identity(os.fstat(self._file.fileno()))

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


def _cannot_write(spot: Spot, error: OSError) -> ObjectFault:
    return ObjectFault(f"{spot} cannot be written: {error.strerror or error}.", writing=True)
