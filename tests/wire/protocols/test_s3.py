"""S3 on the wire: what botocore sends is read as what it means, and what is written as what it says."""

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence

from service.errors import BucketFault
from service.wire.protocols.s3 import S3Asked, S3Protocol
from service.wire.protocols.s3_places import asked_of, bucket_of_host, split_path
from service.wire.spec import load_service

_MODEL = ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")
_S3 = S3Protocol(load_service("s3"))
_ELSEWHERE = {
    "GetBucketLifecycle",
    "PutBucketLifecycle",
    "GetBucketNotification",
    "PutBucketNotification",
    "ListDirectoryBuckets",
    "WriteGetObjectResponse",
}


def _asked(operation: str, members: Mapping[str, Any]) -> tuple[S3Asked, bytes]:
    """A request as botocore writes it, read as the face reads it."""
    made = create_serializer("rest-xml", False).serialize_to_request(
        members, _MODEL.operation_model(operation)
    )
    body = made["body"]
    path, _, query = made["url_path"].partition("?")
    query = "&".join(filter(None, (query, percent_encode_sequence(made["query_string"]))))
    headers = [(name.lower().encode(), str(value).encode()) for name, value in made["headers"].items()]
    scope = {"method": made["method"], "query_string": query.encode(), "headers": headers}
    asked = asked_of(scope, *split_path(path.encode()))
    return asked, body.read() if isinstance(body, io.IOBase) else body or b""


def _least(shape: Any) -> dict[str, Any]:
    """The required members, as short as they can be."""
    values: dict[str, Any] = {
        "string": "x",
        "integer": 1,
        "long": 1,
        "boolean": True,
        "blob": b"x",
        "list": [],
    }
    return {
        name: _least(shape.members[name])
        if shape.members[name].type_name == "structure"
        else values[shape.members[name].type_name]
        for name in shape.required_members
    }


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("operation", sorted(set(_MODEL.operation_names) - _ELSEWHERE))
def test_every_operation_is_known_by_what_its_client_sends(operation: str) -> None:
    shape = _MODEL.operation_model(operation).input_shape
    members = {} if shape is None else _least(shape)

    asked, _ = _asked(operation, members)

    assert _S3.operation_of(asked) == operation


def test_what_no_operation_looks_like_is_refused() -> None:
    with pytest.raises(BucketFault) as caught:
        _S3.operation_of(S3Asked("POST", "b", "", {}, {}))
    assert caught.value.code == "MethodNotAllowed"


@pytest.mark.provenance("botocore")
def test_members_are_read_from_wherever_they_are() -> None:
    members = {
        "Bucket": "b",
        "Key": "a/ü +%.txt",
        "Metadata": {"one": "1"},
        "ContentType": "text/csv",
        "Tagging": "a=b",
        "Body": b"1,2",
    }
    asked, _ = _asked("PutObject", members)

    read = _S3.read("PutObject", asked, b"")

    assert {name: read[name] for name in members if name != "Body"} == {
        name: value for name, value in members.items() if name != "Body"
    }
    listed, _ = _asked("ListObjectsV2", {"Bucket": "b", "Prefix": "a b/", "MaxKeys": 7, "FetchOwner": True})
    found = _S3.read("ListObjectsV2", listed, b"")
    assert (found["Prefix"], found["MaxKeys"], found["FetchOwner"]) == ("a b/", 7, True)


@pytest.mark.provenance("botocore")
def test_documents_are_read() -> None:
    objects = [{"Key": "a<&>\n", "VersionId": "null"}, {"Key": "b"}]
    asked, body = _asked("DeleteObjects", {"Bucket": "b", "Delete": {"Objects": objects, "Quiet": True}})
    assert _S3.read("DeleteObjects", asked, body)["Delete"] == {"Objects": objects, "Quiet": True}

    tags = {"TagSet": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": " c "}]}
    asked, body = _asked("PutBucketTagging", {"Bucket": "b", "Tagging": tags})
    assert _S3.read("PutBucketTagging", asked, body)["Tagging"] == tags

    parts = [{"ETag": '"e"', "PartNumber": 2, "ChecksumCRC32": "x"}]
    members = {"Bucket": "b", "Key": "k", "UploadId": "u", "MultipartUpload": {"Parts": parts}}
    asked, body = _asked("CompleteMultipartUpload", members)
    read = _S3.read("CompleteMultipartUpload", asked, body)
    assert (read["MultipartUpload"], read["UploadId"]) == ({"Parts": parts}, "u")


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete><Object>",
        b"no document",
        b'<!DOCTYPE a [<!ENTITY b "b">]><Delete>&b;</Delete>',
        b"<?xml version='1.0' encoding='nope'?><Delete/>",
        b"<Delete>" * 40 + b"</Delete>" * 40,
        b"<Delete><Quiet>perhaps</Quiet></Delete>",
        b"<D>" + b"<a/>" * 200_000 + b"</D>",
    ],
)
def test_what_is_no_such_document_is_refused(body: bytes) -> None:
    asked, _ = _asked("DeleteObjects", {"Bucket": "b", "Delete": {"Objects": []}})
    with pytest.raises(BucketFault) as caught:
        _S3.read("DeleteObjects", asked, body)
    assert caught.value.code == "MalformedXML"


_WHEN = datetime(2026, 11, 29, 9, 0, 1, tzinfo=UTC)


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("operation", "output"),
    [
        ("ListBuckets", {"Buckets": [{"Name": "b", "CreationDate": _WHEN}], "Owner": {"ID": "1"}}),
        (
            "ListObjectsV2",
            {
                "Name": "b",
                "IsTruncated": False,
                "Contents": [
                    {"Key": "a\r<&>ü", "LastModified": _WHEN, "ETag": '"e"', "ChecksumAlgorithm": ["CRC32"]},
                    {"Key": "b", "Size": 2**40},
                ],
                "CommonPrefixes": [{"Prefix": "c/"}],
            },
        ),
        ("GetBucketTagging", {"TagSet": [{"Key": "a", "Value": "b"}]}),
        ("DeleteObjects", {"Deleted": [{"Key": "a"}], "Errors": [{"Key": "b", "Code": "c"}]}),
        ("CopyObject", {"CopyObjectResult": {"ETag": '"e"', "LastModified": _WHEN}}),
        (
            "GetBucketAcl",
            {
                "Owner": {"ID": "1"},
                "Grants": [{"Grantee": {"ID": "1", "Type": "CanonicalUser"}, "Permission": "READ"}],
            },
        ),
        ("HeadObject", {"Metadata": {"a": "b"}, "LastModified": _WHEN, "ContentLength": 5, "ETag": '"e"'}),
        ("CreateMultipartUpload", {"Bucket": "b", "Key": "k", "UploadId": "u"}),
        ("GetBucketPolicy", {"Policy": '{"a": 1}'}),
        ("PutObject", {"ETag": '"e"', "ChecksumCRC32": "x"}),
        ("DeleteObject", {}),
    ],
)
def test_a_client_reads_what_an_operation_gives_back(operation: str, output: dict[str, Any]) -> None:
    reply = _S3.write(operation, output)

    headers = HeadersDict({name.decode(): value.decode("latin-1") for name, value in reply.headers})
    answer = {"status_code": reply.status, "headers": headers, "body": reply.body}
    parsed = create_parser("rest-xml").parse(answer, _MODEL.operation_model(operation).output_shape)
    assert {name: parsed.get(name) for name in output} == output


def test_what_no_header_can_hold_is_refused() -> None:
    for text in ("a\r\nb", "€"):
        with pytest.raises(BucketFault):
            _S3.write("HeadObject", {"ContentType": text})


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("localhost:8080", ""),
        ("127.0.0.1:8080", ""),
        ("[::1]", ""),
        ("b.localhost:8080", "b"),
        ("my.bucket.localhost", "my.bucket"),
        ("b.s3.localhost", "b"),
        ("s3.localhost", ""),
        ("b.s3.eu-west-1.amazonaws.com", "b"),
        ("b.c.s3-eu-west-1.amazonaws.com", "b.c"),
        ("s3.amazonaws.com", ""),
        ("b.example.com", "b"),
        ("b.s3.example.com", "b"),
        ("example.com", ""),
        ("example.org", ""),
        ("b.example.org", ""),
        ("-", ""),
    ],
)
def test_a_host_names_a_bucket_where_it_can(host: str, bucket: str) -> None:
    assert bucket_of_host(host, ["example.com"]) == bucket


def test_a_path_that_is_no_text_is_refused() -> None:
    with pytest.raises(BucketFault) as caught:
        split_path(b"/b/%ff")
    assert caught.value.code == "InvalidURI"
    with pytest.raises(BucketFault):
        asked_of({"method": "GET", "query_string": b"a=%ff", "headers": []}, "b", "")


def test_a_presigned_url_may_carry_headers_but_for_checksums() -> None:
    query = b"X-Amz-Signature=0&x-amz-meta-a=b&x-amz-checksum-crc32=AAAAAA%3D%3D"
    asked = asked_of({"method": "PUT", "query_string": query, "headers": [(b"x-amz-meta-c", b"d")]}, "b", "k")
    read = _S3.read("PutObject", asked, b"")
    assert read["Metadata"] == {"a": "b", "c": "d"}
    assert "ChecksumCRC32" not in read
