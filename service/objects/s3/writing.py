"""An object that is being sent to an S3 server: an upload in parts, however small it is.

So its ETag is known before it has its key, nothing is seen of it until then, and whoever takes a job over can
have it go. Source: S3 API reference, CompleteMultipartUpload; an ETag of parts is the MD5 of their MD5s.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from service.errors import ObjectChanged, ObjectFault
from service.log import get_logger
from service.object_settings import S3Server
from service.objects.objects import ABSENT
from service.objects.s3.client import ServerRefused, ServerSilent, client_of, told, worded

_PART_BYTES: Final = 8 << 20
_PARTS_OF_A_SIZE: Final = 1_000  # then they double, so that 10,000 of them are enough for any object
_CHANGED: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_GONE: Final = "NoSuchUpload"


def version_of_parts(etags: Sequence[str]) -> str:
    """The ETag of an object of these parts; of something else than MD5s none that any object has."""
    try:
        joined = b"".join(map(bytes.fromhex, etags))
    except ValueError:
        joined = "".join(etags).encode()
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"


class UploadSink:
    """Implements Sink. It has to be published or abandoned in the end."""

    def __init__(self, server: S3Server, bucket: str, key: str, address: str) -> None:
        self._server = server
        self._key = key
        self._address = address
        self._asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._has_begun = False
        self._parts: list[str] = []  # ETags of those that are full
        self._tail = bytearray()
        self._tail_etag: str | None = None  # of what was sent of the tail, while that is all of it

    def write(self, data: bytes, /) -> None:
        """Add bytes. Raises ObjectFault."""
        self._tail += data
        self._tail_etag = None
        while len(self._tail) >= (size := _PART_BYTES << len(self._parts) // _PARTS_OF_A_SIZE):
            self._parts.append(self._send(bytes(memoryview(self._tail)[:size])))
            del self._tail[:size]

    @property
    def version(self) -> str:
        """Its version; all bytes so far are sent. Raises ObjectFault."""
        return version_of_parts(self._all_sent())

    def publish(self, expected: str | None, version_now: Callable[[str], str]) -> None:
        """Give it its key, where `expected` is there, or nothing where that is ABSENT.

        `version_now` tells the version that a key has. Raises ObjectFault, ObjectChanged.
        """
        etags = self._all_sent()
        parts = [{"PartNumber": number, "ETag": f'"{etag}"'} for number, etag in enumerate(etags, 1)]
        condition = {} if expected is None else {"IfMatch": f'"{expected}"'}
        if expected == ABSENT:
            condition = {"IfNoneMatch": "*"}
        try:
            with worded(self._address, self._server, writing=True):
                client_of(self._server).complete_multipart_upload(
                    **self._asked, MultipartUpload={"Parts": parts}, **condition
                )
        except ObjectFault as fault:
            code = fault.__cause__.code if isinstance(fault.__cause__, ServerRefused) else ""
            if code in _CHANGED:
                raise ObjectChanged(self._address) from fault
            # The answer of an earlier attempt was lost, and it has its key.
            if code != _GONE or version_now(self._key) != version_of_parts(etags):
                raise
        self._has_begun = False

    def abandon(self) -> None:
        """Leave nothing of it; what is published stays."""
        if not self._has_begun:
            return
        self._has_begun = False
        try:
            with told():
                client_of(self._server).abort_multipart_upload(**self._asked)
        except (ServerRefused, ServerSilent) as error:
            if not isinstance(error, ServerRefused) or error.code != _GONE:
                get_logger("sagebird.s3").warning(
                    "an unfinished upload stays for a day", object=self._address, reason=str(error)
                )

    def _all_sent(self) -> list[str]:
        if self._tail_etag is None and (self._tail or not self._parts):  # an empty one has an empty part
            self._tail_etag = self._send(bytes(self._tail))
        return self._parts if self._tail_etag is None else [*self._parts, self._tail_etag]

    def _send(self, data: bytes) -> str:
        """Send what is the next part, in place of what was sent of it before; its ETag."""
        client = client_of(self._server)
        with worded(self._address, self._server, writing=True):
            if not self._has_begun:
                begun = client.create_multipart_upload(**self._asked)
                self._asked["UploadId"] = begun["UploadId"]
                self._has_begun = True
            number = len(self._parts) + 1
            sent = client.upload_part(**self._asked, PartNumber=number, Body=data)
        return str(sent["ETag"]).strip('"')
