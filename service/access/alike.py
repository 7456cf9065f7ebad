"""Signed heads that differ only in what a signature makes different: read once, each verified by itself.

What a client's calls have in common is written down as its requests' canonical form with gaps, so that a call
is verified by filling them in. Nothing is taken on trust but what is the same in each: the date, the hash of
the body and the signature are those of the call at hand, every time.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest
from operator import itemgetter
from typing import NamedTuple

from service.access.claims import SKEW_S, AskedHead, Claim, check_fresh, wrong
from service.access.credentials import AUTHORIZATION
from service.access.keyring import Keyring
from service.errors import CallerError
from service.wire import sigv4

_GAP = b"\0"  # no head holds it
_MOST_BEGUN = 64


class _Begun(NamedTuple):
    """What calls that were signed in the same second have in common, mostly: it is worked out once."""

    signed_s: float
    signature: sigv4.BegunSignature


class AlikeClaims:
    """The claims of heads that are like one that was read, by those values in which they differ."""

    __slots__ = (
        "_begun",
        "_canonical",
        "_day",
        "_hashes",
        "_key",
        "_keyring",
        "_payload_at",
        "_scope_text",
        "_signature_at",
        "_signed",
        "_signer",
    )

    def __init__(self, keyring: Keyring, claim: Claim, canonical: bytes, varying: Sequence[bytes]) -> None:
        """`canonical` ends before the body's hash, and has a gap for each signed header that is `varying`."""
        signature = claim.signature
        self._keyring = keyring
        self._key, self._signer = claim.key, sigv4.SigningHash(claim.signing_key)
        self._scope_text, self._day = (
            signature.scope.text.encode("ascii"),
            signature.scope.date.encode("ascii"),
        )
        self._canonical = canonical
        self._signature_at = varying.index(AUTHORIZATION)
        self._payload_at = varying.index(sigv4.PAYLOAD) if sigv4.PAYLOAD in varying else -1
        self._hashes = claim.payload != sigv4.UNSIGNED_PAYLOAD
        fills = [varying.index(name) for name in signature.headers if name in varying]
        date_at = varying.index(sigv4.DATE)
        # The date twice, for a getter of one thing gives no tuple.
        self._signed: Callable[[Sequence[bytes]], tuple[bytes, ...]] = itemgetter(date_at, date_at, *fills)
        self._begun: dict[tuple[bytes, ...], _Begun] = {}

    def check(self, values: Sequence[bytes], body: bytes) -> CallerError | None:
        """What is wrong with a call that has these values and this body; None if nothing is."""
        signed = self._signed(values)
        begun = self._begun.get(signed) or self._begin(signed)
        if begun is None:
            return wrong()
        keyring = self._keyring
        signed_s, now_s = begun.signed_s, keyring.now_s()
        if not -SKEW_S <= now_s - signed_s <= SKEW_S or not keyring.is_good(self._key, now_s):
            return self._out_of_date(signed[0], signed_s, now_s)
        body_hash = sha256(body).hexdigest().encode("ascii") if self._hashes else sigv4.UNSIGNED_PAYLOAD
        if not compare_digest(begun.signature.end(body_hash).encode("ascii"), values[self._signature_at]):
            return wrong()
        if self._payload_at >= 0 and not compare_digest(values[self._payload_at], body_hash):
            return wrong()
        return None

    def _begin(self, signed: tuple[bytes, ...]) -> _Begun | None:
        """The calls with these signed values, but for their bodies; None if they cannot be right."""
        date, _, *fills = signed
        signed_s = sigv4.read_time(date)
        if signed_s is None or not date.startswith(self._day):
            return None
        canonical = self._canonical % (*map(sigv4.canonical_value, fills),)
        begun = _Begun(signed_s, self._signer.begin(date, self._scope_text, canonical))
        if len(self._begun) >= _MOST_BEGUN:
            self._begun.clear()
        self._begun[signed] = begun
        return begun

    def _out_of_date(self, date: bytes, signed_s: float, now_s: float) -> CallerError:
        """What is to be said of a call whose time, or whose key's, is over."""
        try:
            check_fresh(date, signed_s, now_s, SKEW_S)
            self._keyring.check(self._key)
        except CallerError as error:
            return error
        return wrong()


def alike(keyring: Keyring, claim: Claim, head: AskedHead, varying: Sequence[bytes]) -> AlikeClaims | None:
    """The claims of all heads that are like the one of a claim but for the values of `varying` headers.

    Those are named in the order of the head, as often as they are there. None where what differs is not just
    what a signature makes different: then each head has to be read by itself.
    """
    names, signature = frozenset(varying), claim.signature
    if len(names) < len(varying) or not {AUTHORIZATION, sigv4.DATE} <= names or signature.in_query:
        return None
    if claim.payload is not None and sigv4.PAYLOAD not in names and claim.payload != sigv4.UNSIGNED_PAYLOAD:
        return None
    given = [name for name, _ in head.headers]
    if any(given.count(name) != 1 for name in names):
        return None
    gapped = [(name, _GAP if name in names else value) for name, value in head.headers]
    lines = sigv4.canonical_lines(gapped, signature.headers)
    if lines is None:
        return None
    canonical = sigv4.canonical_head(head.method, head.raw_path, head.query, signature, lines)
    return AlikeClaims(keyring, claim, canonical.replace(b"%", b"%%").replace(_GAP, b"%b"), varying)
