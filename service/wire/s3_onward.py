"""A request of S3 as it goes on to another server of S3: what is left of it, and signed anew.

What was signed for this server is of no use over there; whatever else a client says goes on as it came. No
I/O here. Source: S3 API reference, "Authenticating requests", and "transferring payload in multiple chunks".
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from service.errors import BucketFault
from service.http.asgi import Headers
from service.object_settings import S3Server
from service.wire import sigv4

BLOCK_BYTES: Final = 1 << 18
"""How long the chunks are that are framed anew."""

_TRAILING: Final = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_SIGNED_TRAILING: Final = b"-PAYLOAD-TRAILER"
_STREAMING: Final = b"STREAMING-"
_CHUNKED: Final = b"aws-chunked"
_DECODED: Final = b"x-amz-decoded-content-length"
_TRAILER: Final = b"x-amz-trailer"
_HASH: Final = re.compile(rb"[0-9a-f]{64}")
# How long checksums are in base64.
_LENGTHS: Final = MappingProxyType({b"crc32": 8, b"crc32c": 8, b"crc64nvme": 12, b"sha1": 28, b"sha256": 44})
_CHECKSUM: Final = b"x-amz-checksum-"
_OF_THE_SIGNATURE: Final = frozenset(
    {b"authorization", sigv4.DATE, sigv4.PAYLOAD, sigv4.TOKEN, b"date", b"expect", b"host"}
)
# Keys of this server in other places.
_KEYS_OF_HERE: Final = frozenset({b"cookie", b"x-api-key", b"proxy-authorization"})
_OF_THE_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"content-length", b"proxy-connection", b"proxy-authenticate", b"http2-settings"),
    }
)
# An element of a listing; no name of a bucket has a character that XML writes in another way.
_BUCKET: Final = re.compile(rb"<Bucket(?:\s[^>]*)?>.*?</Bucket\s*>", re.DOTALL)
_BUCKET_NAME: Final = re.compile(rb"<Name(?:\s[^>]*)?>\s*([^<]*?)\s*</Name\s*>")
# What a request means does not hang on a header that nobody signs, as Connection.
_NEVER_OF_THE_HOP: Final = (b"x-amz-", b"content-", b"if-", b"range")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # in values. Source: RFC 9110, 5.5
# Those of a presigned URL; what else it says by x-amz- in its query are headers.
_IN_QUERY: Final = frozenset(
    {
        *("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders"),
        *("x-amz-signature", "x-amz-security-token", "awsaccesskeyid", "signature", "expires"),
    }
)


# Who makes a URL does not know the body; some say what no body sums up to.
_NOT_KNOWN: Final = (b"x-amz-checksum-", b"x-amz-sdk-")


@dataclass(frozen=True, slots=True)
class OnwardBody:
    """How a body goes on: `payload` is what is signed of it, `length` None where there is none.

    `unpacks` where its chunks are opened here, of which new ones are made where it `frames`.
    """

    payload: bytes
    length: int | None
    unpacks: bool = False
    frames: bool = False

    @property
    def is_hashed(self) -> bool:
        """Whether it is told what it sums up to."""
        return _HASH.fullmatch(self.payload) is not None


@dataclass(frozen=True, slots=True)
class Onward:
    """A request to another server."""

    method: str
    url: str
    headers: Headers


def body_of(headers: Mapping[bytes, bytes]) -> OnwardBody | None:
    """How the body of a request with these headers goes on; None where it does not say how long it is.

    Raises: BucketFault.
    """
    payload = headers.get(sigv4.PAYLOAD, b"")
    length = None if b"transfer-encoding" in headers else _number(headers.get(b"content-length"))
    if payload == _TRAILING and length is not None:
        return OnwardBody(payload, length)
    if payload.startswith(_STREAMING) or _CHUNKED in _codings(headers):
        decoded = _number(headers.get(_DECODED))
        if decoded is None:
            return None
        if not payload.endswith(_SIGNED_TRAILING):
            return OnwardBody(sigv4.UNSIGNED_PAYLOAD, decoded, unpacks=True)
        return OnwardBody(_TRAILING, _framed_length(decoded, headers), unpacks=True, frames=True)
    if length is None and b"transfer-encoding" in headers:
        return None
    return OnwardBody(payload if _HASH.fullmatch(payload) else sigv4.UNSIGNED_PAYLOAD, length)


def onward(
    method: str,
    place: tuple[str, bytes],
    query: bytes,
    headers: Headers,
    body: OnwardBody,
    server: S3Server,
    now: str,
) -> Onward:
    """The request to `server`; `place` is a bucket and a key as a path has it, `now` a time as AWS has it.

    Raises: BucketFault.
    """
    bucket, raw_key = place
    parts = urlsplit(server.endpoint)
    path = quote(unquote_to_bytes(raw_key), safe="/-_.~")
    by_host = bucket and not server.path_style
    host = f"{bucket}.{parts.netloc}" if by_host else parts.netloc
    raw_path = f"/{path}" if by_host or not bucket else f"/{quote(bucket, safe='-_.~')}/{path}"
    kept_query, hoisted = split_query(query)
    sent = dict(_kept(headers, body))
    sent = {**hoisted, **sent, b"host": host.encode("ascii"), sigv4.DATE: now.encode("ascii")}
    sent[sigv4.PAYLOAD] = body.payload
    if server.session_token:
        sent[sigv4.TOKEN] = server.session_token.encode("ascii")
    sent[b"authorization"] = _signature(method, raw_path.encode(), kept_query, sent, server)
    if body.length is not None or method in ("PUT", "POST"):
        sent[b"content-length"] = b"%d" % (body.length or 0)
    asked = f"{raw_path}?{kept_query.decode('ascii')}" if kept_query else raw_path
    return Onward(method, f"{parts.scheme}://{host}{asked}", [*sent.items()])


def frame(block: bytes) -> bytes:
    """A block as a chunk; an empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(block), block) if block else b"0\r\n"


def frame_trailers(trailers: Mapping[str, str]) -> bytes:
    """What stands behind the last chunk."""
    lines = "".join(f"{name}:{value}\r\n" for name, value in trailers.items())
    return f"{lines}\r\n".encode("latin-1")


def announced(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """The names of what is to stand behind the last chunk. Raises BucketFault for others than checksums."""
    names = [name.strip().lower() for name in headers.get(_TRAILER, b"").split(b",")]
    found = [*dict.fromkeys(name for name in names if name)]
    if any(not name.startswith(_CHECKSUM) or name.removeprefix(_CHECKSUM) not in _LENGTHS for name in found):
        raise BucketFault(
            "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"
        )
    return found


def listed(connection: bytes) -> frozenset[bytes]:
    """The headers that a Connection header says are for the next hop only; those of S3 never are."""
    names = (name.strip().lower() for name in connection.split(b","))
    return frozenset(name for name in names if name and not name.startswith(_NEVER_OF_THE_HOP))


def without_buckets(document: bytes, names: Collection[str]) -> bytes:
    """A listing of buckets without those of these names; whatever else a server says in it stays as it is."""

    def shown(bucket: re.Match[bytes]) -> bytes:
        name = _BUCKET_NAME.search(bucket[0])
        return b"" if name is not None and name[1].decode("latin-1") in names else bucket[0]

    return _BUCKET.sub(shown, document)


def _framed_length(decoded: int, headers: Mapping[bytes, bytes]) -> int:
    whole, rest = divmod(decoded, BLOCK_BYTES)
    overhead = whole * (len(frame(b"x" * BLOCK_BYTES)) - BLOCK_BYTES)
    if rest:
        overhead += len(b"%x" % rest) + 4
    names = announced(headers)
    trailing = sum(len(name) + 3 + _LENGTHS.get(name.removeprefix(_CHECKSUM), 0) for name in names)
    return decoded + overhead + len(frame(b"")) + trailing + 2


def _kept(headers: Headers, body: OnwardBody) -> Iterator[tuple[bytes, bytes]]:
    """The headers that go on, those that came twice joined."""
    joined: dict[bytes, bytes] = {}
    dropped = _OF_THE_SIGNATURE | _OF_THE_HOP | _KEYS_OF_HERE
    dropped |= listed(b",".join(value for name, value in headers if name == b"connection"))
    for name, value in headers:
        if name not in dropped:
            joined[name] = joined[name] + b"," + value if name in joined else value
    if body.unpacks and not body.frames:
        joined.pop(_DECODED, None)
        joined.pop(_TRAILER, None)
        left = b",".join(one for one in _codings(joined) if one != _CHUNKED)
        joined.pop(b"content-encoding", None)
        if left:
            joined[b"content-encoding"] = left
    yield from joined.items()


def _codings(headers: Mapping[bytes, bytes]) -> list[bytes]:
    return [one.strip() for one in headers.get(b"content-encoding", b"").lower().split(b",") if one.strip()]


def split_query(query: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The query without a signature, and what a presigned URL says by it of headers. Raises BucketFault."""
    kept, hoisted = [], {}
    pairs = [part.partition(b"=")[::2] for part in query.split(b"&") if part]
    decoded = [(_decoded(name), _decoded(value)) for name, value in pairs]
    presigned = any(name.lower() in (b"x-amz-signature", b"signature") for name, _ in decoded)
    for name, value in decoded:
        lowered = name.lower()
        if presigned and lowered.decode("latin-1") in _IN_QUERY:
            continue
        if presigned and lowered.startswith(b"x-amz-"):
            if not lowered.startswith(_NOT_KNOWN):
                hoisted[lowered] = _sendable(lowered, value)
            continue
        kept.append(b"%b=%b" % (_encoded(name), _encoded(value)))
    return b"&".join(kept), hoisted


def _sendable(name: bytes, value: bytes) -> bytes:
    """The value as a header has it. Raises BucketFault for what none can be."""
    if not _NAME.fullmatch(name) or _UNSENDABLE.search(value):
        raise BucketFault("InvalidArgument", "A field of the query cannot be a header.")
    return value.strip()


def _signature(
    method: str, raw_path: bytes, query: bytes, headers: Mapping[bytes, bytes], server: S3Server
) -> bytes:
    date = headers[sigv4.DATE]
    scope = sigv4.CredentialScope(server.access_key_id, date[:8].decode("ascii"), server.region, "s3")
    names = tuple(sorted(_signed(headers)))
    given = sigv4.GivenSignature(scope, names, b"", date)
    lines = sigv4.canonical_lines([*headers.items()], names)
    if lines is None:
        raise AssertionError("each header is there once")
    canonical = sigv4.canonical_head(method, raw_path, query, given, lines) + headers[sigv4.PAYLOAD]
    key = sigv4.signing_key(server.secret_access_key, scope)
    digest = sigv4.sign(key, date, scope.text.encode("ascii"), canonical)
    text = f"{scope.access_key}/{scope.text}, SignedHeaders={b';'.join(names).decode()}, Signature={digest}"
    return b"%b Credential=%b" % (sigv4.ALGORITHM, text.encode("ascii"))


def _signed(headers: Iterable[bytes]) -> Iterator[bytes]:
    """Host, content and what is AWS's own: others may be changed on the way."""
    for name in headers:
        if name in (b"host", b"content-md5", b"content-type") or name.startswith(b"x-amz-"):
            yield name


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) < 20 else None


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _encoded(text: bytes) -> bytes:
    return quote(text, safe="-_.~").encode("ascii")
