"""Places below a folder that others may write to, reached without following a link, whatever races.

Every step down is taken from the descriptor of the step before (openat, O_NOFOLLOW), so that a name that
becomes a link between a look and an open leads nowhere. Only plain files are opened.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PLAIN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a pipe does not wait
_MOST_KEY_CHARS: Final = 1024
"""Source: S3 user guide, object keys; what lies deeper is no object."""
_LIKE_A_FOLDER: Final = 0o755
_LIKE_A_FILE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Spot:
    """A file or folder below `root`, which its owner named: that may be reached over links, `parts` may not.

    With `links` all of it was named by somebody who may read and write what it leads to: links are followed.
    `called` is what others than the root's owner know it by, such as `s3:/`.
    """

    root: Path
    parts: tuple[str, ...] = ()
    links: bool = False
    called: str = field(default="", compare=False)

    def __truediv__(self, name: str) -> "Spot":
        """What is called `name` below this place, one part or some with slashes. Raises ValueError."""
        parts = tuple(name.split("/"))
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"{name!r} is no name below a folder")
        return Spot(self.root, (*self.parts, *parts), self.links, self.called)

    def __str__(self) -> str:
        """The path or what it is called, for people: what is not UTF-8 is escaped."""
        return shown("/".join([self.called, *self.parts]) if self.called else str(self.path))

    @property
    def path(self) -> Path:
        """The path, to be shown or compared, never to be opened."""
        return self.root.joinpath(*self.parts)

    @property
    def name(self) -> str:
        """The last part of its path; of the root itself the root's own name."""
        return self.parts[-1] if self.parts else self.root.name

    @property
    def parent(self) -> "Spot":
        """The folder that holds it."""
        if not self.parts:
            return Spot(self.root.parent, (), self.links)
        return Spot(self.root, self.parts[:-1], self.links, self.called)

    def is_below(self, other: "Spot") -> bool:
        """Whether it lies in the folder `other`, by its name."""
        return other.path in self.path.parents

    @contextmanager
    def folder(self, *, make: bool = False) -> Iterator[int]:
        """A descriptor of this folder; with `make` it is made where it is missing, like the one around it.

        Raises: OSError, also where a part is a link or no folder.
        """
        if make and not self.root.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, _FOLDER)
        try:
            for part in self.parts:
                inner = step_down(descriptor, part, links=self.links, make=make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def open(self) -> int:
        """A descriptor of this plain file, to read from. Raises OSError, also where it is anything else."""
        with self.parent.folder() as folder:
            return open_plain(folder, self.name, links=self.links)

    def status(self) -> os.stat_result:
        """What is there, be it a link itself. Raises OSError."""
        with self.parent.folder() as folder:
            return os.stat(self.name, dir_fd=folder, follow_symlinks=self.links)

    def remove(self) -> None:
        """Remove the file, if it is there. Raises OSError."""
        with suppress(FileNotFoundError), self.parent.folder() as folder:
            os.unlink(self.name, dir_fd=folder)


def folders_below(
    spot: Spot, refuse: Callable[[OSError], None], *, hidden: bool = True
) -> Iterator[tuple[int, str, list["os.DirEntry[str]"]]]:
    """Each folder from `spot` down: a descriptor, its name below `spot` with a slash behind, its entries.

    `refuse` is told of folders that cannot be read. Links are followed where the place says so; circles end.
    """
    names, seen = [""], set()
    while names:
        prefix = names.pop()
        try:
            with (spot / prefix[:-1] if prefix else spot).folder() as folder:
                status = os.fstat(folder)
                if (status.st_dev, status.st_ino) in seen:
                    continue  # a link back to where the walk has been
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as found:
                    entries = list(found)
                names += [
                    f"{prefix}{entry.name}/"
                    for entry in entries
                    if entry.is_dir(follow_symlinks=spot.links)
                    and (hidden or not entry.name.startswith("."))
                    and len(prefix) + len(entry.name) < _MOST_KEY_CHARS
                ]
                yield folder, prefix, entries
        except OSError as error:
            refuse(error)


def step_down(folder: int, name: str, *, links: bool = False, make: bool = False) -> int:
    """A descriptor of the folder `name` in a folder. Raises OSError, also where that is a link."""
    made = False
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o777 if links else 0o700, dir_fd=folder)
            made = True
    try:
        inner = os.open(name, _FOLDER | (0 if links else os.O_NOFOLLOW), dir_fd=folder)
    except OSError as error:
        raise _worded(error, folder, name) from None
    if made and not links:
        take_after(inner, folder, _LIKE_A_FOLDER)
    return inner


def open_plain(folder: int, name: str, *, links: bool = False) -> int:
    """A descriptor of the plain file `name` in a folder, to read from. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=links)  # a device may act when it is opened
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, _kind(status.st_mode), name)
    try:
        descriptor = os.open(name, _PLAIN | (0 if links else os.O_NOFOLLOW), dir_fd=folder)
    except OSError as error:
        raise _worded(error, folder, name) from None
    opened = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(opened):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _kind(opened), name)
    os.set_blocking(descriptor, True)
    return descriptor


def take_after(descriptor: int, folder: int, most: int = _LIKE_A_FILE) -> None:
    """Let those read a new file or folder who may read the folder around it; nobody else may write to it."""
    own = stat.S_IMODE(os.fstat(descriptor).st_mode)
    around = stat.S_IMODE(os.fstat(folder).st_mode)
    os.fchmod(descriptor, own & ~0o777 | around & most | own & 0o700)


def stamp(status: os.stat_result) -> tuple[int, int]:
    """What tells a file's content from what it was before: its size in bytes and time of change in ns.

    Copies that keep their times are the same by it, on whatever machine: inodes and devices differ there.
    """
    return status.st_size, status.st_mtime_ns


def version_of(status: os.stat_result) -> str:
    """The version of a file as an object."""
    return "-".join(map(str, stamp(status)))


def lies_in(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path is one of the folders or lies below one: by what these are, not by their names."""
    wanted = {_same(folder) for folder in folders} - {None}
    real = Path(os.path.realpath(path))
    return bool(wanted) and any(_same(place) in wanted for place in (real, *real.parents))


def _same(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def shown(name: str) -> str:
    r"""A name as people and documents can have it: bytes that are not UTF-8 as `\xe9`."""
    return "".join(map(_shown_character, name))


def _shown_character(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # how Python tells of a byte that is not UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _worded(error: OSError, folder: int, name: str) -> OSError:
    """The error of an open; where a link or anything else is in the way, it says so."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        with suppress(OSError):
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            return OSError(error.errno, _kind(mode), name)
    return error


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "it is a link, and none is followed here"
    if stat.S_ISDIR(mode):
        return "it is a folder"
    return "it is a file, not a folder" if stat.S_ISREG(mode) else "it is no plain file"
