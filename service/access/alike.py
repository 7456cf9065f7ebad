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
_MOST_BEGUN = 8  # callers' clocks differ by some seconds


class AlikeClaims:
    """The claims of heads that are like one that was read, by those values in which they differ."""

    __slots__ = (
        "_begun",
        "_canonical",
        "_date_at",
        "_day",
        "_fills",
        "_hashes",
        "_keeps",
        "_key",
        "_keyring",
        "_payload_at",
        "_scope_text",
        "_signature_at",
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
        self._date_at, self._signature_at = varying.index(sigv4.DATE), varying.index(AUTHORIZATION)
        self._payload_at = varying.index(sigv4.PAYLOAD) if sigv4.PAYLOAD in varying else -1
        self._hashes = claim.payload != sigv4.UNSIGNED_PAYLOAD
        self._fills = tuple(varying.index(name) for name in signature.headers if name in varying)
        # What right calls of a second have in common is worked out once, unless each signs something else.
        self._keeps = self._fills == (self._date_at,)
        self._begun: dict[bytes, sigv4.BegunSignature] = {}

    def check(self, values: Sequence[bytes], body: bytes) -> CallerError | None:
        """What is wrong with a call that has these values and this body; None if nothing is."""
        keyring, date = self._keyring, values[self._date_at]
        signed_s, now_s = sigv4.read_time(date), keyring.now_s()
        if signed_s is None or not date.startswith(self._day):
            return wrong()
        if not -SKEW_S <= now_s - signed_s <= SKEW_S or not keyring.is_good(self._key, now_s):
            return self._out_of_date(date, signed_s, now_s)
        known = self._begun.get(date)
        begun = known or self._begin(date, values)
        body_hash = sha256(body).hexdigest().encode("ascii") if self._hashes else sigv4.UNSIGNED_PAYLOAD
        if not compare_digest(begun.end(body_hash).encode("ascii"), values[self._signature_at]):
            return wrong()
        if self._payload_at >= 0 and not compare_digest(values[self._payload_at], body_hash):
            return wrong()
        if known is None and self._keeps:  # who cannot sign has nothing kept
            self._keep(date, begun)
        return None

    def _begin(self, date: bytes, values: Sequence[bytes]) -> sigv4.BegunSignature:
        """The signatures of calls with these signed values, but for their bodies."""
        fills = [values[at] for at in self._fills]
        canonical = self._canonical % (*map(sigv4.canonical_value, fills),)
        return self._signer.begin(date, self._scope_text, canonical)

    def _keep(self, date: bytes, begun: sigv4.BegunSignature) -> None:
        if len(self._begun) >= _MOST_BEGUN:
            self._begun.clear()
        self._begun[date] = begun

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
