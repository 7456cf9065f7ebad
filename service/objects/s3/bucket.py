"""Objects of a bucket that a real S3 server keeps.

An object's version is its ETag, so that two with the same bytes, sent in the same parts, have the same one:
who asks whether something was written may be told of an equal object of before.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from service.errors import ObjectChanged, ObjectFault, ObjectUnreadable
from service.log import get_logger
from service.object_settings import S3Server
from service.objects.objects import ABSENT, ObjectPath, ObjectReader, Sink, StoredObject, numbered
from service.objects.s3.client import (
    NOT_THERE,
    ServerRefused,
    ServerSilent,
    client_of,
    is_no_bucket,
    no_bucket,
    told,
    worded,
)
from service.objects.s3.copies import Copies
from service.objects.s3.reading import ObjectOfServer
from service.objects.s3.writing import UploadSink, version_of_parts

_ABANDONED: Final = timedelta(days=1)
"""So long after its last part an upload is taken for one of a process that was killed."""


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """Implements Objects. With `keep`, who meets another one at the very same name is told so.

    `copies` is the folder of what was fetched.
    """

    server: S3Server
    name: str
    copies: Path

    def address(self, key: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.name}/{key}" if key else f"s3://{self.name}"

    def path(self, key: str) -> None:
        """None: it is no file of this machine."""
        del key

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object but those that stand for folders, as the server tells them: S3 does so in order."""
        try:
            with worded(self.address(prefix), self.server):
                pages = client_of(self.server).get_paginator("list_objects_v2")
                for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                    for each in page.get("Contents", ()):
                        if not each["Key"].endswith("/"):
                            yield StoredObject(each["Key"], each["Size"], _version(each))
        except ObjectFault as fault:
            if isinstance(fault.__cause__, ServerRefused) and is_no_bucket(fault.__cause__):
                raise no_bucket(self.name) from fault
            raise

    def stat(self, key: str) -> StoredObject | None:
        """The object of that key."""
        self._check(key)
        try:
            with worded(self.address(key), self.server):
                head = client_of(self.server).head_object(Bucket=self.name, Key=key)
        except ObjectUnreadable as fault:
            if fault.reason == NOT_THERE:
                return None
            raise
        return StoredObject(key, head["ContentLength"], _version(head))

    @contextmanager
    def open(self, key: str) -> Iterator[ObjectReader]:
        """Read it as it is now; one that is replaced meanwhile is not read on."""
        found = self._find(key)
        reader = ObjectOfServer(self.server, self.name, self.address(key), found)
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def write(self, key: str, *, keep: bool = False, expected: str | None = None) -> Iterator[Sink]:
        """Upload it in parts, which become an object when the block ends."""
        self._check(key)
        if keep:
            key, expected = self._first_free(key), ABSENT
        sink = UploadSink(self.server, self.name, key, self.address(key))
        try:
            yield sink
            if expected not in (None, ABSENT):
                found = self.stat(key)  # some servers take no conditions
                if found is None or found.version != expected:
                    raise ObjectChanged(self.address(key))
            sink.publish(expected, self._version_now)
        except BaseException:
            sink.abandon()
            raise

    def _first_free(self, key: str) -> str:
        around, slash, name = key.rpartition("/")
        for free in numbered(name):
            if self.stat(around + slash + free) is None:
                return around + slash + free
        raise AssertionError  # numbers do not end

    def _version_now(self, key: str) -> str:
        found = self.stat(key)
        return ABSENT if found is None else found.version

    def sync(self, key: str) -> None:
        """Nothing is left to do: the server has answered."""
        del key

    def remove(self, key: str) -> None:
        """Remove the object."""
        self._check(key)
        try:
            with told():
                client_of(self.server).delete_object(Bucket=self.name, Key=key)
        except ServerRefused as refused:
            if not refused.is_absent:
                raise ObjectFault(
                    f"{self.address(key)} cannot be removed: {refused}.", writing=True
                ) from refused
        except ServerSilent as silent:
            raise ObjectFault(
                f"{self.address(key)} cannot be removed: the S3 server does not answer.", writing=True
            ) from silent

    def fetch(self, key: str) -> Path:
        """A copy of it in the data folder, made where there is none of this version."""
        if key:
            self._check(key)
        return Copies(self.copies / self.name).of(ObjectPath(self, key))

    def fetched(self, key: str) -> Path | None:
        """The copy that was fetched last, whatever the server has by now; None for none. Asks nobody."""
        return Copies(self.copies / self.name).known(key)

    def withdraw(self, key: str, version: str) -> None:
        """Have the upload whose parts make that version go."""
        with worded(self.address(key), self.server, writing=True):
            for upload in self._uploads(key):
                if (
                    upload["Key"] == key
                    and version_of_parts([etag for etag, _ in self._parts(upload)]) == version
                ):
                    self._abort(upload)

    def clear(self, key: str) -> None:
        """Remove what nobody has added to for a day: it is not told whether its writer is alive."""
        too_old = datetime.now(UTC) - _ABANDONED
        try:
            with told():
                for upload in self._uploads(f"{key}/" if key else ""):
                    if upload["Initiated"] < too_old and self._last_part(upload) < too_old:
                        self._abort(upload)
        except (
            ServerRefused,
            ServerSilent,
        ) as error:  # it is housekeeping: what is to be written tells by itself
            get_logger("sagebird.s3").warning(
                "unfinished uploads were not looked for", bucket=self.name, reason=str(error)
            )

    def _uploads(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = client_of(self.server).get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix):
            yield from page.get("Uploads", ())

    def _parts(self, upload: dict[str, Any]) -> Sequence[tuple[str, datetime]]:
        """ETag and time of each part, in their order."""
        pages = client_of(self.server).get_paginator("list_parts")
        asked = {"Bucket": self.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        found = []
        try:
            for page in pages.paginate(**asked):
                found += [(_version(each), each["LastModified"]) for each in page.get("Parts", ())]
        except client_of(self.server).exceptions.NoSuchUpload:  # it ended meanwhile
            return []
        return found

    def _last_part(self, upload: dict[str, Any]) -> datetime:
        begun: datetime = upload["Initiated"]
        return max([at for _, at in self._parts(upload)], default=begun)

    def _abort(self, upload: dict[str, Any]) -> None:
        client = client_of(self.server)
        asked = {"Bucket": self.name, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        try:
            client.abort_multipart_upload(**asked)
        except client.exceptions.NoSuchUpload:  # it ended meanwhile
            return

    def _find(self, key: str) -> StoredObject:
        found = self.stat(key)
        if found is None:
            raise ObjectUnreadable(self.address(key), NOT_THERE)
        return found

    def _check(self, key: str) -> None:
        """Raise ObjectFault for what no key may be here, which is what no name of a file may be."""
        if "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
            raise ObjectFault(f"{key!r} is no name below a bucket.")
        try:
            key.encode()
        except UnicodeEncodeError:  # half of a pair of surrogates, or a byte of a file's name
            raise ObjectFault(f"{key!r} is no name that an object can have.") from None


def _version(told_of: dict[str, Any]) -> str:
    return str(told_of["ETag"]).strip('"')
