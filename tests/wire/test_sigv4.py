import hmac
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.wire.sigv4 import CredentialScope, SigningHash, read_scope

_SCOPE = CredentialScope("AKID", "20260102", "eu-west-1", "sagemaker")
_CREDENTIAL = "AKID/20260102/eu-west-1/sagemaker/aws4_request"


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "text",
    [
        f"AWS4-HMAC-SHA256 Credential={_CREDENTIAL}, SignedHeaders=host;x-amz-date, Signature=abc",
        f"AWS4-HMAC-SHA256 SignedHeaders=host,Credential={_CREDENTIAL},Signature=abc",
        _CREDENTIAL,
        _CREDENTIAL.replace("/", "%2F"),
        f"X-Amz-Credential={_CREDENTIAL}",
    ],
)
def test_the_scope_is_read_from_header_and_presigned_value(text: str) -> None:
    assert read_scope(text) == _SCOPE


def test_a_dummy_access_key_may_hold_slashes() -> None:
    assert read_scope(f"team/{_CREDENTIAL}") == CredentialScope(
        "team/AKID", "20260102", "eu-west-1", "sagemaker"
    )


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Bearer token",
        "Credential=",
        "AKID/20260102/sagemaker/aws4_request",
        "AKID/2026-01-02/eu-west-1/sagemaker/aws4_request",
        "/20260102/eu-west-1/sagemaker/aws4_request",
        "AKID/20260102/eu west/sagemaker/aws4_request",
        "AKID/20260102//sagemaker/aws4_request",
        "AKID/20260102/eu-west-1/sage:maker/aws4_request",
        "AKID/20260102/eu-west-1/sagemaker/aws4_reply",
        f"AKID/20260102/{'x' * 65}/sagemaker/aws4_request",
    ],
)
def test_anything_else_has_no_scope(text: str | None) -> None:
    assert read_scope(text) is None


@settings(deadline=None, derandomize=True)
@given(st.text() | st.from_regex(r"Credential=(.*/){0,5}aws4_request", fullmatch=True))
def test_no_text_breaks_it(text: str) -> None:
    scope = read_scope(text)
    assert scope is None or "/" not in scope.region


@given(st.binary(max_size=200), st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_a_signer_signs_one_request_after_another_as_hmac_does(key: bytes, requests: list[bytes]) -> None:
    signer = SigningHash(key)

    for request in requests:
        hashed = sha256(request).hexdigest().encode()
        text = b"AWS4-HMAC-SHA256\n20260102T030405Z\nscope\n" + hashed
        right = hmac.new(key, text, "sha256").hexdigest()
        assert signer.sign(b"20260102T030405Z", b"scope", request) == right
        begun = signer.begin(b"20260102T030405Z", b"scope", request[:100])
        assert [begun.end(request[100:]) for _ in range(2)] == [right, right]
