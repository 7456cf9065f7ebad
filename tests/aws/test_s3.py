"""Buckets and objects by stock boto3: what a client may rely on, and what lies in the folder meanwhile."""

import base64
import hashlib
import re
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.conftest import Stage
from tests.harness import web

_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}


def client(url: str, **config: Any) -> Any:
    settings = Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60, **config)
    return boto3.client("s3", endpoint_url=url, config=settings, **_KEYS)


@pytest.fixture(scope="module")
def s3(stage: Stage) -> Any:
    return client(stage.url)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def folder(stage: Stage, bucket: str) -> Path:
    return stage.server.data / "s3" / bucket


@pytest.fixture
def put(s3: Any, bucket: str) -> Any:
    """Puts an object: its key, its bytes, and whatever else."""
    return lambda key, body=b"", **more: s3.put_object(Bucket=bucket, Key=key, Body=body, **more)


def refused(call: Any, **members: Any) -> tuple[int, str]:
    """Status and code of what must be refused."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()
    return body


def test_what_was_put_is_a_file_of_the_bucket_and_comes_back(
    s3: Any, bucket: str, folder: Path, put: Any
) -> None:
    body = secrets.token_bytes(1 << 20)

    told = put("a/b.bin", body, ContentType="text/x-mine", Metadata={"who": "me"}, CacheControl="no-store")

    assert (folder / "a" / "b.bin").read_bytes() == body
    assert told["ETag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    found = s3.get_object(Bucket=bucket, Key="a/b.bin", ChecksumMode="ENABLED")
    assert found["Body"].read() == body
    assert (found["ContentType"], found["Metadata"], found["ETag"]) == (
        "text/x-mine",
        {"who": "me"},
        told["ETag"],
    )
    assert (found["CacheControl"], found["ContentLength"]) == ("no-store", len(body))
    assert found["ChecksumCRC32"] == told["ChecksumCRC32"]
    assert [path.name for path in (folder / "a").iterdir()] == ["b.bin"]


def test_a_file_that_was_put_there_by_hand_is_an_object_and_a_change_of_it_another_one(
    s3: Any, bucket: str, folder: Path, put: Any
) -> None:
    (folder / "hand.txt").write_bytes(b"by hand")
    put("put.txt", b"by boto3", ContentType="text/plain")

    first = s3.head_object(Bucket=bucket, Key="hand.txt")
    (folder / "hand.txt").write_bytes(b"changed")
    (folder / "put.txt").write_bytes(b"changed too")

    assert read(s3, bucket, "hand.txt") == b"changed"
    assert s3.head_object(Bucket=bucket, Key="hand.txt")["ETag"] != first["ETag"]
    assert first["ETag"].endswith('-1"')  # no MD5, as everybody knows of such
    changed = s3.get_object(Bucket=bucket, Key="put.txt")
    assert (changed["Body"].read(), changed["ContentType"]) == (b"changed too", "binary/octet-stream")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [(one["Key"], one["ETag"]) for one in listed] == [
        (key, s3.head_object(Bucket=bucket, Key=key)["ETag"]) for key in ("hand.txt", "put.txt")
    ]


def test_buckets_are_made_listed_and_removed(s3: Any, bucket: str, folder: Path, put: Any) -> None:
    assert bucket in {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert all(one["CreationDate"] for one in s3.list_buckets()["Buckets"])
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)  # once more, as in us-east-1
    put("k", b"1")
    assert refused(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="k")
    (folder / "empty" / "inside").mkdir(parents=True)

    s3.delete_bucket(Bucket=bucket)

    assert not folder.exists()
    assert refused(s3.head_bucket, Bucket=bucket) == (404, "404")
    assert refused(s3.list_objects_v2, Bucket=bucket) == (404, "NoSuchBucket")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"") == (404, "NoSuchBucket")


def test_a_bucket_elsewhere_keeps_its_region(s3: Any) -> None:
    name = f"bucket-{secrets.token_hex(6)}"
    where = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)

    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert refused(s3.create_bucket, Bucket=name, CreateBucketConfiguration=where) == (
        409,
        "BucketAlreadyOwnedByYou",
    )


@pytest.mark.parametrize("name", ["Upper", "under_score", "1.2.3.4", "xn--a", "two..dots"])
def test_what_s3_would_not_call_a_bucket_is_none(s3: Any, name: str) -> None:
    assert refused(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


@pytest.mark.parametrize(
    ("more", "expected", "status"),
    [
        ({"Range": "bytes=2-4"}, b"234", 206),
        ({"Range": "bytes=7-"}, b"789", 206),
        ({"Range": "bytes=-3"}, b"789", 206),
        ({"Range": "bytes=5-100"}, b"56789", 206),
        ({"Range": "bytes=0-1,3-4"}, b"0123456789", 200),
        ({"Range": "lines=1-2"}, b"0123456789", 200),
        ({}, b"0123456789", 200),
    ],
)
def test_a_part_of_an_object_is_read_by_its_range(
    s3: Any, bucket: str, put: Any, more: dict[str, str], expected: bytes, status: int
) -> None:
    put("digits", b"0123456789")

    found = s3.get_object(Bucket=bucket, Key="digits", **more)

    assert (found["Body"].read(), found["ResponseMetadata"]["HTTPStatusCode"]) == (expected, status)
    assert found["ContentLength"] == len(expected)
    assert (found.get("ContentRange", "") != "") == (status == 206)


def test_a_range_of_nothing_is_refused(s3: Any, bucket: str, put: Any) -> None:
    put("digits", b"0123456789")
    put("empty")

    assert refused(s3.get_object, Bucket=bucket, Key="digits", Range="bytes=10-") == (416, "InvalidRange")
    assert refused(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-") == (416, "InvalidRange")
    assert read(s3, bucket, "empty") == b""


def test_conditions_decide_whether_an_object_is_read(s3: Any, bucket: str, put: Any) -> None:
    etag = put("k", b"1")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]

    assert read(s3, bucket, "k", IfMatch=etag) == b"1"
    assert read(s3, bucket, "k", IfNoneMatch='"other"', IfModifiedSince=modified) == b"1"
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch='"other"') == (412, "PreconditionFailed")
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == (304, "304")
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=modified) == (304, "304")
    assert refused(s3.head_object, Bucket=bucket, Key="k", IfNoneMatch=etag) == (304, "304")


def test_conditions_decide_whether_an_object_is_written(s3: Any, bucket: str, put: Any) -> None:
    etag = put("k", b"1", IfNoneMatch="*")["ETag"]
    taken = {"Bucket": bucket, "Key": "k", "Body": b"2"}

    assert refused(s3.put_object, IfNoneMatch="*", **taken) == (412, "PreconditionFailed")
    assert refused(s3.put_object, IfMatch='"other"', **taken) == (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"", IfMatch=etag) == (404, "NoSuchKey")
    assert read(s3, bucket, "k") == b"1"
    put("k", b"2", IfMatch=etag)
    assert read(s3, bucket, "k") == b"2"


def test_what_is_not_there_is_told_in_s3s_words(s3: Any, bucket: str) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        s3.get_object(Bucket=bucket, Key="none")
    assert caught.value.response["Error"]["Key"] == "none"
    assert caught.value.response["ResponseMetadata"]["RequestId"]
    assert refused(s3.head_object, Bucket=bucket, Key="none") == (404, "404")
    s3.delete_object(Bucket=bucket, Key="none")
    assert refused(s3.get_object, Bucket=bucket, Key="none", VersionId="1")[0] == 404


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_checksum_is_counted_kept_and_told(s3: Any, bucket: str, put: Any, algorithm: str) -> None:
    told = put("k", b"123456789" * 50_000, ChecksumAlgorithm=algorithm)

    found = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert found[f"Checksum{algorithm}"] == told[f"Checksum{algorithm}"]
    assert found["ChecksumType"] == "FULL_OBJECT"
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"]
    )
    assert attributes["Checksum"][f"Checksum{algorithm}"] == told[f"Checksum{algorithm}"]
    assert (attributes["ObjectSize"], attributes["ETag"]) == (450_000, told["ETag"].strip('"'))


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
        ({"ChecksumSHA256": "x"}, "InvalidRequest"),
        ({"ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, "BadDigest"),
        ({"ContentMD5": "x"}, "InvalidDigest"),
    ],
)
def test_a_body_that_is_not_what_its_client_says_is_not_kept(
    s3: Any, bucket: str, folder: Path, more: dict[str, str], code: str
) -> None:
    assert refused(s3.put_object, Bucket=bucket, Key="a/k", Body=b"1,2", **more) == (400, code)
    assert list(folder.iterdir()) == []


_SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


def _in_chunks(data: bytes, trailer: str, size: int = 65_536) -> bytes:
    """As clients send what they read once, over TLS."""
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    framed = b"".join(b"%x;chunk-signature=0\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return framed[:-2] + trailer.encode() + b"\r\n\r\n"


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("crc64nvme", "rosUhgp5mIg=", 200),
        ("crc32c", "4waSgw==", 200),
        ("crc32", "y/Q5Jg==", 200),
        ("sha1", "98O8HYCOBHMqBnnnqvtBlwwYsxA=", 400),
        ("crc32", "AAAAAA==", 400),
    ],
)
def test_a_body_in_chunks_is_put_together_and_checked_by_what_is_behind_it(
    s3: Any, bucket: str, folder: Path, stage: Stage, name: str, value: str, status: int
) -> None:
    header = f"x-amz-checksum-{name}"
    headers = {
        **_SIGNED,
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": header,
        "x-amz-decoded-content-length": "9",
        "Content-Encoding": "gzip,aws-chunked",
    }

    content = _in_chunks(b"123456789", f"{header}:{value}", 4)
    answer = web.put(f"{stage.url}/{bucket}/k", headers=headers, content=content)

    assert answer.status_code == status
    assert folder.joinpath("k").exists() == (status == 200)
    if status == 200:
        found = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert found["Body"].read() == b"123456789"
        assert (found["ContentEncoding"], found[f"Checksum{name.upper()}"]) == ("gzip", value)


@pytest.mark.parametrize("size", [999, 70_000, 3_000_001])
def test_a_long_body_is_put_together_whatever_the_length_of_its_chunks(
    s3: Any, bucket: str, folder: Path, stage: Stage, size: int
) -> None:
    body = secrets.token_bytes(7_000_000)
    headers = {
        **_SIGNED,
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": str(len(body)),
        "Content-Encoding": "aws-chunked",
    }
    checksum = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()

    content = _in_chunks(body, f"x-amz-checksum-crc32:{checksum}", size)
    answer = web.put(f"{stage.url}/{bucket}/k", headers=headers, content=content)

    assert answer.status_code == 200
    assert answer.headers["etag"].strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert folder.joinpath("k").read_bytes() == s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


@pytest.mark.parametrize(
    ("content", "more"),
    [
        (_in_chunks(b"12345", ""), {}),
        (b"x\r\n", {}),
        (b"9\r\n123456789\r\n", {}),
        (_in_chunks(b"123456789", ""), {"x-amz-trailer": "x-amz-checksum-crc32"}),
        (_in_chunks(b"123456789", "no header"), {}),
    ],
)
def test_a_body_that_is_not_in_such_chunks_is_not_kept(
    bucket: str, folder: Path, stage: Stage, content: bytes, more: dict[str, str]
) -> None:
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "9", **_SIGNED, **more}

    answer = web.put(f"{stage.url}/{bucket}/a/k", headers=headers, content=content)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/xml")
    assert list(folder.iterdir()) == []


def _pages(call: Any, **members: Any) -> Iterator[Any]:
    """All pages by tokens, as far as they go on."""
    token: dict[str, str] = {}
    while True:
        page = call(**members, **token)
        yield page
        if not page["IsTruncated"]:
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


_LISTED = (
    "a b&<.txt",
    "a-c",
    "a.txt",
    "a/1",
    "a/2/x",
    "a/2/y",
    "b/ü",
    "b/€",
    "c",
    "c+d",
    "c d/e%2F",
    "z\r\n",
)


def test_objects_are_listed_in_the_order_of_their_keys_page_by_page(s3: Any, bucket: str, put: Any) -> None:
    for key in reversed(_LISTED):
        put(key, key.encode())
    wanted = sorted(_LISTED, key=lambda key: key.encode())

    for size in (1, 3, 1000):
        pages = list(_pages(s3.list_objects_v2, Bucket=bucket, MaxKeys=size))
        assert [one["Key"] for page in pages for one in page.get("Contents", [])] == wanted
        assert all(page["KeyCount"] == len(page["Contents"]) <= size for page in pages)
    marked = s3.list_objects(Bucket=bucket, Marker="a/1", MaxKeys=2)
    assert [one["Key"] for one in marked["Contents"]] == ["a/2/x", "a/2/y"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/ü", Prefix="b")
    assert [one["Key"] for one in after["Contents"]] == ["b/€"]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="none")["KeyCount"] == 0
    versions = s3.list_object_versions(Bucket=bucket, Prefix="a/2/")["Versions"]
    assert [(one["Key"], one["VersionId"]) for one in versions] == [("a/2/x", "null"), ("a/2/y", "null")]


@pytest.mark.parametrize(
    ("prefix", "delimiter", "keys", "prefixes"),
    [
        ("", "/", ["a b&<.txt", "a-c", "a.txt", "c", "c+d", "z\r\n"], ["a/", "b/", "c d/"]),
        ("a", "/", ["a b&<.txt", "a-c", "a.txt"], ["a/"]),
        ("a/", "/", ["a/1"], ["a/2/"]),
        ("a/2/", "/", ["a/2/x", "a/2/y"], []),
        ("a/2", "/", [], ["a/2/"]),
        ("", "2/", [*_LISTED[:4], *_LISTED[6:]], ["a/2/"]),
        ("c", "d", ["c"], ["c d", "c+d"]),
    ],
)
def test_keys_that_begin_alike_are_listed_as_one(
    s3: Any, bucket: str, put: Any, prefix: str, delimiter: str, keys: list[str], prefixes: list[str]
) -> None:
    for key in _LISTED:
        put(key)
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter}

    for size in (1, 2, 1000):
        pages = list(_pages(s3.list_objects_v2, MaxKeys=size, **asked))
        found = [one["Key"] for page in pages for one in page.get("Contents", [])]
        assert sorted(found) == sorted(keys)
        assert [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])] == prefixes
    old = s3.get_paginator("list_objects").paginate(**asked, PaginationConfig={"PageSize": 1})
    assert [one["Prefix"] for page in old for one in page.get("CommonPrefixes", [])] == prefixes


def test_objects_are_removed_with_the_folders_that_only_led_to_them(
    s3: Any, bucket: str, folder: Path, put: Any
) -> None:
    for key in ("a/b/c", "a/b/d", "e"):
        put(key)
    asked = {"Objects": [{"Key": "a/b/c"}, {"Key": "none"}, {"Key": "../x"}]}

    told = s3.delete_objects(Bucket=bucket, Delete=asked)

    assert [one["Key"] for one in told["Deleted"]] == ["a/b/c", "none"]
    assert [(one["Key"], one["Code"]) for one in told["Errors"]] == [("../x", "InvalidArgument")]
    assert (folder / "a" / "b").is_dir()
    s3.delete_object(Bucket=bucket, Key="a/b/d")
    assert [path.name for path in folder.iterdir()] == ["e"]


def test_a_copy_has_the_bytes_and_what_is_known_of_them_or_what_is_said_instead(
    s3: Any, bucket: str, put: Any
) -> None:
    told = put("from ü", b"1,2", ContentType="text/csv", Metadata={"a": "b"}, Tagging="t=1")
    source = {"Bucket": bucket, "Key": "from ü"}

    copied = s3.copy_object(Bucket=bucket, Key="to/same", CopySource=source)
    replaced = {"MetadataDirective": "REPLACE", "ContentType": "text/plain", "Metadata": {"c": "d"}}
    s3.copy_object(Bucket=bucket, Key="to/other", CopySource=source, **replaced)

    same, other = (s3.get_object(Bucket=bucket, Key=key) for key in ("to/same", "to/other"))
    assert copied["CopyObjectResult"]["ETag"] == told["ETag"] == same["ETag"]
    assert (same["Body"].read(), same["ContentType"], same["Metadata"]) == (b"1,2", "text/csv", {"a": "b"})
    assert (other["Body"].read(), other["ContentType"], other["Metadata"]) == (
        b"1,2",
        "text/plain",
        {"c": "d"},
    )
    assert s3.get_object_tagging(Bucket=bucket, Key="to/same")["TagSet"] == [{"Key": "t", "Value": "1"}]
    to_itself = {"Bucket": bucket, "Key": "from ü", "CopySource": source}
    assert refused(s3.copy_object, **to_itself) == (400, "InvalidRequest")
    s3.copy_object(**to_itself, **replaced)
    assert s3.head_object(Bucket=bucket, Key="from ü")["Metadata"] == {"c": "d"}
    nowhere = {"Bucket": bucket, "Key": "none"}
    assert refused(s3.copy_object, Bucket=bucket, Key="x", CopySource=nowhere) == (404, "NoSuchKey")


def test_tags_of_objects_and_buckets_are_kept(s3: Any, bucket: str, put: Any) -> None:
    put("k", b"1", Tagging="a=1&b=x%20y")
    assert s3.head_object(Bucket=bucket, Key="k").get("TagCount") == 2
    tags = [{"Key": "c", "Value": "ü"}]

    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    twice = {"TagSet": tags * 2}
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=twice) == (400, "InvalidTag")

    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


@pytest.mark.parametrize(
    "key", ["../out", "a/../../out", "/abs", "a//b", "a/./b", ".", "nul\0", "a/" + "x" * 256]
)
def test_a_key_that_can_be_no_file_is_refused(s3: Any, bucket: str, folder: Path, key: str) -> None:
    status, code = refused(s3.put_object, Bucket=bucket, Key=key, Body=b"1")
    assert status == 400
    assert code in ("InvalidArgument", "KeyTooLongError")
    assert list(folder.iterdir()) == []
    assert not (folder.parent / "out").exists()


def test_a_key_and_another_one_below_it_cannot_both_be(s3: Any, bucket: str, put: Any) -> None:
    put("a", b"1")
    put("b/c", b"1")

    assert refused(s3.put_object, Bucket=bucket, Key="a/x", Body=b"2") == (400, "InvalidRequest")
    assert refused(s3.put_object, Bucket=bucket, Key="b", Body=b"2") == (400, "InvalidRequest")
    assert refused(s3.get_object, Bucket=bucket, Key="a/x") == (404, "NoSuchKey")
    assert refused(s3.get_object, Bucket=bucket, Key="b") == (404, "NoSuchKey")
    s3.delete_object(Bucket=bucket, Key="b")  # there is none
    assert read(s3, bucket, "b/c") == b"1"


def test_a_key_that_ends_in_a_slash_is_a_folder(s3: Any, bucket: str, folder: Path, put: Any) -> None:
    put("f/")
    (folder / "by-hand").mkdir()

    assert (folder / "f").is_dir()
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["f/"]
    assert s3.head_object(Bucket=bucket, Key="f/")["ContentLength"] == 0
    assert refused(s3.head_object, Bucket=bucket, Key="by-hand/") == (404, "404")
    assert refused(s3.put_object, Bucket=bucket, Key="g/", Body=b"1") == (400, "InvalidArgument")
    put("f/x", b"1")
    s3.delete_object(Bucket=bucket, Key="f/x")
    assert (folder / "f").is_dir()  # it is an object itself
    s3.delete_object(Bucket=bucket, Key="f/")
    assert not (folder / "f").exists()


def test_no_link_is_followed_out_of_a_bucket(
    s3: Any, bucket: str, folder: Path, put: Any, stage: Stage
) -> None:
    outside = stage.server.data / f"outside-{bucket}"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")

    assert refused(s3.get_object, Bucket=bucket, Key="link/secret") == (404, "NoSuchKey")
    assert refused(s3.get_object, Bucket=bucket, Key="file") == (404, "NoSuchKey")
    assert refused(s3.put_object, Bucket=bucket, Key="link/new", Body=b"1") == (400, "InvalidRequest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="link/secret")
    s3.delete_object(Bucket=bucket, Key="file")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_other_web_pages_may_neither_write_nor_read(s3: Any, bucket: str, put: Any, stage: Stage) -> None:
    put("k", b"1")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    to_put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}

    assert web.get(link, headers=foreign).status_code == 403
    assert web.put(to_put, content=b"2", headers=foreign).status_code == 403
    started = s3.generate_presigned_url("create_multipart_upload", Params={"Bucket": bucket, "Key": "k"})
    assert web.post(started, headers={"Content-Type": "text/plain"}).status_code == 403  # as a form could
    assert web.get(link, headers={"Host": "evil.example"}).status_code == 403
    assert read(s3, bucket, "k") == b"1"
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    answer = web.get(link)
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_is_all_that_is_needed(stage: Stage, bucket: str, put: Any, version: str) -> None:
    put("k/ü", b"0123")
    s3 = client(stage.url, signature_version=version)
    params = {
        "Bucket": bucket,
        "Key": "k/ü",
        "ResponseContentType": "text/x",
        "ResponseCacheControl": "no-cache",
    }

    answer = web.get(s3.generate_presigned_url("get_object", Params=params), headers={"Range": "bytes=1-2"})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, b"12", "text/x")
    to_put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "new"})
    assert web.put(to_put, content=b"new").status_code == 200
    assert read(s3, bucket, "new") == b"new"
    assert (
        web.head(s3.generate_presigned_url("head_object", Params={"Bucket": bucket, "Key": "new"})).headers[
            "content-length"
        ]
        == "3"
    )


def test_a_presigned_url_whose_time_is_over_is_refused(stage: Stage, bucket: str, put: Any) -> None:
    put("k", b"0")
    params = {"Bucket": bucket, "Key": "k"}
    link = client(stage.url, signature_version="s3v4").generate_presigned_url("get_object", Params=params)
    assert web.get(link).status_code == 200
    over = re.sub("X-Amz-Date=[0-9]{8}T", "X-Amz-Date=20201231T", link)
    old = client(stage.url, signature_version="s3")
    for url in (over, old.generate_presigned_url("get_object", Params=params, ExpiresIn=-60)):
        answer = web.get(url)
        assert (answer.status_code, "<Code>AccessDenied</Code>" in answer.text) == (403, True)
        assert "<Message>Request has expired</Message><" in answer.text
        assert "<ServerTime>" in answer.text
        assert web.put(url, content=b"1").status_code == 403
    assert read(old, bucket, "k") == b"0"


def test_a_virtual_host_names_the_bucket(stage: Stage, bucket: str, put: Any) -> None:
    put("a/k", b"1")
    port = stage.url.rpartition(":")[2]
    s3 = client(f"http://localhost:{port}", s3={"addressing_style": "virtual"})
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/k"})
    assert url.startswith(f"http://{bucket}.localhost:{port}/a/k?")

    answer = web.get(
        url.replace(f"{bucket}.localhost", "127.0.0.1"), headers={"Host": f"{bucket}.localhost:{port}"}
    )
    assert (answer.status_code, answer.content) == (200, b"1")
    # A server that is itself called so below localhost is asked with the bucket in the path all the same.
    url = client(stage.url).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/k"})
    assert web.get(url, headers={"Host": f"sagebird.localhost:{port}"}).content == b"1"


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("get_bucket_policy", "NoSuchBucketPolicy"),
        ("get_bucket_policy_status", "NoSuchBucketPolicy"),
        ("get_bucket_cors", "NoSuchCORSConfiguration"),
        ("get_bucket_website", "NoSuchWebsiteConfiguration"),
        ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
        ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
        ("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
        ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
        ("get_bucket_ownership_controls", "OwnershipControlsNotFoundError"),
    ],
)
def test_settings_that_no_bucket_has_are_told_as_s3_tells_them(
    s3: Any, bucket: str, method: str, code: str
) -> None:
    assert refused(getattr(s3, method), Bucket=bucket) == (404, code)


def test_other_settings_are_those_of_a_new_bucket(s3: Any, bucket: str, put: Any) -> None:
    put("k", b"1")
    grants = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert [(one["Grantee"]["Type"], one["Permission"]) for one in grants] == [
        ("CanonicalUser", "FULL_CONTROL")
    ]
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Grants"] == grants
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def test_what_was_deployed_is_in_no_bucket(s3: Any, stage: Stage) -> None:
    (stage.server.data / "s3" / "sagebird-deployments").mkdir(parents=True, exist_ok=True)

    assert "sagebird-deployments" not in {one["Name"] for one in s3.list_buckets()["Buckets"]}
    hidden = {"Bucket": "sagebird-deployments"}
    assert refused(s3.create_bucket, **hidden) == (409, "BucketAlreadyExists")
    assert refused(s3.put_object, Key="m/inference.py", Body=b"", **hidden) == (404, "NoSuchBucket")
    assert refused(s3.list_objects_v2, **hidden) == (404, "NoSuchBucket")
    assert refused(s3.delete_bucket, **hidden) == (404, "NoSuchBucket")


def test_what_is_not_served_says_so_by_its_name(s3: Any, bucket: str) -> None:
    versioning = {"Status": "Enabled"}
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert "PutBucketVersioning" in caught.value.response["Error"]["Message"]
    wrong = {"Bucket": bucket, "ExpectedBucketOwner": "1" * 12}
    assert refused(s3.list_objects_v2, **wrong) == (403, "AccessDenied")


def test_a_browser_still_gets_its_page(stage: Stage) -> None:
    answer = web.get(stage.url, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
