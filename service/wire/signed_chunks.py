"""Bodies in AWS's own chunks of which each is signed: whether every signature is the right one. No I/O here.

Each signature covers the one before it, the first that of the request's head, so that no chunk can be left
out, changed or put elsewhere. Source: S3 API reference, "Signature calculations … transferring payload in
multiple chunks", and the same "… including trailing headers".
"""

import hmac
from hashlib import sha256
from typing import Final

from service.wire.aws_chunked import AwsChunked
from service.wire.sigv4 import NO_BODY, GivenSignature

SIGNED_CHUNKS: Final = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_TRAILER: Final = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

_EXTENSION: Final = b"chunk-signature="
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


class SignedChunks:
    """Takes the place of a body's hash, with the methods of one: the `payload` of its request, or nothing."""

    def __init__(self, key: bytes, signature: GivenSignature, payload: bytes) -> None:
        """`signature` is that of the head, made with `key`, as `sigv4.signing_key` makes one."""
        self._payload = payload
        self._chain = _Chain(key, signature)
        self._chunks = AwsChunked(self._chain)
        self._is_such = True

    def update(self, data: bytes, /) -> None:
        """Take the next bytes of the body, as they come."""
        try:
            if self._is_such:
                self._chunks.take(data)
        except ValueError:  # whoever reads the body says what is wrong with it
            self._is_such = False

    def hexdigest(self) -> str:
        """The payload as the request names it, "" where a signature is not the right one or is missing."""
        is_right = self._is_such and self._chunks.is_whole and self._chain.is_right
        return self._payload.decode("ascii") if is_right and self._trailers_are_right() else ""

    def _trailers_are_right(self) -> bool:
        trailers = dict(self._chunks.trailers)
        given = trailers.pop(_TRAILER_SIGNATURE, None)
        if self._payload != SIGNED_CHUNKS_TRAILER:
            return given is None and not trailers
        lines = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode("latin-1")
        return given is not None and self._chain.signs_trailers(lines, given.encode("latin-1"))


class _Chain:
    """The signatures of chunks, each made of the one before."""

    def __init__(self, key: bytes, signature: GivenSignature) -> None:
        self.is_right = True
        self._key = key
        self._about = b"%b\n%b\n" % (signature.date, signature.scope.text.encode("ascii"))
        self._before = signature.hexdigest
        self._given = b""
        self._hash = sha256()

    def begin(self, extension: bytes) -> None:
        """See ChunkWatch."""
        self._given = extension.removeprefix(_EXTENSION) if extension.startswith(_EXTENSION) else b""
        self._hash = sha256()

    def add(self, data: bytes) -> None:
        """See ChunkWatch."""
        self._hash.update(data)

    def end(self) -> None:
        """See ChunkWatch."""
        hashes = b"%b\n%b" % (NO_BODY, self._hash.hexdigest().encode("ascii"))
        right = self._sign(b"AWS4-HMAC-SHA256-PAYLOAD", hashes)
        self.is_right = self.is_right and hmac.compare_digest(right, self._given)
        self._before = right

    def signs_trailers(self, lines: bytes, given: bytes) -> bool:
        """Whether what stands behind the last chunk has this signature."""
        right = self._sign(b"AWS4-HMAC-SHA256-TRAILER", sha256(lines).hexdigest().encode("ascii"))
        return hmac.compare_digest(right, given)

    def _sign(self, kind: bytes, hashes: bytes) -> bytes:
        text = b"%b\n%b%b\n%b" % (kind, self._about, self._before, hashes)
        return hmac.digest(self._key, text, "sha256").hex().encode("ascii")
