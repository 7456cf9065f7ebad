"""Files that appear whole or not at all, and never in the place of one that is to be kept."""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

from service.errors import ObjectChanged, ObjectFault
from service.objects.beneath import Spot, folders_below, open_plain, take_after, version_of
from service.objects.objects import ABSENT, Sink, numbered
from service.objects.trail import Trail

PART: Final = ".sagebird-part"
"""How the names of unfinished files end."""

_MOST_BEGINNING_BYTES: Final = 60  # of a name that is seen in the temporary one
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)  # a file system without hard links


@contextmanager
def replacing(spot: Spot, *, keep: bool = False, expected: str | None = None) -> Iterator[Sink]:
    """Write a file that gets its name only when the block ends without an exception.

    Until then it has a temporary name in the same folder, and a lock that ends with this process. The folder
    is not synced: `sync_folder` does that, once for many files. `keep` and `expected` are those of
    `Objects.write`.

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
                    elif expected is None:
                        os.replace(temporary, spot.name, src_dir_fd=folder, dst_dir_fd=folder)
                    else:
                        _exchange(folder, temporary, spot, expected)
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


def move_away(source: int, name: str, target: int, wanted: str) -> str:
    """Move a file of the folder `source` to the first free of its numbered names in `target`; tells it.

    Nothing that is there is replaced, whoever else is at it. Raises OSError.
    """
    for free in numbered(wanted):
        if _take(free, target):
            _move_onto(source, name, target, free)
            return free
    raise AssertionError  # numbers do not end


def _publish(folder: int, temporary: str, wanted: str) -> None:
    """Give a finished file the first free of its numbered names. Raises OSError."""
    for free in numbered(wanted):
        with suppress(FileExistsError):
            _name_new(folder, temporary, free)
            return


def _exchange(folder: int, temporary: str, spot: Spot, expected: str) -> None:
    """Give a finished file its name in place of the one with that version. Raises OSError, ObjectChanged.

    Who else exchanges waits; who writes without asking what is there may still come in between.
    """
    if expected == ABSENT:
        try:
            _name_new(folder, temporary, spot.name)
        except FileExistsError:
            raise ObjectChanged(str(spot)) from None
        return
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        found = version_of(os.stat(spot.name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        found = ABSENT
    if found != expected:
        raise ObjectChanged(str(spot))
    os.replace(temporary, spot.name, src_dir_fd=folder, dst_dir_fd=folder)


def _name_new(folder: int, temporary: str, name: str) -> None:
    """Give a finished file a name that no other has. Raises OSError, FileExistsError where one has it."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not _take(name, folder):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from None
        _move_onto(folder, temporary, folder, name)
    else:
        os.unlink(temporary, dir_fd=folder)


def _move_onto(source: int, name: str, target: int, taken: str) -> None:
    """Put a file in the place of an empty one, which goes where that fails. Raises OSError."""
    try:
        os.replace(name, taken, src_dir_fd=source, dst_dir_fd=target)
    except OSError:
        os.unlink(taken, dir_fd=target)
        raise


def _take(name: str, folder: int) -> bool:
    """Make an empty file of that name, False where there is one."""
    try:
        os.close(os.open(name, _NEW, 0o600, dir_fd=folder))
    except FileExistsError:
        return False
    return True


def _create_locked(folder: int, spot: Spot) -> tuple[str, int]:
    while True:
        beginning = os.fsdecode(os.fsencode(spot.name)[:_MOST_BEGINNING_BYTES])
        temporary = f".{beginning}.{secrets.token_hex(6)}{PART}"
        descriptor = os.open(temporary, _NEW, 0o644 if spot.links else 0o600, dir_fd=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            if not spot.links:
                take_after(descriptor, folder)
            return temporary, descriptor
        os.close(descriptor)  # another job took it for abandoned before it was locked


def sync_folder(spot: Spot) -> None:
    """Make the names of the files in a folder durable. Raises ObjectFault."""
    try:
        with spot.folder() as folder:
            os.fsync(folder)
    except OSError as error:
        raise _cannot_write(spot, error) from error


def remove_abandoned(spot: Spot) -> None:
    """Remove what killed processes left unfinished below a folder; what is being written is locked."""
    for folder, _, entries in folders_below(spot, lambda error: None):
        _remove_those_abandoned(folder, entries)


def remove_abandoned_in(spot: Spot) -> None:
    """The same for what is in the folder itself. Raises OSError where it cannot be read."""
    with spot.folder() as folder, os.scandir(folder) as entries:
        _remove_those_abandoned(folder, entries)


def _remove_those_abandoned(folder: int, entries: Iterable["os.DirEntry[str]"]) -> None:
    for entry in entries:
        if entry.name.startswith(".") and entry.name.endswith(PART):
            _remove_if_abandoned(folder, entry.name)


def remove_unfinished(spot: Spot, version: str) -> None:
    """Remove the write of `spot` whose sink has this version, whoever is at it, before it has its name."""
    with suppress(OSError), spot.parent.folder() as folder, os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name.endswith(PART):
                with suppress(OSError):  # it got its name, or went
                    if version_of(entry.stat(follow_symlinks=False)) == version:
                        os.unlink(entry.name, dir_fd=folder)


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
        self._trail = Trail(file.fileno())

    @property
    def version(self) -> str:
        """Its version, also under its final name. Raises ObjectFault."""
        self.finish()
        return version_of(os.fstat(self._file.fileno()))

    def write(self, data: bytes, /) -> None:
        """Add bytes. Raises ObjectFault."""
        self._finished = False
        try:
            self._file.write(data)
        except OSError as error:
            raise _cannot_write(self._target, error) from error
        self._trail.wrote(len(data))

    def finish(self) -> None:
        """Bring everything to the disk. Raises ObjectFault."""
        if self._finished:
            return
        try:
            self._file.flush()
            set_apart(self._file.fileno())
            os.fsync(self._file.fileno())
            self._trail.synced()
        except OSError as error:
            raise _cannot_write(self._target, error) from error
        self._finished = True


def set_apart(descriptor: int) -> None:
    """Have a file changed at a nanosecond of its own: a kernel's clock may tell two quick writes the same."""
    now_ns = time.time_ns()
    with suppress(OSError):  # some mounted file systems let nobody set times
        os.utime(descriptor, ns=(now_ns, now_ns))


def _cannot_write(spot: Spot, error: OSError) -> ObjectFault:
    return ObjectFault(f"{spot} cannot be written: {error.strerror or error}.", writing=True)
