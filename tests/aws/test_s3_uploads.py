"""Uploads in parts by stock boto3, and by its transfer manager, which decides by itself when to use them."""

import base64
import hashlib
import io
import secrets
import zlib
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from tests.aws.conftest import Stage
from tests.aws.test_s3 import bucket, folder, refused, s3  # noqa: F401 - fixtures

_MIB = 1 << 20
_LEAST = 5 * _MIB


def _etag(parts: list[bytes]) -> str:
    digests = [hashlib.md5(part, usedforsecurity=False).digest() for part in parts]
    return f'"{hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()}-{len(parts)}"'


def _begun(s3: Any, bucket: str, key: str = "a/k", **more: Any) -> dict[str, str]:  # noqa: F811
    told = s3.create_multipart_upload(Bucket=bucket, Key=key, **more)
    return {"Bucket": bucket, "Key": key, "UploadId": told["UploadId"]}


def _sent(s3: Any, upload: dict[str, str], parts: dict[int, bytes]) -> dict[str, Any]:  # noqa: F811
    told = []
    for number, part in parts.items():
        answer = s3.upload_part(PartNumber=number, Body=part, **upload)
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        told.append({"PartNumber": number, "ETag": answer["ETag"], **sums})
    return {"Parts": sorted(told, key=lambda part: part["PartNumber"])}


def test_parts_become_one_object_in_whatever_order_they_come(s3: Any, bucket: str, folder: Path) -> None:  # noqa: F811
    parts = {2: secrets.token_bytes(_LEAST), 1: secrets.token_bytes(_LEAST), 3: b"the end"}
    upload = _begun(s3, bucket, ContentType="text/x", Metadata={"a": "b"}, Tagging="t=1")
    wanted = _sent(s3, upload, parts)
    assert not (folder / "a").exists()
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["a/k"]
    listed = s3.list_parts(**upload)
    assert [(one["PartNumber"], one["Size"]) for one in listed["Parts"]] == [(1, _LEAST), (2, _LEAST), (3, 7)]

    told = s3.complete_multipart_upload(MultipartUpload=wanted, **upload)

    in_order = [parts[number] for number in (1, 2, 3)]
    assert (folder / "a" / "k").read_bytes() == b"".join(in_order)
    found = s3.head_object(Bucket=bucket, Key="a/k")
    assert told["ETag"] == found["ETag"] == _etag(in_order)
    assert (found["ContentType"], found["Metadata"], found["TagCount"]) == ("text/x", {"a": "b"}, 1)
    second = s3.get_object(Bucket=bucket, Key="a/k", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (parts[2], 3)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    # A client that heard no answer asks again.
    assert s3.complete_multipart_upload(MultipartUpload=wanted, **upload)["ETag"] == told["ETag"]
    assert refused(s3.list_parts, **upload) == (404, "NoSuchUpload")


def test_large_parts_lie_where_they_belong_though_they_are_written_early(
    s3: Any,  # noqa: F811
    bucket: str,  # noqa: F811
    folder: Path,  # noqa: F811
) -> None:
    parts = {number: secrets.token_bytes(20_000_000) for number in (2, 1)} | {3: secrets.token_bytes(9 << 20)}
    upload = _begun(s3, bucket)

    s3.complete_multipart_upload(MultipartUpload=_sent(s3, upload, parts), **upload)

    assert (folder / "a" / "k").read_bytes() == b"".join(parts[number] for number in (1, 2, 3))


def test_a_part_that_is_sent_again_takes_the_place_of_the_first(s3: Any, bucket: str, folder: Path) -> None:  # noqa: F811
    first, last = secrets.token_bytes(_LEAST), secrets.token_bytes(9)
    upload = _begun(s3, bucket)
    _sent(s3, upload, {1: bytes(_LEAST), 2: b"no"})
    _sent(s3, upload, {1: secrets.token_bytes(_LEAST)})
    wanted = _sent(s3, upload, {1: first, 2: last})

    s3.complete_multipart_upload(MultipartUpload=wanted, **upload)

    assert (folder / "a" / "k").read_bytes() == first + last


def test_some_of_the_parts_may_be_left_out(s3: Any, bucket: str, folder: Path) -> None:  # noqa: F811
    upload = _begun(s3, bucket)
    wanted = _sent(s3, upload, {1: b"x" * _LEAST, 5: b"y" * _LEAST, 9: b"z"})

    s3.complete_multipart_upload(MultipartUpload={"Parts": wanted["Parts"][1:]}, **upload)

    assert (folder / "a" / "k").read_bytes() == b"y" * _LEAST + b"z"


def test_what_is_not_right_is_told_and_the_upload_goes_on(s3: Any, bucket: str, folder: Path) -> None:  # noqa: F811
    upload = _begun(s3, bucket)
    sent = _sent(s3, upload, {1: b"small", 2: b"end"})["Parts"]

    def complete(*parts: dict[str, Any]) -> tuple[int, str]:
        return refused(s3.complete_multipart_upload, MultipartUpload={"Parts": list(parts)}, **upload)

    assert complete(*sent) == (400, "EntityTooSmall")
    assert complete(*reversed(sent)) == (400, "InvalidPartOrder")
    assert complete({"PartNumber": 1, "ETag": '"other"'}) == (400, "InvalidPart")
    assert complete({"PartNumber": 7, "ETag": sent[0]["ETag"]}) == (400, "InvalidPart")
    assert complete() == (400, "MalformedXML")
    wrong = {**upload, "UploadId": "../../x"}
    assert refused(s3.upload_part, PartNumber=1, Body=b"", **wrong) == (404, "NoSuchUpload")
    assert refused(s3.upload_part, PartNumber=10_001, Body=b"", **upload) == (400, "InvalidArgument")
    assert refused(
        s3.upload_part, PartNumber=1, Body=b"1", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==", **upload
    ) == (
        400,
        "BadDigest",
    )
    s3.complete_multipart_upload(MultipartUpload={"Parts": sent[1:]}, **upload)
    assert (folder / "a" / "k").read_bytes() == b"end"


def test_an_upload_that_is_aborted_leaves_nothing(s3: Any, bucket: str, folder: Path, stage: Stage) -> None:  # noqa: F811
    upload = _begun(s3, bucket)
    _sent(s3, upload, {1: b"1", 2: b"2" * 7})
    kept = stage.server.data / "s3-details" / bucket / "uploads"
    assert len(list(kept.iterdir())) == 1

    s3.abort_multipart_upload(**upload)

    assert list(kept.iterdir()) == []
    assert list(folder.iterdir()) == []
    assert refused(s3.abort_multipart_upload, **upload) == (404, "NoSuchUpload")


def test_a_condition_holds_for_the_object_that_is_made(s3: Any, bucket: str) -> None:  # noqa: F811
    s3.put_object(Bucket=bucket, Key="a/k", Body=b"there")
    upload = _begun(s3, bucket)
    wanted = _sent(s3, upload, {1: b"1"})

    asked = {"MultipartUpload": wanted, "IfNoneMatch": "*", **upload}
    assert refused(s3.complete_multipart_upload, **asked) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="a/k")["Body"].read() == b"there"
    s3.complete_multipart_upload(MultipartUpload=wanted, **upload)
    assert s3.get_object(Bucket=bucket, Key="a/k")["Body"].read() == b"1"


def test_parts_are_copied_from_objects(s3: Any, bucket: str, folder: Path) -> None:  # noqa: F811
    data = secrets.token_bytes(_LEAST + 10)
    s3.put_object(Bucket=bucket, Key="from", Body=data)
    source = {"Bucket": bucket, "Key": "from"}
    upload = _begun(s3, bucket)

    ranges = [f"bytes=0-{_LEAST - 1}", f"bytes={_LEAST}-{_LEAST + 9}"]
    told = [
        s3.upload_part_copy(PartNumber=number, CopySource=source, CopySourceRange=span, **upload)
        for number, span in enumerate(ranges, 1)
    ]
    parts = [
        {"PartNumber": number, "ETag": one["CopyPartResult"]["ETag"]} for number, one in enumerate(told, 1)
    ]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **upload)

    assert (folder / "a" / "k").read_bytes() == data
    other = _begun(s3, bucket)
    bad = {"PartNumber": 1, "CopySource": source, "CopySourceRange": "bytes=nope", **other}
    assert refused(s3.upload_part_copy, **bad) == (400, "InvalidArgument")


@pytest.mark.provenance("documented")
def test_checksums_of_parts_are_joined_or_summed_up_again(s3: Any, bucket: str) -> None:  # noqa: F811
    parts = {1: secrets.token_bytes(_LEAST), 2: b"end"}
    sums = [zlib.crc32(part).to_bytes(4, "big") for part in parts.values()]
    expected = {
        "FULL_OBJECT": base64.b64encode(zlib.crc32(b"".join(parts.values())).to_bytes(4, "big")).decode(),
        "COMPOSITE": base64.b64encode(zlib.crc32(b"".join(sums)).to_bytes(4, "big")).decode() + "-2",
    }

    for kind, value in expected.items():
        upload = _begun(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType=kind)
        wanted = _sent(s3, upload, parts)
        told = s3.complete_multipart_upload(MultipartUpload=wanted, **upload)
        assert (told["ChecksumCRC32"], told["ChecksumType"]) == (value, kind)
        found = s3.head_object(Bucket=bucket, Key="a/k", ChecksumMode="ENABLED")
        assert (found["ChecksumCRC32"], found["ChecksumType"]) == (value, kind)
    wrong = {"Bucket": bucket, "Key": "k", "ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"}
    assert refused(s3.create_multipart_upload, **wrong) == (400, "InvalidRequest")


def test_the_transfer_manager_sends_and_fetches_in_parts(s3: Any, bucket: str, folder: Path) -> None:  # noqa: F811
    data = secrets.token_bytes(3 * _LEAST + 11)
    config = TransferConfig(multipart_threshold=_LEAST, multipart_chunksize=_LEAST, max_concurrency=3)

    s3.upload_fileobj(io.BytesIO(data), bucket, "big", Config=config)
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=config)
    fetched = io.BytesIO()
    s3.download_fileobj(bucket, "copied", fetched, Config=config)

    assert (folder / "big").read_bytes() == data == fetched.getvalue()
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-4"')
