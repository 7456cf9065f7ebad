"""The keys of one process that answers calls: in memory, found by what a request brings."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from hmac import compare_digest

from service.access.key_file import KeyFile
from service.access.minting import digest_of
from service.access.sessions import read_session, token_of
from service.domain.access_keys import AccessKey
from service.errors import CredentialsExpired, CredentialsUnknown
from service.http.remembered import Remembered
from service.wire import sigv4
from service.wire.sigv4 import CredentialScope

_MOST_API_KEY_BYTES = 256
_SIGNING_KEYS = 4096
_SIGNING_KEYS_BYTES = 1 << 20
_SIGNING_KEY_BYTES = 256  # of memory with what it is known by, about; a token as well

UNKNOWN_PAIR = "The security token included in the request is invalid."
_EXPIRED_PAIR = "The security token included in the request is expired"
_UNKNOWN = "There is no such key, or it was revoked."
_EXPIRED = "The key has expired."


class Keyring:
    """Those keys that were not revoked.

    An API key is looked up by its digest, which nobody can choose: how long that takes tells nothing of it.
    """

    def __init__(self, key_file: KeyFile, now_s: Callable[[], float]) -> None:
        """`now_s` tells seconds since 1970."""
        self.now_s = now_s
        self._key_file = key_file
        self._by_id: dict[str, AccessKey] = {}
        self._by_digest: dict[bytes, AccessKey] = {}
        self._signing_keys = Remembered[CredentialScope, bytes](_SIGNING_KEYS, _SIGNING_KEYS_BYTES)
        self._tokens = Remembered[str, bytes](_SIGNING_KEYS, _SIGNING_KEYS_BYTES)

    def replace(self, keys: Iterable[AccessKey]) -> None:
        """Have these keys and no others. Those that stay as they are stay the same objects."""
        before = self._by_id
        kept = (before[key.id] if before.get(key.id) == key else key for key in keys)
        self._by_id = {key.id: key for key in kept if not key.is_revoked}
        self._by_digest = {bytes.fromhex(key.digest): key for key in self._by_id.values()}
        self._signing_keys.forget()
        self._tokens.forget()

    def all(self) -> list[AccessKey]:
        """All that are here, expired ones too."""
        return list(self._by_id.values())

    def is_good(self, key: AccessKey, now_s: float) -> bool:
        """Whether a key that was found is one still."""
        known = self._by_id.get(key.id)
        is_known = known is key or (known is not None and replace(key, expires_at=known.expires_at) == known)
        return is_known and not key.has_expired(now_s)

    def is_still_good(self, key: AccessKey) -> bool:
        """Whether a key that was found is one now."""
        return self.is_good(key, self.now_s())

    def check(self, key: AccessKey) -> None:
        """Say why a key that was found is good no more. Raises CredentialsUnknown, CredentialsExpired."""
        if key.has_expired(self.now_s()):
            raise CredentialsExpired(_EXPIRED_PAIR, signed=True)
        self.of_id(key.id)

    def of_api_key(self, api_key: bytes) -> AccessKey:
        """The key that an API key belongs to. Raises CredentialsUnknown, CredentialsExpired."""
        key = None
        if len(api_key) <= _MOST_API_KEY_BYTES:
            key = self._by_digest.get(digest_of(api_key))
        if key is None:
            raise CredentialsUnknown(_UNKNOWN)
        if key.has_expired(self.now_s()):
            raise CredentialsExpired(_EXPIRED)
        return key

    def of_id(self, key_id: str) -> AccessKey:
        """The key of an access key id, as AWS refuses others; that of a session ends with it.

        Raises CredentialsUnknown, CredentialsExpired.
        """
        session = read_session(key_id)
        key = self._by_id.get(key_id if session is None else session.key_id)
        if key is None:
            raise CredentialsUnknown(UNKNOWN_PAIR, signed=True)
        now_s = self.now_s()
        if key.has_expired(now_s) or (session is not None and session.expires_s <= now_s):
            raise CredentialsExpired(_EXPIRED_PAIR, signed=True)
        if session is None or (key.expires_at is not None and key.expires_at <= session.expires_s):
            return key
        return replace(key, expires_at=session.expires_s)

    def has_token(self, access_key: str, token: bytes | None) -> bool:
        """Whether an access key id comes with the token that belongs to it: a session's own, else none."""
        is_session = read_session(access_key) is not None
        if token is None or not is_session:
            return token is None and not is_session
        right = self._tokens.find(access_key)
        if right is None:
            right = token_of(access_key, self._key_file.secret_of(access_key)).encode("ascii")
            self._tokens.keep(access_key, right, _SIGNING_KEY_BYTES)
        return compare_digest(token, right)

    def signing_key(self, scope: CredentialScope) -> bytes:
        """What a key of this ring signs with on one day, in one region, for one service."""
        found = self._signing_keys.find(scope)
        if found is None:
            found = sigv4.signing_key(self._key_file.secret_of(scope.access_key), scope)
            self._signing_keys.keep(scope, found, _SIGNING_KEY_BYTES)
        return found
