"""Signed heads that differ only in what a signature makes different: read once, each verified by itself.

What a client's calls have in common is written down as its requests' canonical form with gaps, so that a call
is verified by filling them in. Nothing is taken on trust but what is the same in each: the date, the hash of
the body and the signature are those of the call at hand, every time.
"""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from service.access.claims import SKEW_S, AskedHead, Claim, check_fresh, wrong
from service.access.credentials import AUTHORIZATION
from service.access.keyring import Keyring
from service.errors import CallerError
from service.wire import sigv4

_GAP = b"\0"  # no head holds it


class AlikeClaims:
    """The claims of heads that are like one that was read, by those values in which they differ."""

    __slots__ = (
        "_canonical",
        "_date_at",
        "_day",
        "_fills",
        "_hashes",
        "_key",
        "_keyring",
        "_payload_at",
        "_scope_text",
        "_signature_at",
        "_signer",
    )

    def __init__(self, keyring: Keyring, claim: Claim, canonical: bytes, varying: Sequence[bytes]) -> None:
        """`canonical` has gaps: one for each signed header that is `varying`, one for the body's hash."""
        signature = claim.signature
        self._keyring = keyring
        self._key, self._signer = claim.key, sigv4.SigningHash(claim.signing_key)
        self._scope_text, self._day = (
            signature.scope.text.encode("ascii"),
            signature.scope.date.encode("ascii"),
        )
        self._canonical = canonical
        self._date_at, self._signature_at = varying.index(sigv4.DATE), varying.index(AUTHORIZATION)
        self._payload_at = varying.index(sigv4.PAYLOAD) if sigv4.PAYLOAD in varying else -1
        self._hashes = claim.payload != sigv4.UNSIGNED_PAYLOAD
        self._fills = tuple(varying.index(name) for name in signature.headers if name in varying)

    def check(self, values: Sequence[bytes], body: bytes) -> CallerError | None:
        """What is wrong with a call that has these values and this body; None if nothing is."""
        keyring, date = self._keyring, values[self._date_at]
        signed_s, now_s = sigv4.read_time(date), keyring.now_s()
        if signed_s is None or not date.startswith(self._day):
            return wrong()
        if not -SKEW_S <= now_s - signed_s <= SKEW_S or not keyring.is_good(self._key, now_s):
            return self._out_of_date(date, signed_s, now_s)
        body_hash = sha256(body).hexdigest().encode("ascii") if self._hashes else sigv4.UNSIGNED_PAYLOAD
        fills = [values[at] for at in self._fills]
        canonical = self._canonical % (*map(sigv4.canonical_value, fills), body_hash)
        right = self._signer.sign(date, self._scope_text, canonical)
        if not compare_digest(right.encode("ascii"), values[self._signature_at]):
            return wrong()
        if self._payload_at >= 0 and not compare_digest(values[self._payload_at], body_hash):
            return wrong()
        return None

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
    canonical = sigv4.canonical_head(head.method, head.raw_path, head.query, signature, lines) + _GAP
    return AlikeClaims(keyring, claim, canonical.replace(b"%", b"%%").replace(_GAP, b"%b"), varying)
