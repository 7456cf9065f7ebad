"""How objects are read: on which conditions, which part of them, and what is told of them."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from service.control.s3.context import S3Fields, S3Output
from service.control.s3.receiving import checksum_members
from service.errors import BucketFault
from service.objects.buckets.buckets import ObjectHead, OpenObject
from service.objects.buckets.writing import matches, precondition

_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_OVERRIDES: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
)


def opened_output(head: ObjectHead, fields: S3Fields, body: OpenObject | None) -> S3Output:
    """The answer to a GET or a HEAD of an object. Raises BucketFault."""
    members = _members(head, fields)
    if check_conditions(head, fields) == 304:
        if body is not None:
            body.close()
        kept = ("ETag", "LastModified", "CacheControl", "Expires")
        return S3Output({name: members[name] for name in kept if name in members}, 304)
    start, end, is_part = _range(head, fields)
    members["ContentLength"] = end - start
    if is_part:
        members["ContentRange"] = f"bytes {start}-{end - 1}/{head.size_bytes}"
    if fields.get("ChecksumMode", "").upper() == "ENABLED" and not is_part:
        members |= checksum_members(head.details.checksums, head.details.checksum_type)
    if "PartNumber" in fields and head.details.part_sizes:
        members["PartsCount"] = len(head.details.part_sizes)
    return S3Output(members, 206 if is_part else 200, body, start, end)


def check_conditions(head: ObjectHead, fields: S3Fields) -> int:
    """200 where the object may be read, 304 where the client has it already. Raises BucketFault.

    Source: RFC 9110, 13.2.2.
    """
    etag, modified = head.details.etag, head.modified
    if "IfMatch" in fields:
        if not matches(fields["IfMatch"], etag):
            raise precondition("If-Match")
    elif "IfUnmodifiedSince" in fields and modified > _time(fields["IfUnmodifiedSince"]):
        raise precondition("If-Unmodified-Since")
    if "IfNoneMatch" in fields:
        return 304 if matches(fields["IfNoneMatch"], etag) else 200
    if "IfModifiedSince" in fields and modified <= _time(fields["IfModifiedSince"]):
        return 304
    return 200


def version_asked(fields: Mapping[str, Any]) -> None:
    """Buckets keep one version of each object. Raises BucketFault where another is asked for."""
    if fields.get("VersionId", "null") != "null":
        raise BucketFault(
            "NoSuchVersion", "The specified version does not exist.", VersionId=fields["VersionId"]
        )


def span_of(text: str, size: int) -> tuple[int, int] | None:
    """First byte and end of a range of so many bytes, None where it is no range that is served.

    Raises: BucketFault where the range is none of these bytes.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= size or (not first and int(last) == 0):
        raise BucketFault(
            "InvalidRange",
            "The requested range is not satisfiable",
            RangeRequested=text,
            ActualObjectSize=str(size),
        )
    return start, end


def _members(head: ObjectHead, fields: S3Fields) -> dict[str, Any]:
    details = head.details
    members: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": head.modified,
        "ETag": f'"{details.etag}"',
        "Metadata": details.metadata,
        **details.headers,
        "ContentType": details.content_type,
    }
    if details.tags:
        members["TagCount"] = len(details.tags)
    overrides = {name: fields.get(f"Response{name}") for name in _OVERRIDES}
    return {**members, **{name: value for name, value in overrides.items() if value}}


def _range(head: ObjectHead, fields: S3Fields) -> tuple[int, int, bool]:
    size = head.size_bytes
    if "PartNumber" in fields:
        return _part(head, fields["PartNumber"])
    span = span_of(fields["Range"], size) if "Range" in fields else None
    return (0, size, False) if span is None else (*span, True)


def _part(head: ObjectHead, number: int) -> tuple[int, int, bool]:
    sizes = head.details.part_sizes or (head.size_bytes,)
    if not 1 <= number <= len(sizes):
        raise BucketFault(
            "InvalidPartNumber",
            "The requested partnumber is not satisfiable",
            ActualPartCount=str(len(sizes)),
        )
    start = sum(sizes[: number - 1])
    end = start + sizes[number - 1]
    return start, end, end > start


def _time(value: datetime) -> datetime:
    return value.replace(microsecond=0)
