"""The operations of S3 that list objects, a page at a time."""

import base64
import binascii
from typing import Any, Final
from urllib.parse import quote

from service.control.s3.context import S3Context, S3Fields, S3Output
from service.control.s3.objects import quoted
from service.errors import BucketFault
from service.objects.buckets.buckets import ObjectHead
from service.objects.buckets.listing import Page, behind_all, page_of

_MOST: Final = 1000


def list_objects(context: S3Context, fields: S3Fields) -> S3Output:
    """ListObjects: the next page begins behind a marker."""
    marker = fields.get("Marker", "")
    page, members = _page(context, fields, _behind_marker(marker, fields))
    members["Marker"] = _url(fields, marker)
    if page.is_cut and fields.get("Delimiter"):
        members["NextMarker"] = _url(fields, _last_told(page))
    contents = [_content(head, fields, context.owner) for head in _heads(context, fields, page)]
    return S3Output({**members, "Contents": contents})


def list_objects_v2(context: S3Context, fields: S3Fields) -> S3Output:
    """ListObjectsV2: the next page begins where a token says."""
    token = fields.get("ContinuationToken")
    after = fields.get("StartAfter", "") if token is None else _read_token(token)
    page, members = _page(context, fields, after)
    for name in ("ContinuationToken", "StartAfter"):
        if name in fields:
            members[name] = fields[name] if name == "ContinuationToken" else _url(fields, fields[name])
    if page.is_cut:
        members["NextContinuationToken"] = base64.urlsafe_b64encode(page.behind.encode()).decode("ascii")
    owner = context.owner if fields.get("FetchOwner") else None
    contents = [_content(head, fields, owner) for head in _heads(context, fields, page)]
    return S3Output({**members, "KeyCount": len(contents) + len(page.prefixes), "Contents": contents})


def list_object_versions(context: S3Context, fields: S3Fields) -> S3Output:
    """ListObjectVersions: each object has the one version that is there."""
    marker = fields.get("KeyMarker", "")
    page, members = _page(context, fields, _behind_marker(marker, fields))
    members["KeyMarker"] = _url(fields, marker)
    if page.is_cut:
        members["NextKeyMarker"], members["NextVersionIdMarker"] = _url(fields, _last_told(page)), "null"
    versions = [
        {**_content(head, fields, context.owner), "VersionId": "null", "IsLatest": True}
        for head in _heads(context, fields, page)
    ]
    return S3Output({**members, "Versions": versions})


def _page(context: S3Context, fields: S3Fields, after: str) -> tuple[Page, dict[str, Any]]:
    """A page, and what each kind of answer tells of it. Raises BucketFault."""
    most = fields.get("MaxKeys", _MOST)
    if most < 0:
        raise BucketFault("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
    if fields.get("EncodingType", "url") != "url":
        raise BucketFault("InvalidArgument", "Invalid Encoding Method specified in Request")
    prefix, delimiter = fields.get("Prefix", ""), fields.get("Delimiter", "")
    page = page_of(context.buckets.walk(fields["Bucket"], prefix, after, delimiter), min(most, _MOST))
    members: dict[str, Any] = {
        "Name": fields["Bucket"],
        "Prefix": _url(fields, prefix),
        "MaxKeys": min(most, _MOST),
        "IsTruncated": page.is_cut,
        "CommonPrefixes": [{"Prefix": _url(fields, one)} for one in page.prefixes],
    }
    if delimiter:
        members["Delimiter"] = _url(fields, delimiter)
    if "EncodingType" in fields:
        members["EncodingType"] = "url"
    return page, members


def _heads(context: S3Context, fields: S3Fields, page: Page) -> list[ObjectHead]:
    found = (context.buckets.find(fields["Bucket"], one.key) for one in page.objects)
    return [head for head in found if head is not None]  # None: gone meanwhile


def _content(head: ObjectHead, fields: S3Fields, owner: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "Key": _url(fields, head.key),
        "LastModified": head.modified,
        "ETag": quoted(head.details.etag),
        "Size": head.size_bytes,
        "StorageClass": "STANDARD",
    }
    if head.details.checksums:
        content["ChecksumAlgorithm"] = list(head.details.checksums)
        content["ChecksumType"] = head.details.checksum_type
    return content if owner is None else {**content, "Owner": owner}


def _behind_marker(marker: str, fields: S3Fields) -> str:
    """A marker that was told as the beginning of many keys stands for all of them."""
    delimiter = fields.get("Delimiter")
    return behind_all(marker) if delimiter and marker.endswith(delimiter) else marker


def _last_told(page: Page) -> str:
    """The last key or beginning of a page."""
    keys = [one.key for one in page.objects[-1:]] + page.prefixes[-1:]
    return max(keys, default="")


def _url(fields: S3Fields, text: str) -> str:
    return quote(text, safe="/") if fields.get("EncodingType") else text


def _read_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode("ascii")).decode()
    except (UnicodeError, binascii.Error):
        raise BucketFault("InvalidArgument", "The continuation token provided is incorrect") from None
