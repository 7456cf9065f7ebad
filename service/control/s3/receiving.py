"""Bodies that become objects or parts: summed up on their way, and checked against what was said."""

import base64
import re
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, Protocol

from service.control.s3.context import S3Fields, S3Output
from service.errors import BucketFault
from service.objects.buckets.digests import CHECKSUMS, Digests, check_checksum, encoded

MOST_BYTES: Final = 5 << 30
"""Of one body. Source: S3 user guide, quotas."""

_HEX_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HEADER: Final = "x-amz-checksum-"


class Writing(Protocol):
    """Where the bytes go."""

    size_bytes: int

    def write(self, data: bytes) -> None:
        """Add bytes. Raises BucketFault."""
        ...

    def abandon(self) -> None:
        """Leave nothing of it, if it was not published."""
        ...


class BodyReceiving:
    """One body. Implements Receiving; `publish` is told the digests once they are found to be right."""

    def __init__(
        self,
        writing: Writing,
        promised: "Promised",
        publish: Callable[[Digests], S3Output],
    ) -> None:
        self._writing = writing
        self._promised = promised
        self._publish = publish
        self._digests = Digests(promised.names, sha256=bool(promised.sha256))
        self._lock = Lock()  # who gives up may do so while a thread still writes

    def write(self, data: bytes) -> None:
        """See Receiving."""
        with self._lock:
            if self._writing.size_bytes + len(data) > MOST_BYTES:
                raise too_large(self._writing.size_bytes + len(data))
            self._digests.update(data)
            self._writing.write(data)

    def finish(self, trailers: Mapping[str, str]) -> S3Output:
        """See Receiving."""
        with self._lock:
            self._promised.check(self._writing.size_bytes, self._digests, trailers)
            return self._publish(self._digests)

    def abandon(self) -> None:
        """See Receiving."""
        with self._lock:
            self._writing.abandon()


class Promised:
    """What a request says of its body before it comes: its length, and what it sums up to."""

    def __init__(self, fields: S3Fields, headers: Mapping[str, str], *more: str) -> None:
        """Read it; checksums of the names `more` are wanted as well. Raises BucketFault."""
        self.length = _length(headers)
        if self.length is not None and self.length > MOST_BYTES:
            raise too_large(self.length)
        self._md5 = _md5(fields.get("ContentMD5"))
        given = headers.get("x-amz-content-sha256", "").lower()
        self.sha256 = given if _HEX_SHA256.fullmatch(given) else ""
        self._given = {name: fields[f"Checksum{name}"] for name in CHECKSUMS if f"Checksum{name}" in fields}
        for name, value in self._given.items():
            check_checksum(name, value)
        behind = [one.strip().lower() for one in headers.get("x-amz-trailer", "").split(",")]
        self._behind = [name for name in CHECKSUMS if _HEADER + name.lower() in behind]
        asked = fields.get("ChecksumAlgorithm", "")
        wanted = {*self._given, *self._behind, asked, *more}
        self.names = [name for name in CHECKSUMS if name in wanted]

    def check(self, size: int, digests: Digests, trailers: Mapping[str, str]) -> None:
        """Raise BucketFault where the body is not what was said."""
        if self.length is not None and size != self.length:
            text = "You did not provide the number of bytes specified by the Content-Length HTTP header"
            raise BucketFault("IncompleteBody", text)
        if self._md5 and self._md5 != encoded(digests.md5):
            raise BucketFault("BadDigest", "The Content-MD5 you specified did not match what we received.")
        if self.sha256 and self.sha256 != digests.sha256_hex:
            text = "The provided 'x-amz-content-sha256' header does not match what was computed."
            raise BucketFault("XAmzContentSHA256Mismatch", text)
        found = digests.checksums
        for name, value in {**self._given, **self._trailing(trailers)}.items():
            if found[name] != value:
                text = f"The {name} you specified did not match the calculated checksum."
                raise BucketFault("BadDigest", text)

    def _trailing(self, trailers: Mapping[str, str]) -> Mapping[str, str]:
        missing = [name for name in self._behind if _HEADER + name.lower() not in trailers]
        if missing:
            raise BucketFault(
                "MalformedTrailerError", "The request contained trailing data that was not well-formed."
            )
        return {name: trailers[_HEADER + name.lower()] for name in self._behind}


def checksum_members(digests: Mapping[str, str], kind: str) -> dict[str, str]:
    """Checksums as members of an answer."""
    found = {f"Checksum{name}": value for name, value in digests.items()}
    return {**found, "ChecksumType": kind} if found and kind else found


def too_large(size: int) -> BucketFault:
    """A body is larger than one request may bring."""
    text = "Your proposed upload exceeds the maximum allowed size"
    return BucketFault("EntityTooLarge", text, ProposedSize=str(size), MaxSizeAllowed=str(MOST_BYTES))


def _length(headers: Mapping[str, str]) -> int | None:
    """How long the object will be, None where the request does not say so. Raises BucketFault."""
    text = headers.get("x-amz-decoded-content-length")
    if text is None and is_chunked(headers):
        return None
    text = headers.get("content-length") if text is None else text
    if text is None:
        return None if "transfer-encoding" in headers else 0
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BucketFault("InvalidArgument", "The length of the body is no number.")
    return int(text)


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether the body comes in AWS's own chunks."""
    codings = [one.strip().lower() for one in headers.get("content-encoding", "").split(",")]
    return "aws-chunked" in codings or headers.get("x-amz-content-sha256", "").startswith("STREAMING-")


def _md5(given: str | None) -> str:
    if given is None:
        return ""
    try:
        if len(base64.b64decode(given, validate=True)) == 16:
            return given
    except ValueError:
        pass
    raise BucketFault("InvalidDigest", "The Content-MD5 you specified was invalid.")
