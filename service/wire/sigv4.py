"""AWS signature version 4: what a request says of its signature, and what the right one would be.

Nothing is decided here, and no secret is kept. What is signed is read from the bytes as they came: paths are
not brought into another form, for the path that was signed has to be the one that is asked for. Source: AWS's
"Create a signed AWS API request", and botocore's signers.
"""

import hmac
import re
from calendar import timegm
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from time import strptime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes

from service.errors import SignatureIncomplete
from service.http.asgi import Headers

if TYPE_CHECKING:
    from _hashlib import HASH

ALGORITHM = b"AWS4-HMAC-SHA256"
DATE = b"x-amz-date"
PAYLOAD = b"x-amz-content-sha256"
TOKEN = b"x-amz-security-token"
UNSIGNED_PAYLOAD = b"UNSIGNED-PAYLOAD"
UNSIGNED_PAYLOADS = frozenset({UNSIGNED_PAYLOAD, b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"})
"""What stands for a body's hash where the body is not signed, which who signs decides."""

NO_BODY = sha256(b"").hexdigest().encode("ascii")

_TERMINATOR = "aws4_request"
_DATE = re.compile(r"\d{8}", re.ASCII)
_TIME = re.compile(rb"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(rb"[0-9a-f]{64}")
_HEADERS = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+(?:;[!#$%&'*+\-.^_`|~0-9a-z]+)*")
_SECONDS = re.compile(rb"[0-9]{1,9}")
# Region and service end up in ARNs and logs, so they may be names only.
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_OBJECTS = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})
_IN_QUERY = b"X-Amz-"
_HMAC_BLOCK_BYTES = 64
_HMAC_INNER = bytes(byte ^ 0x36 for byte in range(256))
_HMAC_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_WHAT_IS_MISSING = (
    ("Credential", b"Credential"),
    ("Signature", b"Signature"),
    ("SignedHeaders", b"SignedHeaders"),
)


class CredentialScope(NamedTuple):
    """What a credential says of its signature; `date` is YYYYMMDD. Claims, not facts."""

    access_key: str
    date: str
    region: str
    service: str

    @property
    def text(self) -> str:
        """As it stands in what is signed, without the access key."""
        return f"{self.date}/{self.region}/{self.service}/{_TERMINATOR}"

    @property
    def is_of_objects(self) -> bool:
        """Whether it is for S3 or its kin, which sign some things in another way."""
        return self.service in _OBJECTS


@dataclass(frozen=True, slots=True)
class GivenSignature:
    """How a request says that it is signed: claims, not facts.

    `headers` are the names of those that are signed. One in an address is good for `lasts_s` from its date
    on; `in_query` says that it is one. Credentials of a session come with its `token`.
    """

    scope: CredentialScope
    headers: tuple[bytes, ...]
    hexdigest: bytes
    date: bytes
    in_query: bool = False
    lasts_s: int = 0
    token: bytes | None = None


def read_scope(authorization: str | None) -> CredentialScope | None:
    """The scope of an `Authorization` header or a presigned `X-Amz-Credential` value; None for anything else.

    Source: contract 0, `Credential=AKID/date/region/service/aws4_request`.
    """
    if authorization is None:
        return None
    _, marker, after = authorization.partition("Credential=")
    credential = (after if marker else authorization).partition(",")[0].strip()
    if "%" in credential:
        credential = unquote(credential)
    # From the right: an access key may be any dummy text, slashes included.
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != _TERMINATOR:
        return None
    access_key, date, region, service, _ = parts
    if not access_key or not (_DATE.fullmatch(date) and _NAME.fullmatch(region) and _NAME.fullmatch(service)):
        return None
    return CredentialScope(access_key, date, region, service)


def is_signed(authorization: bytes) -> bool:
    """Whether a header is meant to be a signature of this kind, or of its kin."""
    return authorization.startswith(b"AWS4-")


def signs_query(query: bytes) -> bool:
    """Whether an address is meant to hold a signature."""
    return b"X-Amz-Signature=" in query or b"X-Amz-Credential=" in query or b"X-Amz-Algorithm=" in query


def read_header(authorization: bytes, headers: Mapping[bytes, bytes]) -> GivenSignature:
    """What an `Authorization` header says, with those beside it. Raises SignatureIncomplete."""
    algorithm, _, rest = authorization.partition(b" ")
    if algorithm != ALGORITHM:
        raise SignatureIncomplete("Unsupported AWS 'algorithm': this server verifies AWS4-HMAC-SHA256.")
    parts = [part.strip().partition(b"=")[::2] for part in rest.split(b",")]
    given = dict(parts)
    missing = [name for name, wire in _WHAT_IS_MISSING if not given.get(wire)]
    if missing:
        raise SignatureIncomplete(
            " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        )
    if len(parts) != len(_WHAT_IS_MISSING):
        raise SignatureIncomplete("Authorization header has a parameter too many.")
    date = headers.get(DATE)
    if date is None:
        raise SignatureIncomplete("Authorization header requires existence of a 'X-Amz-Date' header.")
    return _signature(
        given[b"Credential"], given[b"SignedHeaders"], given[b"Signature"], date, token=headers.get(TOKEN)
    )


def read_query(query: bytes) -> GivenSignature:
    """What an address says that is signed itself. Raises SignatureIncomplete."""
    pairs = [pair for pair in _pairs(query) if pair[0].startswith(_IN_QUERY)]
    given = dict(pairs)
    if len(given) != len(pairs):
        raise SignatureIncomplete("A parameter of the signature is given twice.")
    if given.get(b"X-Amz-Algorithm") != ALGORITHM:
        raise SignatureIncomplete("Unsupported AWS 'algorithm': this server verifies AWS4-HMAC-SHA256.")
    missing = [
        name
        for name in (
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
        )
        if not given.get(name.encode())
    ]
    if missing:
        raise SignatureIncomplete(
            " ".join(f"AWS query-string parameters must include '{name}'." for name in missing)
        )
    if not _SECONDS.fullmatch(given[b"X-Amz-Expires"]):
        raise SignatureIncomplete("X-Amz-Expires must be a number of seconds.")
    return _signature(
        given[b"X-Amz-Credential"],
        given[b"X-Amz-SignedHeaders"],
        given[b"X-Amz-Signature"],
        given[b"X-Amz-Date"],
        in_query=True,
        lasts_s=int(given[b"X-Amz-Expires"]),
        token=given.get(b"X-Amz-Security-Token"),
    )


def _signature(
    credential: bytes, headers: bytes, hexdigest: bytes, date: bytes, **more: int | bytes | None
) -> GivenSignature:
    scope = read_scope(credential.decode("latin-1"))
    if scope is None:
        raise SignatureIncomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            "keyid/date/region/service/aws4_request."
        )
    names = tuple(headers.split(b";"))
    if not _HEADERS.fullmatch(headers) or list(names) != sorted(set(names)):
        raise SignatureIncomplete("SignedHeaders must be names in lower case, in order, each one once.")
    if not _SIGNATURE.fullmatch(hexdigest):
        raise SignatureIncomplete("Signature must be 64 hexadecimal digits.")
    if not _TIME.fullmatch(date):
        raise SignatureIncomplete(
            "Date must be in ISO-8601 'basic format', as 20260102T030405Z (in X-Amz-Date)."
        )
    return GivenSignature(scope, names, hexdigest, date, **more)  # type: ignore[arg-type]  # by their names


@lru_cache(1024)
def read_time(date: bytes) -> float | None:
    """Seconds since 1970 of a date in AWS's form; None for one that is in no calendar."""
    if not _TIME.fullmatch(date):
        return None
    try:
        return float(timegm(strptime(date.decode("ascii"), "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return None


def signing_key(secret: str, scope: CredentialScope) -> bytes:
    """What one day's signatures are made with, in one region, for one service."""
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, date: bytes, scope_text: bytes, canonical: bytes) -> str:
    """The signature of a request in canonical form, by a key that `signing_key` made."""
    return SigningHash(key).sign(date, scope_text, canonical)


class SigningHash:
    """Signs by one key again and again, in half the time of `hmac.digest`, which looks for SHA-256 each time.

    The key goes into both hashes of HMAC once. Source: RFC 2104, sections 2 and 4.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """`key` is one that `signing_key` made, or any other."""
        if len(key) > _HMAC_BLOCK_BYTES:
            key = sha256(key).digest()
        padded = key.ljust(_HMAC_BLOCK_BYTES, b"\0")
        self._inner = sha256(padded.translate(_HMAC_INNER))
        self._outer = sha256(padded.translate(_HMAC_OUTER))

    def sign(self, date: bytes, scope_text: bytes, canonical: bytes) -> str:
        """The signature of a request in canonical form."""
        return self.begin(date, scope_text, canonical).end(b"")

    def begin(self, date: bytes, scope_text: bytes, canonical: bytes) -> "BegunSignature":
        """What the signatures of all requests have in common whose canonical form begins alike."""
        inner = self._inner.copy()
        inner.update(b"%b\n%b\n%b\n" % (ALGORITHM, date, scope_text))
        return BegunSignature(sha256(canonical), inner, self._outer)


class BegunSignature:
    """Signs requests that differ only in how their canonical form ends."""

    __slots__ = ("_canonical", "_inner", "_outer")

    def __init__(self, canonical: "HASH", inner: "HASH", outer: "HASH") -> None:
        """What has gone into each hash by now."""
        self._canonical, self._inner, self._outer = canonical, inner, outer

    def end(self, rest: bytes) -> str:
        """The signature of the request whose canonical form ends with `rest`."""
        canonical, inner, outer = self._canonical.copy(), self._inner.copy(), self._outer.copy()
        canonical.update(rest)
        inner.update(canonical.hexdigest().encode("ascii"))
        outer.update(inner.digest())
        return outer.hexdigest()


def canonical_head(
    method: str, raw_path: bytes, query: bytes, signature: GivenSignature, lines: bytes
) -> bytes:
    """A request in canonical form but for its last line, which is the hash of its body."""
    return b"%b\n%b\n%b\n%b\n%b\n" % (
        method.encode("ascii"),
        _canonical_path(raw_path, signature.scope),
        _canonical_query(query, signature.in_query),
        lines,
        b";".join(signature.headers),
    )


def canonical_lines(headers: Headers, names: Sequence[bytes]) -> bytes | None:
    """The lines of the headers that are signed; None where one of them is not there, or there twice.

    Of two with the same name every reader would choose one by himself, so that nobody can tell which one was
    signed.
    """
    wanted = frozenset(names)
    found = [(name, value) for name, value in headers if name in wanted]
    values = dict(found)
    if len(values) != len(found) or len(values) != len(wanted):
        return None
    return b"".join([canonical_line(name, values[name]) for name in names])


def canonical_line(name: bytes, value: bytes) -> bytes:
    """One header as it is signed."""
    return b"%b:%b\n" % (name, canonical_value(value))


def canonical_value(value: bytes) -> bytes:
    """What is signed of a header's value."""
    return b" ".join(value.split())


def _canonical_path(raw_path: bytes, scope: CredentialScope) -> bytes:
    """What came is encoded once more, but for S3."""
    plain = unquote_to_bytes(raw_path) if scope.is_of_objects else raw_path
    return quote(plain, safe="/-_.~").encode("ascii")


def _canonical_query(query: bytes, is_presigned: bool) -> bytes:
    if not query:
        return b""
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in _pairs(query))
    if is_presigned:
        pairs = [pair for pair in pairs if pair[0] != b"X-Amz-Signature"]
    return b"&".join([b"%b=%b" % pair for pair in pairs])


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values, decoded as all who read them here decode them."""
    pairs = [part.partition(b"=")[::2] for part in query.split(b"&") if part]
    return [(_decoded(name), _decoded(value)) for name, value in pairs]


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _encoded(text: bytes) -> bytes:
    return quote(text, safe="-_.~").encode("ascii")
