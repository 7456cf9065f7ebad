from base64 import b64encode

import pytest

from service.access.credentials import Credentials, read_credentials
from service.errors import CredentialsMissing, SignatureIncomplete
from service.http.asgi import Headers

_SIGNED = (b"authorization", b"AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c")
_KEY = (b"x-api-key", b"k")
_BEARER = (b"authorization", b"Bearer k")
_BASIC = (b"authorization", b"Basic " + b64encode(b"anyone:k"))
_PRESIGNED = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=c"


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ([_KEY], b"", Credentials(b"k")),
        ([_BEARER], b"", Credentials(b"k")),
        ([(b"authorization", b"bearer   k")], b"", Credentials(b"k")),
        ([_BASIC], b"", Credentials(b"k")),
        ([(b"authorization", b"Basic " + b64encode(b":a:b"))], b"", Credentials(b"a:b")),
        ([_KEY, _BASIC], b"", Credentials(b"k")),
        ([_SIGNED], b"", Credentials(None, _SIGNED[1])),
        ([], _PRESIGNED, Credentials(None)),
    ],
)
def test_one_thing_says_who_asks(headers: Headers, query: bytes, found: Credentials) -> None:
    assert read_credentials(headers, query) == found


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([_KEY, _KEY], b""),
        ([_KEY, _BEARER], b""),
        ([_KEY, _SIGNED], b""),
        ([_KEY, _BASIC, _BASIC], b""),
        ([_BASIC, _BEARER], b""),
        ([_BEARER, _SIGNED], b""),
        ([_SIGNED, _SIGNED], b""),
        ([_SIGNED], _PRESIGNED),
        ([_KEY], _PRESIGNED),
        ([_BASIC], _PRESIGNED),
    ],
)
def test_more_than_one_thing_is_refused(headers: Headers, query: bytes) -> None:
    with pytest.raises(SignatureIncomplete, match="more than one"):
        read_credentials(headers, query)


@pytest.mark.parametrize(
    "query",
    [b"AWSAccessKeyId=SBKA&Signature=c%3D&Expires=1", b"Expires=1&Signature=c%3D&AWSAccessKeyId=SBKA"],
)
def test_whoever_signs_an_address_in_the_older_way_is_told_of_the_newer_one(query: bytes) -> None:
    with pytest.raises(CredentialsMissing, match="sign with signature_version s3v4") as refused:
        read_credentials([], query)
    assert refused.value.signed
    assert read_credentials([_KEY], query) == Credentials(b"k")


@pytest.mark.parametrize(
    "authorization",
    [
        *(
            None,
            b"",
            b"Bearer",
            b"Bearer ",
            b"k",
            b"Basic",
            b"Basic !",
            b"Basic aw==",
            b"Basic " + b64encode(b"k:"),
        ),
        *(b"Basic " + b64encode(b":" + b"k" * 2000), b"Digest k", b"AWS k:s", b"Token k"),
    ],
)
def test_anything_else_is_nothing(authorization: bytes | None) -> None:
    headers: Headers = [] if authorization is None else [(b"authorization", authorization)]

    with pytest.raises(CredentialsMissing, match="asks for a key"):
        read_credentials(headers, b"a=b")
