"""Objects that are being written: each has its key once it is whole, with all that is known of it."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from service.errors import BucketFault, ObjectFault
from service.objects.beneath import Spot, take_after, version_of
from service.objects.buckets.buckets import Buckets, ObjectHead, cannot_write, no_such_key
from service.objects.buckets.details import Details
from service.objects.objects import Sink
from service.objects.writing import replacing, set_apart, sync_folder

_TRIES: Final = 8  # a folder may be removed, being empty, just before something is put into it
_IN_THE_WAY: Final = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.ENOTEMPTY)
_PRECONDITION: Final = "At least one of the pre-conditions you specified did not hold"


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to be there, or must not be, for a write to take its place; each as its header has it."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, key: str, found: ObjectHead | None) -> None:
        """Raise BucketFault where it is not so."""
        if self.if_match is not None:
            if found is None:
                raise no_such_key(key)
            if not matches(self.if_match, found.details.etag):
                raise precondition("If-Match")
        unwanted = None if found is None else self.if_none_match
        if found is not None and unwanted is not None and matches(unwanted, found.details.etag):
            raise precondition("If-None-Match")


def matches(wanted: str, etag: str) -> bool:
    """Whether an ETag is one of those in a header; `*` is any."""
    return any(one.strip().removeprefix("W/").strip('"') in ("*", etag) for one in wanted.split(","))


def precondition(header: str) -> BucketFault:
    """A condition does not hold."""
    return BucketFault("PreconditionFailed", _PRECONDITION, Condition=header)


class ObjectWriting:
    """A write of one object. It has to be published or abandoned in the end."""

    def __init__(self, buckets: Buckets, bucket: str, key: str, expected: Expected) -> None:
        """Begin. Raises BucketFault where it is clear by now that this cannot be."""
        buckets.bucket(bucket)
        self.size_bytes = 0
        self._buckets, self._bucket, self._key, self._expected = buckets, bucket, key, expected
        self._spot = buckets.spot(bucket, key)
        expected.check(key, buckets.find(bucket, key))
        self._stack = ExitStack()
        self._file: AbstractContextManager[Sink] | None = None
        with ExitStack() as undone:
            undone.callback(self.abandon)
            self._stack.enter_context(buckets.details.noted(bucket, key))
            if not key.endswith("/"):
                self._file, self._sink = _begun(self._spot)
            undone.pop_all()

    def write(self, data: bytes) -> None:
        """Add bytes. Raises BucketFault."""
        self.size_bytes += len(data)
        if self._file is None:
            raise BucketFault(
                "InvalidArgument", "A key that ends with / is a folder here: it holds no bytes."
            )
        try:
            self._sink.write(data)
        except ObjectFault as fault:
            raise _told(fault) from fault

    def publish(self, details: Details) -> ObjectHead:
        """Give it its key; tells what it is, whatever gets that key next.

        Raises BucketFault, after which it is abandoned.
        """
        try:
            if self._file is None:
                head = self._publish_folder(details)
            else:
                version = self._sink.version
                written = ObjectHead(self._key, self.size_bytes, _just_now(), version, details)
                head = publish_as(self._buckets, self._bucket, self._expected, written, self._give_name)
            sync_folder(self._spot.parent)
        except ObjectFault as fault:
            raise _told(fault) from fault
        finally:
            self.abandon()
        return head

    def abandon(self) -> None:
        """Leave nothing of it; what is published stays."""
        file, self._file = self._file, None
        if file is not None:
            reason = _Abandoned()
            file.__exit__(_Abandoned, reason, None)
            self._buckets.prune(self._bucket, self._spot.parent)
        self._stack.close()

    def _give_name(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.__exit__(None, None, None)

    def _publish_folder(self, details: Details) -> ObjectHead:
        with self._buckets.details.locked(self._bucket, self._key) as known:
            self._expected.check(self._key, self._buckets.find(self._bucket, self._key))
            try:
                with self._spot.folder(make=True) as folder:
                    os.fsync(folder)
            except OSError as error:
                raise _refused(error) from error
            known.keep({"folder": details})
            written = ObjectHead(self._key, 0, _just_now(), "folder", details)
            return _as_found(self._buckets, self._bucket, written)


def publish_as(
    buckets: Buckets, bucket: str, expected: Expected, written: ObjectHead, give_name: Callable[[], object]
) -> ObjectHead:
    """Have a file that was written given the name of an object; tells what it is then. Raises BucketFault."""
    key = written.key
    with buckets.details.locked(bucket, key) as known:
        found = buckets.find(bucket, key)
        expected.check(key, found)
        versions = {written.version: written.details}
        if found is not None:
            versions[found.version] = found.details
        try:
            known.keep(versions)
            give_name()
        except OSError as error:
            raise _refused(error) from error
        return _as_found(buckets, bucket, written)


def _as_found(buckets: Buckets, bucket: str, written: ObjectHead) -> ObjectHead:
    """What was written as it is found, before others of this server may change it.

    Where somebody has changed it by hand in this moment it was written all the same.
    """
    found = buckets.find(bucket, written.key)
    return found if found is not None and found.version == written.version else written


def _just_now() -> datetime:
    """As times of objects are told: in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def adopt(
    buckets: Buckets, bucket: str, key: str, expected: Expected, file: Path, size: int, details: Details
) -> ObjectHead | None:
    """Give a file that was written elsewhere the name of an object; None where it is on another disk.

    Raises: BucketFault.
    """
    spot = buckets.spot(bucket, key)
    with buckets.details.noted(bucket, key):
        clear_way(spot)
        try:
            with spot.parent.folder(make=True) as folder, file.open("r+b") as opened:
                if os.fstat(folder).st_dev != os.fstat(opened.fileno()).st_dev:
                    return None
                opened.truncate(size)
                take_after(opened.fileno(), folder)
                set_apart(opened.fileno())
                os.fsync(opened.fileno())
                version = version_of(os.fstat(opened.fileno()))
                written = ObjectHead(key, size, _just_now(), version, details)
                name = partial(os.replace, file, spot.name, dst_dir_fd=folder)
                head = publish_as(buckets, bucket, expected, written, name)
                os.fsync(folder)
        except OSError as error:
            raise _refused(error) from error
    return head


def clear_way(spot: Spot) -> None:
    """Remove an empty folder that is in the way. Raises BucketFault where it is not empty."""
    try:
        if stat.S_ISDIR(spot.status().st_mode):
            with spot.parent.folder() as around:
                os.rmdir(spot.name, dir_fd=around)
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise _refused(error) from None


class _Abandoned(Exception):
    """The write is given up."""


def _begun(spot: Spot) -> tuple[AbstractContextManager[Sink], Sink]:
    """A file under a temporary name. Raises BucketFault."""
    clear_way(spot)
    for _ in range(_TRIES):
        with suppress(_FolderGone):
            return _try_to_begin(spot)
    raise BucketFault("InternalError", "The folder of this key is removed again and again.")


def _try_to_begin(spot: Spot) -> tuple[AbstractContextManager[Sink], Sink]:
    file = replacing(spot)
    try:
        return file, file.__enter__()
    except ObjectFault as fault:
        if isinstance(fault.__cause__, FileNotFoundError):
            raise _FolderGone from None
        raise _told(fault) from fault


class _FolderGone(Exception):
    """The folder was removed, being empty."""


def _told(fault: ObjectFault) -> BucketFault:
    cause = fault.__cause__
    return _refused(cause) if isinstance(cause, OSError) else BucketFault("InternalError", fault.message)


def _refused(error: OSError) -> BucketFault:
    if error.errno in _IN_THE_WAY:
        text = (
            "Keys are files here, so that a key and another one that begins with it and a slash cannot both "
            "be there: choose another key."
        )
        return BucketFault("InvalidRequest", text)
    return cannot_write(error)
