"""Copies of what an S3 server keeps, in the data folder, for who needs files: models are loaded from them.

A copy has a time that tells the version it is of, the same on every machine. One that nobody asked for during
a day goes when another one is made; a folder, out of which a model may still read, when a server starts.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

from service.errors import ObjectFault, ObjectUnreadable
from service.log import get_logger
from service.objects.objects import ObjectPath, Objects, StoredObject
from service.objects.s3.client import NOT_THERE, ServerSilent

_FILE, _FOLDER = "file-", "folder-"
_LOCK: Final = ".lock"
_PART: Final = ".part-"
_MOST_FILES: Final = 100_000
_MOST_NAME_BYTES: Final = 200
_BLOCK_BYTES: Final = 1 << 20
_DAY_S: Final = 86_400.0
_WEEK_S: Final = 7 * _DAY_S
_TIMES_NS: Final = 2_000_000_000 * 10**9  # every file system can have those


class Copies:
    """The copies of one bucket's objects, in `folder`; for any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, path: ObjectPath) -> Path:
        """The copy of an object, or of all below a key, as they are now.

        Where the server does not answer it is what was copied last. Raises ObjectFault.
        """
        try:
            return self._of(path)
        except ObjectUnreadable as fault:
            copy = self.known(path.key) if isinstance(fault.__cause__, ServerSilent) else None
            if copy is None:
                raise
            get_logger("sagebird.s3").warning(
                "the copy that was made last is used", object=str(path), reason=fault.reason
            )
            return copy
        except OSError as error:
            raise ObjectFault(f"{path} cannot be copied: {error.strerror or error}.") from error

    def known(self, key: str) -> Path | None:
        """The copy that was made last, None for none."""
        for kind in (_FILE, _FOLDER):
            place = self._place(kind, key) / _name(key)
            if place.exists():
                return place
        return None

    def _of(self, path: ObjectPath) -> Path:
        objects, key = path.objects, path.key
        found = objects.stat(key) if key else None
        if found is not None:
            place = self._place(_FILE, key)
            with _used(place):
                _copy(objects, found, place / _name(key))
            self._remove_unused()
            return place / _name(key)
        prefix = f"{key}/" if key else ""
        listed = list(islice(objects.list(prefix), _MOST_FILES + 1))
        if not listed:
            raise ObjectUnreadable(str(path), NOT_THERE)
        if len(listed) > _MOST_FILES:
            raise ObjectFault(f"More than {_MOST_FILES} objects are below {path}.")
        place = self._place(_FOLDER, key)
        with _used(place):
            _copy_all(objects, prefix, listed, place / _name(key))
        return place / _name(key)

    def _place(self, kind: str, key: str) -> Path:
        return self._folder / (kind + blake2b(key.encode(), digest_size=16).hexdigest())

    def _remove_unused(self) -> None:
        remove_unused(self._folder, _FILE, _DAY_S)


def clear_copies(copies: Path) -> None:
    """Remove what nobody asked for during a week, of all buckets; to be called when a server starts."""
    for bucket in copies.glob("*"):
        for kind in (_FILE, _FOLDER):
            remove_unused(bucket, kind, _WEEK_S)


def remove_unused(folder: Path, kind: str, age_s: float) -> None:
    """Remove those copies of a kind that nobody asked for during so many seconds."""
    oldest_s = time.time() - age_s
    for place in folder.glob(f"{kind}*"):
        with suppress(OSError):  # another process may be at it too
            if place.stat().st_mtime < oldest_s:
                with _locked(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(place)


@contextmanager
def _used(place: Path) -> Iterator[None]:
    """In the block nobody else makes or removes the copy there. Raises OSError."""
    while True:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError), _locked(place, fcntl.LOCK_EX):
            os.utime(place)  # asked for now; it is gone if somebody has removed it just before
            for left in place.glob(f"{_PART}*"):  # of a process that was killed
                left.unlink()
            yield
            return


@contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    descriptor = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _copy_all(objects: Objects, prefix: str, listed: list[StoredObject], folder: Path) -> None:
    """Have a folder hold what is listed, and nothing else."""
    wanted = {each.key.removeprefix(prefix): each for each in listed}
    folders = {str(above) for name in wanted for above in Path(name).parents}
    for name, each in wanted.items():
        if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
            raise ObjectFault(f"{objects.address(each.key)} has a name that no file can have.")
        if name in folders:
            raise ObjectFault(
                f"{objects.address(each.key)} and an object below it are no file and folder of one name."
            )
    # Before anything is copied: what was a file may have become a folder, and a folder a file.
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        if str(file.relative_to(folder)) not in wanted:
            file.unlink()
    for name, each in wanted.items():
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        _copy(objects, each, target, folder.parent)


def _copy(objects: Objects, found: StoredObject, target: Path, place: Path | None = None) -> None:
    """Have `target` be the object, whole, by a temporary file in `place`."""
    if _is_copy(target, found):
        return
    part = (place or target.parent) / f"{_PART}{secrets.token_hex(6)}"
    try:
        with objects.open(found.key) as reader, part.open("xb") as file:
            at = 0
            while block := reader.read(at, _BLOCK_BYTES):
                file.write(block)
                at += len(block)
            file.flush()
            time_ns = _time_of(reader.version)
            os.utime(file.fileno(), ns=(time_ns, time_ns))
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _is_copy(target: Path, found: StoredObject) -> bool:
    try:
        status = target.stat()
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (found.size_bytes, _time_of(found.version))


def _time_of(version: str) -> int:
    return int.from_bytes(blake2b(version.encode(), digest_size=8).digest(), "big") % _TIMES_NS


def _name(key: str) -> str:
    """What a copy is called: as its object, so that its ending tells what it is.

    None begins with a dot: such names have the lock, parts, and folders above.
    """
    name = os.fsdecode(os.fsencode(key.rpartition("/")[2] or "all")[-_MOST_NAME_BYTES:])
    return f"_{name}" if name.startswith(".") else name
