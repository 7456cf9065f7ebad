"""Buckets and their objects as S3 has them, over folders and files. No HTTP and no XML in here.

A file that was put into a bucket's folder by other means is an object as well. Every place below a bucket is
reached without following a link (beneath), every file appears whole or not at all (writing).
"""

import os
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from service.errors import BucketFault, ObjectFault
from service.log import get_logger
from service.objects.beneath import Spot, version_of
from service.objects.buckets.details import BucketFacts, Details, DetailsFolder, unknown
from service.objects.buckets.listing import Walk
from service.objects.buckets.names import check_new_bucket, is_bucket, names_of
from service.objects.trail import Trail
from service.objects.writing import remove_abandoned, remove_abandoned_in

_CALLED: Final = "s3:/"
_TRIES: Final = 8  # to see a file and its details at one moment, while others replace both


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """One object but for its bytes."""

    key: str
    size_bytes: int
    modified: datetime
    version: str
    details: Details


class OpenObject:
    """An object that is being read: the same one to its end, whatever gets its key meanwhile."""

    def __init__(self, head: ObjectHead, descriptor: int) -> None:
        self.head = head
        self._descriptor = descriptor
        self._trail: Trail | None = None

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from `start` on, where the last read ended. Raises BucketFault: it became shorter."""
        data = os.pread(self._descriptor, size, start)
        if not data and size:
            raise BucketFault("InternalError", "The object has changed while it was read.")
        if self._trail is None:
            self._trail = Trail(self._descriptor, start)
        self._trail.read(len(data))
        return data

    def close(self) -> None:
        """It is not read any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Buckets:
    """All buckets of a server; safe between threads and processes."""

    def __init__(self, folder: Path, details: Path, hidden: Collection[str] = ()) -> None:
        """Folders that are `hidden` are no buckets: what is in them is trusted more than others may be."""
        self._folder = folder
        self._hidden = hidden
        self.details = DetailsFolder(details)

    # Buckets

    def names(self) -> list[tuple[str, datetime]]:
        """All buckets in the order of their names, and when each was made."""
        try:
            with os.scandir(self._folder) as entries:
                found = [
                    each for each in entries if self._spot(each.name) and each.is_dir(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        return [(each.name, self._made(each)) for each in sorted(found, key=lambda entry: entry.name)]

    def bucket(self, name: str) -> Spot:
        """The folder of a bucket that is there. Raises BucketFault."""
        spot = self._spot(name)
        if spot is not None:
            with suppress(OSError):
                if stat.S_ISDIR(spot.status().st_mode):
                    return spot
        raise BucketFault("NoSuchBucket", "The specified bucket does not exist", BucketName=name)

    def has(self, name: str) -> bool:
        """Whether there is such a bucket."""
        with suppress(BucketFault):
            self.bucket(name)
            return True
        return False

    def create(self, name: str, location: str) -> None:
        """Make a bucket. Raises BucketFault where it is there, or can be none."""
        check_new_bucket(name)
        if name in self._hidden:
            text = "The requested bucket name is not available. It is the server's own."
            raise BucketFault("BucketAlreadyExists", text, BucketName=name)
        self._folder.mkdir(parents=True, exist_ok=True)
        spot = Spot(self._folder, (name,), called=_CALLED)
        if os.path.lexists(spot.path):
            text = "Your previous request to create the named bucket succeeded and you already own it."
            raise BucketFault("BucketAlreadyOwnedByYou", text, BucketName=name)
        self.details.forget_bucket(name)  # what was known of one of that name that was removed by hand
        with spot.folder(make=True) as folder:
            os.fsync(folder)
        with self.details.changing(name) as facts:
            facts.created_s, facts.location = datetime.now(UTC).timestamp(), location

    def remove(self, name: str) -> None:
        """Remove a bucket without objects. Raises BucketFault."""
        spot = self.bucket(name)
        remove_abandoned(spot)
        if next(iter(self.walk(name, "", "", "")), None) is not None or not _remove_empty(spot):
            text = "The bucket you tried to delete is not empty"
            raise BucketFault("BucketNotEmpty", text, BucketName=name)
        self.details.forget_bucket(name)

    def facts(self, name: str) -> BucketFacts:
        """What is known of a bucket. Raises BucketFault."""
        self.bucket(name)
        return self.details.of_bucket(name)

    # Objects

    def walk(self, bucket: str, prefix: str, after: str, delimiter: str) -> Walk:
        """The objects of a bucket, in order. Raises BucketFault."""
        spot = self.bucket(bucket)
        return Walk(spot, prefix, after, delimiter, lambda key: bool(self.details.of_object(bucket, key)))

    def head(self, bucket: str, key: str) -> ObjectHead:
        """The object as it is now. Raises BucketFault."""
        self.bucket(bucket)
        found = self.find(bucket, key)
        if found is None:
            raise no_such_key(key)
        return found

    def find(self, bucket: str, key: str) -> ObjectHead | None:
        """The object as it is now, None where there is none. Raises BucketFault for no name of any."""
        spot = self.spot(bucket, key)
        for _ in range(_TRIES):
            try:
                status = spot.status()
            except OSError:
                return None
            head = self.head_of(bucket, key, status, certain=False)
            if head is not None:
                return head
            with suppress(OSError):
                if _version(spot.status(), key) == _version(status, key):
                    return self.head_of(bucket, key, status)
        return self.head_of(bucket, key, status)

    def head_of(
        self, bucket: str, key: str, status: os.stat_result, *, certain: bool = True
    ) -> ObjectHead | None:
        """What a file with this status is as an object; None for no object.

        Where nothing is known of that version, and it is not `certain` to be the one that is there, None too.
        """
        is_folder = stat.S_ISDIR(status.st_mode)
        if is_folder != key.endswith("/") or not (is_folder or stat.S_ISREG(status.st_mode)):
            return None
        version = _version(status, key)
        details = self.details.of_object(bucket, key).get(version)
        if details is None and (is_folder or not certain):
            return None
        size = 0 if is_folder else status.st_size
        modified = datetime.fromtimestamp(status.st_mtime_ns // 10**9, UTC)
        return ObjectHead(key, size, modified, version, details or unknown(version))

    def open(self, bucket: str, key: str) -> OpenObject:
        """Open an object. Whoever does has to close it. Raises BucketFault."""
        spot = self.spot(bucket, key)
        self.bucket(bucket)
        if key.endswith("/"):
            return OpenObject(self.head(bucket, key), os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for attempt in range(_TRIES):
            try:
                descriptor = spot.open()
            except OSError:
                raise no_such_key(key) from None
            status = os.fstat(descriptor)
            head = self.head_of(bucket, key, status, certain=attempt == _TRIES - 1)
            if head is None and self._is_still(spot, status):
                head = self.head_of(bucket, key, status)
            if head is not None:
                return OpenObject(head, descriptor)
            os.close(descriptor)
        raise no_such_key(key)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object, if it is there, and the folders that only led to it. Raises BucketFault."""
        self.bucket(bucket)
        spot = self.spot(bucket, key)
        with self.details.locked(bucket, key) as known:
            if not key.endswith("/"):
                _unlink(spot)
            known.forget()
        self.prune(bucket, spot if key.endswith("/") else spot.parent)

    def change_tags(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Give an object these tags instead of those that it has. Raises BucketFault."""
        self.bucket(bucket)
        with self.details.locked(bucket, key) as known:
            head = self.find(bucket, key)
            if head is None:
                raise no_such_key(key)
            known.keep({head.version: replace(head.details, tags=dict(tags))})

    def spot(self, bucket: str, key: str) -> Spot:
        """The file or folder that a key stands for; it need not be there. Raises BucketFault."""
        spot = self._spot(bucket)
        if spot is None:
            raise BucketFault("NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)
        return Spot(spot.root, (*spot.parts, *names_of(key)), called=_CALLED)

    def prune(self, bucket: str, spot: Spot) -> None:
        """Remove a folder, and those around it in the bucket, as far as they are empty and no objects."""
        while len(spot.parts) > 1:
            key = "/".join(spot.parts[1:]) + "/"
            if self.details.of_object(bucket, key):
                return
            try:
                with spot.parent.folder() as around:
                    os.rmdir(spot.name, dir_fd=around)
            except OSError:  # not empty, or gone
                return
            spot = spot.parent

    def clear(self) -> None:
        """Remove what killed processes left of objects that they were writing."""
        for bucket, key, note in self.details.notes():
            with suppress(OSError, BucketFault, ObjectFault):
                spot = self.spot(bucket, key)
                folder = spot if key.endswith("/") else spot.parent
                remove_abandoned_in(folder)
                self.prune(bucket, folder)
            note.unlink(missing_ok=True)
            get_logger("sagebird.s3").info("an unfinished object was removed", bucket=bucket, key=key)

    def _spot(self, name: str) -> Spot | None:
        can_be_one = is_bucket(name) and name not in self._hidden
        return Spot(self._folder, (name,), called=_CALLED) if can_be_one else None

    def _made(self, entry: "os.DirEntry[str]") -> datetime:
        known = self.details.of_bucket(entry.name).created_s
        return datetime.fromtimestamp(
            entry.stat(follow_symlinks=False).st_mtime if known is None else known, UTC
        )

    @staticmethod
    def _is_still(spot: Spot, status: os.stat_result) -> bool:
        try:
            return version_of(spot.status()) == version_of(status)
        except OSError:
            return False


def no_such_key(key: str) -> BucketFault:
    """There is no object with this key."""
    return BucketFault("NoSuchKey", "The specified key does not exist.", Key=key)


def cannot_write(error: OSError) -> BucketFault:
    """The disk is full, or the like."""
    reason = error.strerror or str(error)
    return BucketFault("InternalError", f"The object cannot be written: {reason}.")


def _version(status: os.stat_result, key: str) -> str:
    """What a folder holds makes it no other object."""
    return "folder" if key.endswith("/") else version_of(status)


def _unlink(spot: Spot) -> None:
    """Remove a plain file, if one is there. Raises BucketFault."""
    try:
        if not stat.S_ISREG(spot.status().st_mode):
            return
    except OSError:  # nothing, or nothing that leads there
        return
    try:
        spot.remove()
    except OSError as error:
        raise cannot_write(error) from error


def _remove_empty(spot: Spot) -> bool:
    """Remove a folder with all the folders in it; False where there is anything else in one of them."""
    try:
        with spot.parent.folder() as around:
            for _, folders, files, descriptor in os.fwalk(spot.name, topdown=False, dir_fd=around):
                if files:
                    return False
                for folder in folders:
                    os.rmdir(folder, dir_fd=descriptor)
            os.rmdir(spot.name, dir_fd=around)
    except OSError:  # a link, or something was put there meanwhile
        return False
    return True
