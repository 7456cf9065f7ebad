"""What a request brings to say who sends it: one thing, or it is refused."""

import binascii
from base64 import b64decode
from typing import NamedTuple

from service.errors import CredentialsMissing, SignatureIncomplete
from service.http.asgi import Headers
from service.wire import sigv4

API_KEY = b"x-api-key"
AUTHORIZATION = b"authorization"

_MISSING = (
    "This server asks for a key: send one as X-Api-Key or as Authorization: Bearer, or sign the request as "
    "AWS's clients do. `sagebird keys create` makes keys."
)
_OLDER = (
    "The request is signed in S3's older way, which this server does not verify: sign with signature_version "
    "s3v4."
)
_SEVERAL = "The request brings more than one key or signature: send one."
_MISSING_OF_AWS = "Missing Authentication Token"
_MOST_BASIC_BYTES = 1024


class Credentials(NamedTuple):
    """An API key, or that a request is signed: in this header, or in its address where both are None."""

    api_key: bytes | None
    authorization: bytes | None = None


def read_credentials(headers: Headers, query: bytes) -> Credentials:
    """What a request brings.

    Browsers send a password that was once asked for by themselves (Basic), so that an X-Api-Key beside it is
    what counts.

    Raises:
        CredentialsMissing: nothing.
        SignatureIncomplete: more than one thing, of which nobody could say which one counts.
    """
    keys = [value for name, value in headers if name == API_KEY]
    authorizations = [value for name, value in headers if name == AUTHORIZATION]
    presigned = sigv4.signs_query(query)
    if keys and len(authorizations) == 1 and _scheme(authorizations[0])[0] == b"basic":
        authorizations = []
    if len(keys) + len(authorizations) + presigned > 1:
        raise SignatureIncomplete(_SEVERAL, signed=presigned or any(map(sigv4.is_signed, authorizations)))
    if presigned:
        return Credentials(None)
    if keys:
        return Credentials(keys[0])
    if not authorizations and b"AWSAccessKeyId=" in query and b"Signature=" in query:
        raise CredentialsMissing(_OLDER, signed=True)
    if not authorizations:
        raise CredentialsMissing(_MISSING)
    return _of_header(authorizations[0])


def _of_header(authorization: bytes) -> Credentials:
    if sigv4.is_signed(authorization):
        return Credentials(None, authorization)
    scheme, rest = _scheme(authorization)
    if scheme == b"bearer" and rest:
        return Credentials(rest)
    if scheme == b"basic" and len(rest) <= _MOST_BASIC_BYTES:
        try:
            _, _, password = b64decode(rest, validate=True).partition(b":")
        except binascii.Error:
            password = b""
        if password:
            return Credentials(password)
    raise CredentialsMissing(_MISSING)


def _scheme(authorization: bytes) -> tuple[bytes, bytes]:
    scheme, _, rest = authorization.partition(b" ")
    return scheme.lower(), rest.strip()


def missing_for_aws() -> CredentialsMissing:
    """AWS's word for a call that nobody has signed."""
    return CredentialsMissing(_MISSING_OF_AWS, signed=True)
