"""Credentials that are good for a while: what STS gives, and what its access key ids say.

Nothing is kept of them. An id names the key that it was made for and when its time is over, and its secret is
derived from the whole id, as each key's is: whoever changes an id has no secret for it. So a session may do
what its key may, as long as that is good itself.
"""

import hmac
import re
import secrets
from base64 import b32encode, b64encode
from hashlib import sha256
from typing import Final, NamedTuple

from service.access.key_file import KeyFile
from service.access.minting import ID_PREFIX

_PREFIX: Final = "SBTS"
_ID: Final = re.compile(r"SBTS([A-Z2-7]{16})([0-9A-F]{8})([0-9A-F]{8})")
_NOBODYS: Final = 10  # bytes, of an id where nobody is asked for a key
_NONCE_BYTES: Final = 4
_SECRET_BYTES: Final = 30
_OF_TOKENS: Final = b"sagebird session token\0"


class Session(NamedTuple):
    """New credentials; nobody can be told of them again."""

    id: str
    secret_access_key: str
    token: str
    expires_s: float


class SessionClaim(NamedTuple):
    """What the id of a session says: claims, until a signature is verified."""

    key_id: str
    expires_s: float


class SessionMaker:
    """Makes sessions."""

    def __init__(self, key_file: KeyFile | None) -> None:
        """Without a key file nobody verifies signatures, and any credentials will do."""
        self._key_file = key_file

    def begin(self, key_id: str, expires_s: float) -> Session:
        """Credentials of a key, until a time in seconds since 1970."""
        expires_s = float(int(expires_s))
        whose = key_id.removeprefix(ID_PREFIX) or b32encode(secrets.token_bytes(_NOBODYS)).decode("ascii")
        session_id = f"{_PREFIX}{whose}{int(expires_s):08X}{secrets.token_hex(_NONCE_BYTES).upper()}"
        if self._key_file is None:
            secret = b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")
        else:
            secret = self._key_file.secret_of(session_id)
        return Session(session_id, secret, token_of(session_id, secret), expires_s)


def token_of(session_id: str, secret: str) -> str:
    """The token of a session, by its id and its secret access key."""
    token = hmac.digest(secret.encode("ascii"), _OF_TOKENS + session_id.encode("ascii"), sha256)
    return b64encode(token).decode("ascii")


def read_session(access_key_id: str) -> SessionClaim | None:
    """What an access key id says if it is a session's; None of any other."""
    found = _ID.fullmatch(access_key_id) if access_key_id.startswith(_PREFIX) else None
    return None if found is None else SessionClaim(ID_PREFIX + found[1], float(int(found[2], 16)))
