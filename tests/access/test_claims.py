"""Signatures: what AWS's own signers make is right, and nothing else is."""

import time
from hashlib import sha256
from typing import Any

import pytest

from service.access.claims import AskedHead, Claim
from service.domain.access_keys import Permission
from service.errors import (
    CredentialsExpired,
    CredentialsUnknown,
    NotAuthenticated,
    SignatureIncomplete,
    SignatureWrong,
)
from tests.access.conftest import URL, House

_BODY = b"1,2"
_RUNTIME = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Variant": "a"}


def _hash(body: bytes) -> bytes:
    return sha256(body).hexdigest().encode()


def _authorization(head: AskedHead) -> bytes | None:
    return dict(head.headers).get(b"authorization")


def _claim(house: House, head: AskedHead) -> Claim:
    return house.claims.read(head, _authorization(head))


def _check(house: House, head: AskedHead, body: bytes = _BODY) -> None:
    """Let the request in. Raises: NotAuthenticated."""
    house.claims.check_body(_claim(house, head), _hash(body))


def _with(head: AskedHead, name: bytes, value: bytes) -> AskedHead:
    """The same with another value of a header, which is put in unless it is there."""
    others = [header for header in head.headers if header[0] != name]
    return head._replace(headers=[*others, (name, value)])


SIGNED: list[dict[str, Any]] = [
    {"headers": _RUNTIME},
    {"body": b""},
    {"method": "GET", "url": "http://h:8080/status?endpoint=iris&target_model=a%20b%2Fc&x=&y", "body": b""},
    {"url": "http://h:8080/endpoints/a%20b/invocations"},
    {"url": "http://h/", "headers": {"X-Amz-Target": "SageMaker.ListEndpoints"}},
    {"headers": {"X-Spaces": "  one   two  ", "X-Empty": ""}},
    {"signer": "query", "method": "GET", "body": b""},
    {"signer": "query", "method": "GET", "url": "http://h:8080/status?b=2&a=1", "body": b""},
    {"signer": "s3", "service": "s3", "method": "PUT", "url": "http://h/bucket/a//b/../c%20d~e"},
    {"service": "s3", "headers": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}},
    {
        "signer": "s3 query",
        "service": "s3",
        "method": "PUT",
        "url": "http://h/bucket/a%2Bb?versionId=1",
        "body": b"",
    },
]


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("asked", SIGNED, ids=str)
def test_what_awss_signers_sign_is_right(house: House, asked: dict[str, Any]) -> None:
    head = house.sign(**asked)

    _check(house, head, asked.get("body", _BODY))

    assert _claim(house, head).key == house.minted.key


@pytest.mark.parametrize("asked", SIGNED, ids=str)
def test_another_secret_signs_nothing(house: House, asked: dict[str, Any]) -> None:
    head = house.sign(**asked, secret="another")

    with pytest.raises(SignatureWrong, match="does not match the signature you provided"):
        _check(house, head, asked.get("body", _BODY))


@pytest.mark.parametrize("asked", SIGNED, ids=str)
def test_nothing_of_what_was_signed_can_be_changed(house: House, asked: dict[str, Any]) -> None:
    head, body = house.sign(**asked), asked.get("body", _BODY)
    changed = [
        head._replace(method="DELETE"),
        head._replace(raw_path=head.raw_path + b"x"),
        head._replace(raw_path=b"/" + head.raw_path),
        head._replace(query=head.query + b"&a=b" if head.query else b"a=b"),
        _with(head, b"host", b"elsewhere"),
        _with(head, b"x-amz-target", b"SageMaker.DeleteModel"),
        _with(head, b"x-amzn-sagemaker-target-variant", b"b"),
        _with(head, b"x-amzn-sagemaker-inference-id", b"b"),
        _with(head, b"x-amz-new", b"b"),
        head._replace(headers=[*head.headers, (b"host", b"elsewhere")]),
    ]
    if asked.get("headers") == _RUNTIME:
        changed.append(_with(head, b"content-type", b"application/json"))
        changed.append(head._replace(headers=[*head.headers, (b"content-type", b"application/json")]))

    for other in changed:
        with pytest.raises(NotAuthenticated):
            _check(house, other, body)


@pytest.mark.parametrize("asked", [SIGNED[0], SIGNED[1], SIGNED[6], SIGNED[8]], ids=str)
def test_another_body_is_refused(house: House, asked: dict[str, Any]) -> None:
    with pytest.raises(SignatureWrong):
        _check(house, house.sign(**asked), b"another body")


def test_a_body_that_is_not_signed_may_be_any(house: House) -> None:
    claim = _claim(house, house.sign(**SIGNED[9]))

    assert not claim.covers_body
    house.claims.check_body(claim, _hash(b"another body"))


def test_a_hash_of_another_body_is_refused_before_any_body_is_read(house: House) -> None:
    head = _with(house.sign(signer="s3", service="s3"), b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")

    with pytest.raises(SignatureWrong):
        _claim(house, head)


@pytest.mark.parametrize("streamed", [b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", b"0" * 64, b"E3B0"])
def test_a_hash_that_is_none_of_the_body_is_refused(house: House, streamed: bytes) -> None:
    head = house.sign(headers={"X-Amz-Content-SHA256": streamed.decode()})

    with pytest.raises(SignatureWrong):
        _check(house, head)


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("signer", ["header", "query"])
@pytest.mark.parametrize("ahead_s", [-899, 899])
def test_clocks_may_differ_by_a_quarter_of_an_hour(house: House, ahead_s: float, signer: str) -> None:
    head = house.sign("GET", body=b"", signer=signer)
    house.ahead_s = ahead_s

    _check(house, head, b"")


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("ahead_s", "signer", "told"),
    [
        (905, "header", r"Signature expired: \d{8}T\d{6}Z is now earlier than .* - 15 min\.\)"),
        (-905, "header", r"Signature not yet current: .* \+ 15 min\.\)"),
        (3605, "query", r"Signature expired: .* - 60 min\.\)"),
        (-905, "query", "Signature not yet current"),
        (86_400, "header", "Signature expired"),
    ],
)
def test_an_old_signature_and_one_of_the_future_are_refused(
    house: House, ahead_s: float, signer: str, told: str
) -> None:
    head = house.sign("GET", body=b"", signer=signer)
    house.ahead_s = ahead_s

    with pytest.raises(SignatureWrong, match=told):
        _check(house, head, b"")


def test_the_date_of_the_credential_is_that_of_the_request(house: House) -> None:
    head = house.sign()
    authorization = dict(head.headers)[b"authorization"]
    day = dict(head.headers)[b"x-amz-date"][:8]

    with pytest.raises(SignatureWrong, match="does not match"):
        _check(house, _with(head, b"authorization", authorization.replace(day, b"20200101")))


def test_an_address_is_not_good_for_more_than_a_week(house: House) -> None:
    head = house.sign("GET", body=b"", signer="query")

    with pytest.raises(SignatureWrong, match="less than a week"):
        _check(house, head._replace(query=head.query.replace(b"Expires=3600", b"Expires=604801")))


@pytest.mark.provenance("documented")
def test_a_key_that_is_unknown_revoked_or_expired_is_refused_as_by_aws(house: House) -> None:
    head = house.sign()
    with pytest.raises(CredentialsUnknown, match="The security token included in the request is invalid"):
        _check(house, house.sign(key_id="AKIDEXAMPLE"))
    with pytest.raises(CredentialsUnknown, match="security token"):
        _check(house, house.sign(token="any"))

    claim = _claim(house, head)
    house.keyring.replace([])
    with pytest.raises(CredentialsUnknown):
        _claim(house, head)
    with pytest.raises(CredentialsUnknown):  # revoked while its body was on the way
        house.claims.check_body(claim, _hash(_BODY))


def test_a_key_that_expires_while_its_body_is_on_the_way_is_refused(house: House) -> None:
    key = house.minted.key
    expiring = type(key)(
        key.id, key.name, key.digest, frozenset({Permission.INVOKE}), ("*",), 0.0, time.time() + 60
    )
    house.keyring.replace([expiring])
    claim = _claim(house, house.sign())
    house.ahead_s = 61

    with pytest.raises(CredentialsExpired, match="expired"):
        house.claims.check_body(claim, _hash(_BODY))


def test_what_says_what_is_asked_has_to_be_signed(house: House) -> None:
    head = house.sign(headers={"X-Amz-Target": "SageMaker.ListEndpoints"})
    authorization = dict(head.headers)[b"authorization"]

    for name in (b"x-amz-target", b"host"):
        unsigned = b";".join(each for each in (b"host", b"x-amz-date", b"x-amz-target") if each != name)
        other = authorization.replace(b"host;x-amz-date;x-amz-target", unsigned)
        assert other != authorization
        with pytest.raises(SignatureWrong):
            _check(house, _with(head, b"authorization", other))


@pytest.mark.parametrize(
    "change",
    [
        (b"AWS4-HMAC-SHA256", b"AWS4-ECDSA-P256-SHA256"),
        (b"Credential=", b"Kredential="),
        (b"SignedHeaders=host", b"SignedHeaders=Host"),
        (b"SignedHeaders=host;x-amz-date", b"SignedHeaders=x-amz-date;host"),
        (b"SignedHeaders=host", b"SignedHeaders=host;host"),
        (b"Signature=", b"Signature=0"),
        (b"Signature=", b"Signature="[:-1]),
        (b", Signature", b", Extra=1, Signature"),
        (b"/aws4_request", b""),
        (b"/eu-west-1/", b"/eu west/"),
    ],
)
def test_a_signature_that_is_none_is_refused(house: House, change: tuple[bytes, bytes]) -> None:
    head = house.sign()
    authorization = dict(head.headers)[b"authorization"]

    with pytest.raises(SignatureIncomplete):
        _check(house, _with(head, b"authorization", authorization.replace(*change)))


@pytest.mark.parametrize(
    "change",
    [
        (b"X-Amz-Algorithm=AWS4", b"X-Amz-Algorithm=AWS5"),
        (b"X-Amz-Date=", b"X-Amz-Day="),
        (b"X-Amz-Expires=3600", b"X-Amz-Expires=-1"),
        (b"X-Amz-Signature=", b"X-Amz-Signature=" + b"0" * 64 + b"&X-Amz-Signature="),
    ],
)
def test_an_address_that_is_signed_wrongly_is_refused(house: House, change: tuple[bytes, bytes]) -> None:
    head = house.sign("GET", body=b"", signer="query")
    query = head.query.replace(*change)
    assert query != head.query

    with pytest.raises(SignatureIncomplete):
        _check(house, head._replace(query=query), b"")


@pytest.mark.parametrize("date", [None, b"20261301T000000Z", b"now", b"20260101T000000Z0"])
def test_a_date_that_is_none_is_refused(house: House, date: bytes | None) -> None:
    head = house.sign()
    other = head._replace(headers=[header for header in head.headers if header[0] != b"x-amz-date"])

    with pytest.raises(NotAuthenticated):
        _check(house, other if date is None else _with(head, b"x-amz-date", date))


def test_a_path_is_the_one_that_was_signed_in_whatever_form_it_came(house: House) -> None:
    """Signers remove `..` from what they sign: what is asked for must not be another path than that."""
    head = house.sign(url=URL)

    for other in (
        b"/endpoints/./iris/invocations",
        b"/endpoints/other/../iris/invocations",
        b"/endpoints//iris/invocations",
        b"/endpoints/%69ris/invocations",
        b"/endpoints/iris/invocations/",
    ):
        with pytest.raises(SignatureWrong):
            _check(house, head._replace(raw_path=other))
