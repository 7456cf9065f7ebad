"""The operations of S3 on single objects: put, get, head, delete, copy, tags and attributes."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from service.control.s3.context import Receiving, S3Context, S3Fields, S3Output
from service.control.s3.reading import check_conditions, opened_output, version_asked
from service.control.s3.receiving import BodyReceiving, Promised, checksum_members
from service.errors import BucketFault
from service.objects.buckets.buckets import ObjectHead, OpenObject
from service.objects.buckets.details import Details
from service.objects.buckets.digests import CHECKSUMS, FULL_OBJECT, Digests
from service.objects.buckets.writing import Expected, ObjectWriting, matches, precondition

BLOCK_BYTES: Final = 1 << 20

_KEPT_HEADERS: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "WebsiteRedirectLocation",
)
_MOST_METADATA_BYTES: Final = 2048
_MOST_TAGS: Final = 10
_MOST_TAG_KEY: Final = 128
_MOST_TAG_VALUE: Final = 256
_MOST_DELETED: Final = 1000


def put_object(context: S3Context, fields: S3Fields, headers: Mapping[str, str]) -> Receiving:
    """PutObject."""
    details = details_asked(fields)
    promised = Promised(fields, headers)
    writing = ObjectWriting(context.buckets, fields["Bucket"], fields["Key"], _expected(fields))

    def publish(digests: Digests) -> S3Output:
        return S3Output(written_members(writing.publish(_with(details, digests))))

    return BodyReceiving(writing, promised, publish)


def get_object(context: S3Context, fields: S3Fields) -> S3Output:
    """GetObject."""
    version_asked(fields)
    found = context.buckets.open(fields["Bucket"], fields["Key"])
    try:
        return opened_output(found.head, fields, found)
    except BaseException:
        found.close()
        raise


def head_object(context: S3Context, fields: S3Fields) -> S3Output:
    """HeadObject."""
    version_asked(fields)
    return opened_output(context.buckets.head(fields["Bucket"], fields["Key"]), fields, None)


def delete_object(context: S3Context, fields: S3Fields) -> S3Output:
    """DeleteObject: whether there is one or not."""
    version_asked(fields)
    if "IfMatch" in fields:
        found = context.buckets.find(fields["Bucket"], fields["Key"])
        if found is not None and not matches(fields["IfMatch"], found.details.etag):
            raise precondition("If-Match")
    context.buckets.delete(fields["Bucket"], fields["Key"])
    return S3Output()


def delete_objects(context: S3Context, fields: S3Fields) -> S3Output:
    """DeleteObjects: what could not be deleted is told one by one."""
    asked = fields.get("Delete", {})
    objects = asked.get("Objects", [])
    if not objects or len(objects) > _MOST_DELETED:
        text = "The XML you provided was not well-formed or did not validate against our published schema"
        raise BucketFault("MalformedXML", text)
    context.buckets.bucket(fields["Bucket"])
    deleted, errors = [], []
    for one in objects:
        key = one.get("Key", "")
        try:
            version_asked(one)
            context.buckets.delete(fields["Bucket"], key)
            deleted.append({"Key": key})
        except BucketFault as fault:
            errors.append({"Key": key, "Code": fault.code, "Message": fault.message})
    return S3Output({"Deleted": [] if asked.get("Quiet") else deleted, "Errors": errors})


def copy_object(context: S3Context, fields: S3Fields) -> S3Output:
    """CopyObject."""
    with_source = source_of(context, fields)
    try:
        head = with_source.head
        replaces = fields.get("MetadataDirective") == "REPLACE"
        if not replaces and source_named(fields) == (fields["Bucket"], fields["Key"]):
            raise BucketFault(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without "
                "changing the object's metadata, storage class, website redirect location or encryption "
                "attributes.",
            )
        given = details_asked(fields)
        tags = given.tags if fields.get("TaggingDirective") == "REPLACE" else head.details.tags
        kept = given if replaces else head.details
        details = Details("", kept.headers, kept.metadata, tags)
        written = _copy(context, fields, with_source, details)
    finally:
        with_source.close()
    result = {"ETag": quoted(written.details.etag), "LastModified": written.modified}
    result |= checksum_members(written.details.checksums, written.details.checksum_type)
    return S3Output({"CopyObjectResult": result})


def source_named(fields: S3Fields) -> tuple[str, str]:
    """Bucket and key of what is to be copied. Raises BucketFault."""
    text, _, version = fields["CopySource"].partition("?versionId=")
    bucket, _, key = unquote(text).removeprefix("/").partition("/")
    if not bucket or not key:
        raise BucketFault(
            "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        )
    version_asked({"VersionId": version} if version else {})
    return bucket, key


def source_of(context: S3Context, fields: S3Fields) -> OpenObject:
    """What is to be copied, open. Raises BucketFault."""
    found = context.buckets.open(*source_named(fields))
    named = {
        name.removeprefix("CopySource"): value
        for name, value in fields.items()
        if name.startswith("CopySourceIf")
    }
    try:
        if check_conditions(found.head, named) == 304:
            raise precondition("x-amz-copy-source-If-None-Match")
    except BaseException:
        found.close()
        raise
    return found


def _copy(context: S3Context, fields: S3Fields, source: OpenObject, details: Details) -> ObjectHead:
    algorithm = fields.get("ChecksumAlgorithm") or next(iter(source.head.details.checksums), "")
    digests = Digests([algorithm] if algorithm in CHECKSUMS else [])
    writing = ObjectWriting(context.buckets, fields["Bucket"], fields["Key"], _expected(fields))
    try:
        for at in range(0, source.head.size_bytes, BLOCK_BYTES):
            block = source.read(at, min(BLOCK_BYTES, source.head.size_bytes - at))
            digests.update(block)
            writing.write(block)
        return writing.publish(_with(details, digests))
    finally:
        writing.abandon()


def get_object_tagging(context: S3Context, fields: S3Fields) -> S3Output:
    """GetObjectTagging."""
    version_asked(fields)
    return S3Output({"TagSet": tag_set(context.buckets.head(fields["Bucket"], fields["Key"]).details.tags)})


def put_object_tagging(context: S3Context, fields: S3Fields) -> S3Output:
    """PutObjectTagging."""
    version_asked(fields)
    context.buckets.change_tags(fields["Bucket"], fields["Key"], tags_asked(fields, _MOST_TAGS))
    return S3Output()


def delete_object_tagging(context: S3Context, fields: S3Fields) -> S3Output:
    """DeleteObjectTagging."""
    version_asked(fields)
    context.buckets.change_tags(fields["Bucket"], fields["Key"], {})
    return S3Output()


def get_object_attributes(context: S3Context, fields: S3Fields) -> S3Output:
    """GetObjectAttributes: those that are named."""
    version_asked(fields)
    head = context.buckets.head(fields["Bucket"], fields["Key"])
    details, wanted = head.details, fields.get("ObjectAttributes", [])
    known: dict[str, Any] = {
        "ETag": details.etag,
        "StorageClass": "STANDARD",
        "ObjectSize": head.size_bytes,
        "Checksum": checksum_members(details.checksums, details.checksum_type) or None,
        "ObjectParts": {"TotalPartsCount": len(details.part_sizes)} if details.part_sizes else None,
    }
    members = {name: value for name, value in known.items() if name in wanted}
    return S3Output({**members, "LastModified": head.modified})


def details_asked(fields: S3Fields) -> Details:
    """What a request says of an object beside its bytes. Raises BucketFault."""
    if any(name.startswith(("SSECustomer", "CopySourceSSECustomer")) for name in fields):
        raise BucketFault("NotImplemented", "Objects are not encrypted here, so no key of yours can be used.")
    headers = {name: fields[name] for name in _KEPT_HEADERS if fields.get(name)}
    codings = [one.strip() for one in headers.pop("ContentEncoding", "").split(",")]
    left = ",".join(one for one in codings if one and one.lower() != "aws-chunked")
    if left:
        headers["ContentEncoding"] = left
    metadata = fields.get("Metadata", {})
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MOST_METADATA_BYTES:
        text = "Your metadata headers exceed the maximum allowed metadata size"
        raise BucketFault("MetadataTooLarge", text, MaxSizeAllowed=str(_MOST_METADATA_BYTES))
    pairs = parse_qsl(fields.get("Tagging", ""), keep_blank_values=True)
    tags = checked_tags([{"Key": name, "Value": value} for name, value in pairs], _MOST_TAGS)
    return Details("", headers, metadata, tags)


def written_members(head: ObjectHead) -> dict[str, Any]:
    """What is told of an object that was written."""
    details = head.details
    return {"ETag": quoted(details.etag), **checksum_members(details.checksums, details.checksum_type)}


def quoted(etag: str) -> str:
    """An ETag as answers have it."""
    return f'"{etag}"'


def tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as answers have them."""
    return [{"Key": name, "Value": value} for name, value in tags.items()]


def tags_asked(fields: S3Fields, most: int) -> dict[str, str]:
    """The tags of a body. Raises BucketFault."""
    return checked_tags(fields.get("Tagging", {}).get("TagSet", []), most)


def checked_tags(pairs: list[dict[str, str]], most: int) -> dict[str, str]:
    """Tags by their keys. Raises BucketFault."""
    tags: dict[str, str] = {}
    for pair in pairs:
        name, value = pair.get("Key", ""), pair.get("Value", "")
        if name in tags:
            raise BucketFault("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=name)
        if not 0 < len(name) <= _MOST_TAG_KEY:
            raise BucketFault("InvalidTag", "The TagKey you have provided is invalid", TagKey=name)
        if len(value) > _MOST_TAG_VALUE:
            raise BucketFault("InvalidTag", "The TagValue you have provided is invalid", TagKey=name)
        tags[name] = value
    if len(tags) > most:
        raise BucketFault("BadRequest", f"Object tags cannot be greater than {most}")
    return tags


def _expected(fields: S3Fields) -> Expected:
    return Expected(fields.get("IfMatch"), fields.get("IfNoneMatch"))


def _with(details: Details, digests: Digests) -> Details:
    sums = digests.checksums
    kind = FULL_OBJECT if sums else ""
    return Details(digests.md5.hex(), details.headers, details.metadata, details.tags, sums, kind)
