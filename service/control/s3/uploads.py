"""The operations of S3 on uploads in parts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from service.control.s3.context import Receiving, S3Context, S3Fields, S3Output
from service.control.s3.objects import BLOCK_BYTES, details_asked, quoted, source_of, written_members
from service.control.s3.reading import span_of
from service.control.s3.receiving import BodyReceiving, Promised, checksum_members
from service.errors import BucketFault
from service.objects.buckets.digests import CHECKSUMS, COMPOSITE, FULL_OBJECT, Digests
from service.objects.buckets.uploads import MOST_PARTS, Part, Upload
from service.objects.buckets.writing import Expected

_MOST: Final = 1000


def create_multipart_upload(context: S3Context, fields: S3Fields) -> S3Output:
    """CreateMultipartUpload."""
    algorithm = fields.get("ChecksumAlgorithm", "")
    if algorithm and algorithm not in CHECKSUMS:
        raise BucketFault("InvalidRequest", "Checksum algorithm provided is unsupported.")
    usual = FULL_OBJECT if algorithm == "CRC64NVME" else COMPOSITE
    kind = fields.get("ChecksumType", usual) if algorithm else ""
    if (kind == FULL_OBJECT and algorithm.startswith("SHA")) or (kind == COMPOSITE and usual == FULL_OBJECT):
        text = f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        raise BucketFault("InvalidRequest", text)
    bucket, key = fields["Bucket"], fields["Key"]
    identifier = context.uploads.begin(bucket, key, details_asked(fields), algorithm, kind)
    members = {"Bucket": bucket, "Key": key, "UploadId": identifier}
    return S3Output(
        {**members, "ChecksumAlgorithm": algorithm, "ChecksumType": kind} if algorithm else members
    )


def upload_part(context: S3Context, fields: S3Fields, headers: Mapping[str, str]) -> Receiving:
    """UploadPart."""
    upload = _upload(context, fields)
    promised = Promised(fields, headers, upload.algorithm)
    writing = context.uploads.write_part(
        fields["Bucket"], upload.key, upload.id, fields["PartNumber"], promised.length
    )

    def publish(digests: Digests) -> S3Output:
        part = writing.publish(digests.md5.hex(), digests.checksums)
        return S3Output({"ETag": quoted(part.etag), **checksum_members(part.checksums, "")})

    return BodyReceiving(writing, promised, publish)


def upload_part_copy(context: S3Context, fields: S3Fields) -> S3Output:
    """UploadPartCopy."""
    upload = _upload(context, fields)
    source = source_of(context, fields)
    try:
        start, end = 0, source.head.size_bytes
        if "CopySourceRange" in fields:
            start, end = span_of(fields["CopySourceRange"], end) or (0, -1)
        if end < start:
            text = (
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last "
                "are the zero-based offsets of the first and last bytes to copy"
            )
            raise BucketFault("InvalidArgument", text)
        digests = Digests([upload.algorithm] if upload.algorithm else [])
        writing = context.uploads.write_part(
            fields["Bucket"], upload.key, upload.id, fields["PartNumber"], end - start
        )
        try:
            for at in range(start, end, BLOCK_BYTES):
                block = source.read(at, min(BLOCK_BYTES, end - at))
                digests.update(block)
                writing.write(block)
            part = writing.publish(digests.md5.hex(), digests.checksums)
        finally:
            writing.abandon()
    finally:
        source.close()
    result = {"ETag": quoted(part.etag), "LastModified": _time(part), **checksum_members(part.checksums, "")}
    return S3Output({"CopyPartResult": result})


def complete_multipart_upload(context: S3Context, fields: S3Fields) -> S3Output:
    """CompleteMultipartUpload."""
    wanted = fields.get("MultipartUpload", {}).get("Parts", [])
    if not wanted:
        raise BucketFault("MalformedXML", "You must specify at least one part")
    bucket, key = fields["Bucket"], fields["Key"]
    expected = Expected(fields.get("IfMatch"), fields.get("IfNoneMatch"))
    head = context.uploads.complete(bucket, key, fields["UploadId"], wanted, expected)
    members = {"Bucket": bucket, "Key": key, "Location": f"/{bucket}/{quote(key)}"}
    return S3Output({**members, **written_members(head)})


def abort_multipart_upload(context: S3Context, fields: S3Fields) -> S3Output:
    """AbortMultipartUpload."""
    context.uploads.abort(fields["Bucket"], fields["Key"], fields["UploadId"])
    return S3Output()


def list_parts(context: S3Context, fields: S3Fields) -> S3Output:
    """ListParts."""
    upload = context.uploads.get(fields["Bucket"], fields["Key"], fields["UploadId"])
    most, marker = min(fields.get("MaxParts", _MOST), _MOST), fields.get("PartNumberMarker", 0)
    parts = [part for part in context.uploads.parts(fields["Bucket"], upload.id) if part.number > int(marker)]
    told = parts[: max(most, 0)]
    members: dict[str, Any] = {
        "Bucket": fields["Bucket"],
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": told[-1].number if told else 0,
        "MaxParts": most,
        "IsTruncated": len(parts) > len(told),
        "Parts": [_part(part) for part in told],
        "Initiator": context.owner,
        "Owner": context.owner,
        "StorageClass": "STANDARD",
    }
    if upload.algorithm:
        members |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
    return S3Output(members)


def list_multipart_uploads(context: S3Context, fields: S3Fields) -> S3Output:
    """ListMultipartUploads."""
    prefix, delimiter = fields.get("Prefix", ""), fields.get("Delimiter", "")
    most = min(fields.get("MaxUploads", _MOST), _MOST)
    behind = fields.get("KeyMarker", ""), fields.get("UploadIdMarker", "")
    uploads = [one for one in context.uploads.all(fields["Bucket"]) if one.key.startswith(prefix)]
    uploads = [
        one for one in uploads if one.key > behind[0] or (one.key == behind[0] and one.id > behind[1] > "")
    ]
    told, prefixes = [], set()
    for one in uploads[:most]:
        at = one.key.find(delimiter, len(prefix)) if delimiter else -1
        if at < 0:
            told.append(one)
        else:
            prefixes.add(one.key[: at + len(delimiter)])
    url = quote if fields.get("EncodingType") == "url" else str
    members: dict[str, Any] = {
        "Bucket": fields["Bucket"],
        "KeyMarker": url(behind[0]),
        "UploadIdMarker": behind[1],
        "MaxUploads": most,
        "IsTruncated": len(uploads) > most,
        "Uploads": [{**_told(one, context.owner), "Key": url(one.key)} for one in told],
        "CommonPrefixes": [{"Prefix": url(one)} for one in sorted(prefixes)],
        "Prefix": url(prefix),
    }
    if len(uploads) > most > 0:
        members |= {"NextKeyMarker": url(uploads[most - 1].key), "NextUploadIdMarker": uploads[most - 1].id}
    for name in ("Delimiter", "EncodingType"):
        if name in fields:
            members[name] = fields[name]
    return S3Output(members)


def _upload(context: S3Context, fields: S3Fields) -> Upload:
    """The upload that a part is for. Raises BucketFault."""
    if not 1 <= fields["PartNumber"] <= MOST_PARTS:
        text = f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive"
        raise BucketFault("InvalidArgument", text, ArgumentName="partNumber")
    return context.uploads.get(fields["Bucket"], fields["Key"], fields["UploadId"])


def _part(part: Part) -> dict[str, Any]:
    told = {"PartNumber": part.number, "LastModified": _time(part), "ETag": quoted(part.etag)}
    return {**told, "Size": part.size_bytes, **checksum_members(part.checksums, "")}


def _told(upload: Upload, owner: Mapping[str, str]) -> dict[str, Any]:
    told = {"UploadId": upload.id, "Initiated": upload.started, "StorageClass": "STANDARD"}
    told |= {"Owner": owner, "Initiator": owner}
    if upload.algorithm:
        told |= {"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.checksum_type}
    return told


def _time(part: Part) -> datetime:
    return datetime.fromtimestamp(part.modified_s, UTC)
