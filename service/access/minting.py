"""New access keys: an id, and what is told of it once."""

import secrets
from base64 import b32encode
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import NamedTuple

from service.access.key_file import KeyFile
from service.domain.access_keys import AccessKey, Permission
from service.rates import RequestRate

ID_PREFIX = "SBKA"
"""How the ids of access keys begin."""

_ID_BYTES = 10  # 16 letters, as AWS's ids have behind theirs
_API_KEY_PREFIX = "sbk_"
_API_KEY_BYTES = 32


class Minted(NamedTuple):
    """A new key, and the two secrets that belong to it; neither is kept."""

    key: AccessKey
    secret_access_key: str
    api_key: str


def mint(
    name: str,
    permissions: Collection[Permission],
    endpoints: Sequence[str],
    key_file: KeyFile,
    now_s: float,
    expires_at: float | None = None,
    rate: RequestRate | None = None,
    most_body_bytes: int | None = None,
    concurrency: int | None = None,
) -> Minted:
    """Make a key that nobody has had before."""
    key_id = ID_PREFIX + b32encode(secrets.token_bytes(_ID_BYTES)).decode("ascii")
    api_key = _API_KEY_PREFIX + secrets.token_urlsafe(_API_KEY_BYTES)
    key = AccessKey(
        key_id,
        name,
        digest_of(api_key.encode("ascii")).hex(),
        frozenset(permissions),
        tuple(endpoints),
        now_s,
        expires_at,
        sealed_by=key_file.fingerprint,
        rate=rate,
        most_body_bytes=most_body_bytes,
        concurrency=concurrency,
    )
    return Minted(key, key_file.secret_of(key_id), api_key)


def digest_of(api_key: bytes) -> bytes:
    """What is kept of an API key. It is too long to be guessed, so that one round of a hash will do."""
    return sha256(api_key).digest()
