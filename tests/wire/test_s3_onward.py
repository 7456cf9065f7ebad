"""Requests of S3 that go on to another server: what is left of them, and that its keys verify them."""

import base64
import secrets
import zlib
from urllib.parse import quote, unquote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from service.object_settings import S3Server
from service.wire.aws_chunked import AwsChunked
from service.wire.s3_onward import BLOCK_BYTES, Onward, OnwardBody, body_of, frame, frame_trailers, onward

SERVER = S3Server("http://10.0.0.1:9000", "eu-central-1", "AKIDEXAMPLE", "its/secret")
NOW = "20260102T030405Z"
_PLAIN = OnwardBody(b"UNSIGNED-PAYLOAD", None)


def gone(
    method: str = "GET",
    place: tuple[str, bytes] = ("b", b"k"),
    query: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: OnwardBody = _PLAIN,
    server: S3Server = SERVER,
) -> Onward:
    return onward(method, place, query, list(headers), body, server, NOW)


def test_what_was_signed_for_this_server_stays_here() -> None:
    sent = gone(
        headers=(
            (b"host", b"localhost:8080"),
            (b"authorization", b"AWS4-HMAC-SHA256 Credential=any"),
            (b"x-amz-date", b"20200101T000000Z"),
            (b"x-amz-security-token", b"mine"),
            (b"connection", b"close"),
            (b"x-amz-meta-a", b"1"),
            (b"range", b"bytes=0-1"),
        )
    )
    headers = dict(sent.headers)

    assert headers[b"host"] == b"10.0.0.1:9000"
    assert headers[b"x-amz-date"] == NOW.encode()
    assert b"Credential=AKIDEXAMPLE/20260102/eu-central-1/s3/aws4_request" in headers[b"authorization"]
    assert (headers[b"x-amz-meta-a"], headers[b"range"]) == (b"1", b"bytes=0-1")
    assert not headers.keys() & {b"x-amz-security-token", b"connection"}


def test_a_presigned_url_goes_on_by_what_it_asks_for() -> None:
    query = (
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=x&X-Amz-Expires=60"
        b"&X-Amz-SignedHeaders=host&x-amz-acl=private&response-content-type=text%2Fx&X-Amz-Signature=00"
        b"&x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32"
    )

    sent = gone(query=query)

    assert urlsplit(sent.url).query == "response-content-type=text%2Fx"
    assert dict(sent.headers)[b"x-amz-acl"] == b"private"
    assert b"x-amz-checksum-crc32" not in dict(sent.headers)
    older = gone(query=b"AWSAccessKeyId=a&Signature=b&Expires=1&partNumber=2")
    assert urlsplit(older.url).query == "partNumber=2"


@pytest.mark.parametrize("key", ["a b/c+d", "ä/€", "a%2Fb", "~a!$&'()*,;=:@"])
def test_keys_and_buckets_are_named_in_the_path_or_by_the_host(key: str) -> None:
    raw = quote(key, safe="/!$&'()*,;=:@~").encode()
    by_path = urlsplit(gone(place=("my.bucket", raw)).url)
    virtual = S3Server("https://s3.example.com", "us-east-1", "a", "b", path_style=False)
    by_host = urlsplit(gone(place=("my-bucket", raw), server=virtual).url)

    assert unquote(by_path.path) == f"/my.bucket/{key}"
    assert (by_host.netloc, unquote(by_host.path)) == ("my-bucket.s3.example.com", f"/{key}")
    assert urlsplit(gone(place=("", b""), server=virtual).url).netloc == "s3.example.com"


def test_a_body_with_a_hash_keeps_it_and_others_go_unsigned() -> None:
    digest = b"0" * 64
    assert body_of({b"x-amz-content-sha256": digest, b"content-length": b"3"}) == OnwardBody(digest, 3)
    assert body_of({b"content-length": b"3"}) == OnwardBody(b"UNSIGNED-PAYLOAD", 3)
    assert body_of({}) == OnwardBody(b"UNSIGNED-PAYLOAD", None)
    assert body_of({b"transfer-encoding": b"chunked"}) is None


def test_chunks_that_are_not_signed_go_on_as_they_are() -> None:
    payload = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    headers = ((b"content-encoding", b"aws-chunked"), (b"x-amz-trailer", b"x-amz-checksum-crc32"))
    body = body_of({b"x-amz-content-sha256": payload, b"content-length": b"99", **dict(headers)})

    assert body == OnwardBody(payload, 99)
    assert body is not None
    sent = dict(gone("PUT", headers=headers, body=body).headers)
    assert (sent[b"content-encoding"], sent[b"content-length"]) == (b"aws-chunked", b"99")


def test_chunks_that_are_signed_are_opened() -> None:
    headers = {
        b"x-amz-content-sha256": b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        b"x-amz-decoded-content-length": b"5",
        b"content-encoding": b"aws-chunked,gzip",
        b"content-length": b"99",
    }
    body = body_of(headers)

    assert body == OnwardBody(b"UNSIGNED-PAYLOAD", 5, unpacks=True)
    assert body is not None
    sent = dict(gone("PUT", headers=tuple(headers.items()), body=body).headers)
    assert (sent[b"content-encoding"], sent[b"content-length"]) == (b"gzip", b"5")
    assert b"x-amz-decoded-content-length" not in sent
    assert body_of({b"x-amz-content-sha256": b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}) is None


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
def test_what_is_framed_anew_is_as_long_as_was_said(size: int) -> None:
    data, name = secrets.token_bytes(size), "x-amz-checksum-crc32"
    body = body_of(
        {
            b"x-amz-content-sha256": b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            b"x-amz-decoded-content-length": b"%d" % size,
            b"x-amz-trailer": name.encode(),
        }
    )
    blocks = [data[at : at + BLOCK_BYTES] for at in range(0, size, BLOCK_BYTES)]
    checksum = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    sent = b"".join(map(frame, [*blocks, b""])) + frame_trailers({name: checksum})

    assert body is not None
    assert (body.length, body.frames) == (len(sent), True)
    chunks = AwsChunked()
    assert b"".join(chunks.take(sent)) == data
    assert (chunks.is_whole, chunks.trailers) == (True, {name: checksum})


@pytest.mark.parametrize("key", [b"k", b"a%20b/%C3%A4", b"a+b", b"~x*(y)"])
def test_the_signature_is_the_one_that_botocore_makes(key: bytes) -> None:
    sent = gone(
        "PUT",
        ("b", key),
        b"uploadId=a%2Fb&partNumber=1&acl",
        ((b"content-type", b"text/x"), (b"x-amz-meta-a", b" 1  2 "), (b"user-agent", b"changes on the way")),
        OnwardBody(b"UNSIGNED-PAYLOAD", 3),
    )
    headers = {name.decode(): value.decode() for name, value in sent.headers}
    given = headers.pop("authorization")
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")

    request = AWSRequest("PUT", sent.url, headers={name: headers[name] for name in names})
    request.context["timestamp"] = NOW
    auth = S3SigV4Auth(Credentials(SERVER.access_key_id, SERVER.secret_access_key), "s3", SERVER.region)
    wanted = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)

    assert given.endswith(f"Signature={wanted}")
    assert names == ["content-type", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-meta-a"]
