"""Bodies in signed chunks, as clients of S3 send them over plain HTTP; botocore signs none itself."""

from hashlib import sha256
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

PLAIN = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
TRAILING = f"{PLAIN}-TRAILER"
_NOTHING = sha256(b"").hexdigest()


class ChunkSigner(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs a head by botocore, and the chunks of its body by the same key, each after the one before."""

    def __init__(self, key_id: str, secret: str, trailer: str = "") -> None:
        """`trailer` is a header that is to stand behind the last chunk, as `name:value`."""
        super().__init__(Credentials(key_id, secret), "s3", "us-east-1")
        self._trailer = trailer

    def payload(self, request: Any) -> str:
        """What stands for the hash of the body."""
        del request
        return TRAILING if self._trailer else PLAIN

    def sign(self, url: str, data: bytes, size: int = 65_536) -> tuple[dict[str, str], bytes]:
        """The headers of a PUT, and its body in chunks of so many bytes."""
        headers = {"X-Amz-Decoded-Content-Length": str(len(data)), "Content-Encoding": "aws-chunked"}
        if self._trailer:
            headers["X-Amz-Trailer"] = self._trailer.partition(":")[0]
        request = AWSRequest("PUT", url, headers=headers, data=b"")
        self.add_auth(request)
        before = request.headers["Authorization"].rpartition("Signature=")[2]
        body = b""
        for chunk in (*(data[at : at + size] for at in range(0, len(data), size)), b""):
            before = self._next(request, "PAYLOAD", before, f"{_NOTHING}\n{sha256(chunk).hexdigest()}")
            body += b"%x;chunk-signature=%b\r\n" % (len(chunk), before.encode()) + chunk
            body += b"\r\n" if chunk else b""
        if self._trailer:
            last = self._next(request, "TRAILER", before, sha256(f"{self._trailer}\n".encode()).hexdigest())
            body += f"{self._trailer}\r\nx-amz-trailer-signature:{last}\r\n".encode()
        return {name: str(value) for name, value in request.headers.items()}, body + b"\r\n"

    def _next(self, request: Any, kind: str, before: str, hashes: str) -> str:
        about = [f"AWS4-HMAC-SHA256-{kind}", request.context["timestamp"], self.credential_scope(request)]
        found: str = self.signature("\n".join([*about, before, hashes]), request)
        return found
