"""What a signed request claims, held against the keys: whose it is, and that nothing of it was changed.

A claim is judged in two steps: its head at once, its body when it is there. Whoever cannot sign learns no
more than from AWS: that a key is not known, that its time is over, or that the signature does not match.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple, Protocol

from service.access.keyring import UNKNOWN_PAIR, Keyring
from service.domain.access_keys import AccessKey
from service.errors import CredentialsUnknown, SignatureWrong
from service.http.asgi import Headers
from service.wire import sigv4
from service.wire.signed_chunks import SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER, SignedChunks
from service.wire.sigv4 import GivenSignature

SKEW_S = 15 * 60
_MOST_LASTING_S = 7 * 24 * 3600
_HOST = b"host"
# What begins so says what is asked, so it must be signed where it is there. Source: AWS, as above.
_MUST_BE_SIGNED = (b"x-amz-", b"x-amzn-sagemaker-")
_OF_THE_SIGNATURE = frozenset({b"authorization"})
_IN_SIGNED_CHUNKS: Final = frozenset({SIGNED_CHUNKS, SIGNED_CHUNKS_TRAILER})
_WRONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)


class AskedHead(NamedTuple):
    """What is asked, as far as a head tells: the path as it is understood, and as it came."""

    method: str
    path: str
    raw_path: bytes
    query: bytes
    headers: Headers


class BodyHash(Protocol):
    """What a body is held against its signature by; hashlib's are such."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes of the body."""
        ...

    def hexdigest(self) -> str:
        """What stands for all of them, in what is signed."""
        ...


class Claim(NamedTuple):
    """A signed request whose body is still to be seen: `canonical` lacks the hash of it.

    `payload` is that hash as the request says it, None where it says nothing.
    """

    key: AccessKey
    signature: GivenSignature
    signing_key: bytes
    canonical: bytes
    payload: bytes | None

    def is_right(self, body_hash: bytes) -> bool:
        """Whether the signature is that of the head and of a body with this SHA-256, in hexadecimal."""
        payload = body_hash if self.payload is None else self.payload
        scope_text = self.signature.scope.text.encode("ascii")
        right = sigv4.sign(self.signing_key, self.signature.date, scope_text, self.canonical + payload)
        if not compare_digest(right.encode("ascii"), self.signature.hexdigest):
            return False
        return not self.covers_body or compare_digest(payload, body_hash)

    @property
    def covers_body(self) -> bool:
        """Whether the body is signed, too."""
        return self.payload not in sigv4.UNSIGNED_PAYLOADS

    @property
    def session_id(self) -> str:
        """The access key id of the session that has signed; "" where the key itself has."""
        return "" if self.signature.token is None else self.signature.scope.access_key

    def new_hash(self) -> BodyHash:
        """What takes the body, and says what `is_right` asks for."""
        if self.payload in _IN_SIGNED_CHUNKS and self.signature.scope.is_of_objects:
            return SignedChunks(self.signing_key, self.signature, self.payload)
        return sha256()


class Claims:
    """Judges claims by a keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def read(self, head: AskedHead, authorization: bytes | None) -> Claim:
        """The claim of a signed request, whose signature is in its `Authorization`, or in its address.

        Of one that says what its body's hash is the signature is verified already.

        Raises:
            SignatureIncomplete: it is none.
            CredentialsUnknown, CredentialsExpired: nobody who may sign has signed it, or the token of the
                session is another.
            SignatureWrong: it is not the right one, or not for this time.
        """
        fields = dict(head.headers)
        signature = (
            sigv4.read_query(head.query)
            if authorization is None
            else sigv4.read_header(authorization, fields)
        )
        key = self.keyring.of_id(signature.scope.access_key)
        if not self.keyring.has_token(signature.scope.access_key, signature.token):
            raise CredentialsUnknown(UNKNOWN_PAIR, signed=True)
        check_time(signature, self.keyring.now_s())
        payload = _payload(head, signature, fields)
        lines = sigv4.canonical_lines(head.headers, signature.headers)
        if lines is None or not _covers(signature.headers, fields):
            raise wrong()
        canonical = sigv4.canonical_head(head.method, head.raw_path, head.query, signature, lines)
        claim = Claim(key, signature, self.keyring.signing_key(signature.scope), canonical, payload)
        if payload is not None and not claim.is_right(payload):
            raise wrong()
        return claim

    def check_body(self, claim: Claim, body_hash: bytes) -> None:
        """Hold a claim against the body that came. Raises SignatureWrong, CredentialsUnknown."""
        if not self.keyring.is_good(claim.key, self.keyring.now_s()):
            self.keyring.check(claim.key)
            raise wrong()
        if not claim.is_right(body_hash):
            raise wrong()


def wrong() -> SignatureWrong:
    """AWS's word for whatever does not match."""
    return SignatureWrong(_WRONG, signed=True)


def check_time(signature: GivenSignature, now_s: float) -> None:
    """Raise SignatureWrong for what was signed at another time than it may be used."""
    signed_s = sigv4.read_time(signature.date)
    if signed_s is None or signature.date[:8] != signature.scope.date.encode("ascii"):
        raise SignatureWrong("Date in Credential scope does not match the date of X-Amz-Date.", signed=True)
    if signature.lasts_s > _MOST_LASTING_S:
        raise SignatureWrong("X-Amz-Expires must be less than a week (in seconds).", signed=True)
    check_fresh(signature.date, signed_s, now_s, signature.lasts_s if signature.in_query else SKEW_S)


def check_fresh(date: bytes, signed_s: float, now_s: float, lasts_s: float) -> None:
    """Raise SignatureWrong for a time too far away from now; clocks may differ by a quarter of an hour."""
    told = date.decode("ascii")
    if now_s - signed_s > lasts_s:
        since = f"{_shown(now_s - lasts_s)} ({_shown(now_s)} - {lasts_s / 60:g} min.)"
        raise SignatureWrong(f"Signature expired: {told} is now earlier than {since}", signed=True)
    if signed_s - now_s > SKEW_S:
        until = f"{_shown(now_s + SKEW_S)} ({_shown(now_s)} + {SKEW_S / 60:g} min.)"
        raise SignatureWrong(f"Signature not yet current: {told} is still later than {until}", signed=True)


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def _payload(head: AskedHead, signature: GivenSignature, fields: dict[bytes, bytes]) -> bytes | None:
    payload = fields.get(sigv4.PAYLOAD)
    if payload is None and signature.in_query and signature.scope.is_of_objects:
        return sigv4.UNSIGNED_PAYLOAD
    return payload


def _covers(names: Sequence[bytes], fields: dict[bytes, bytes]) -> bool:
    """Whether all is signed that says what is asked."""
    signed = frozenset(names)
    if _HOST not in signed:
        return False
    return all(name in signed for name in fields if name.startswith(_MUST_BE_SIGNED))
