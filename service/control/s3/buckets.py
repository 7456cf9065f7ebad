"""The operations of S3 on buckets: make, list, remove, tags, and what is told of settings that none has."""

from functools import partial
from types import MappingProxyType
from typing import Any, Final

from service.control.s3.context import S3Context, S3Fields, S3Operation, S3Output
from service.control.s3.objects import tag_set, tags_asked
from service.errors import BucketFault

_FIRST_REGION: Final = "us-east-1"
"""Its name is not told by GetBucketLocation, and who makes a bucket twice there is not refused."""
_MOST_TAGS: Final = 50
_MOST_BUCKETS: Final = 10_000


def list_buckets(context: S3Context, fields: S3Fields) -> S3Output:
    """ListBuckets."""
    prefix, after = fields.get("Prefix", ""), fields.get("ContinuationToken", "")
    most = min(fields.get("MaxBuckets", _MOST_BUCKETS), _MOST_BUCKETS)
    names = [
        (name, made) for name, made in context.buckets.names() if name.startswith(prefix) and name > after
    ]
    told = [{"Name": name, "CreationDate": made} for name, made in names[:most]]
    members: dict[str, Any] = {"Buckets": told, "Owner": context.owner}
    if len(names) > most and told:
        members["ContinuationToken"] = told[-1]["Name"]
    return S3Output({**members, "Prefix": prefix} if prefix else members)


def create_bucket(context: S3Context, fields: S3Fields) -> S3Output:
    """CreateBucket."""
    name, asked = fields["Bucket"], fields.get("CreateBucketConfiguration", {})
    region = asked.get("LocationConstraint") or _FIRST_REGION
    if fields.get("ObjectLockEnabledForBucket"):
        raise BucketFault(
            "NotImplemented", "No bucket here can keep versions, so none can have an object lock."
        )
    tags = {pair.get("Key", ""): pair.get("Value", "") for pair in asked.get("Tags", [])}
    try:
        context.buckets.create(name, region)
    except BucketFault as fault:
        if fault.code != "BucketAlreadyOwnedByYou" or region != _FIRST_REGION:
            raise
    if tags:
        with context.buckets.details.changing(name) as facts:
            facts.tags = tags
    return S3Output({"Location": f"/{name}"})


def delete_bucket(context: S3Context, fields: S3Fields) -> S3Output:
    """DeleteBucket."""
    context.buckets.remove(fields["Bucket"])
    return S3Output()


def head_bucket(context: S3Context, fields: S3Fields) -> S3Output:
    """HeadBucket."""
    return S3Output({"BucketRegion": _region(context, fields), "AccessPointAlias": False})


def get_bucket_location(context: S3Context, fields: S3Fields) -> S3Output:
    """GetBucketLocation."""
    region = _region(context, fields)
    return S3Output({} if region == _FIRST_REGION else {"LocationConstraint": region})


def get_bucket_tagging(context: S3Context, fields: S3Fields) -> S3Output:
    """GetBucketTagging."""
    tags = context.buckets.facts(fields["Bucket"]).tags
    if not tags:
        raise BucketFault("NoSuchTagSet", "The TagSet does not exist", BucketName=fields["Bucket"])
    return S3Output({"TagSet": tag_set(tags)})


def put_bucket_tagging(context: S3Context, fields: S3Fields) -> S3Output:
    """PutBucketTagging."""
    return _change_tags(context, fields, tags_asked(fields, _MOST_TAGS), 204)


def delete_bucket_tagging(context: S3Context, fields: S3Fields) -> S3Output:
    """DeleteBucketTagging."""
    return _change_tags(context, fields, {}, None)


def get_acl(context: S3Context, fields: S3Fields) -> S3Output:
    """GetBucketAcl and GetObjectAcl: its owner may do all, and nobody else is named."""
    if "Key" in fields:
        context.buckets.head(fields["Bucket"], fields["Key"])
    context.buckets.bucket(fields["Bucket"])
    grantee = {**context.owner, "Type": "CanonicalUser"}
    return S3Output({"Owner": context.owner, "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]})


def _change_tags(context: S3Context, fields: S3Fields, tags: dict[str, str], status: int | None) -> S3Output:
    context.buckets.bucket(fields["Bucket"])
    with context.buckets.details.changing(fields["Bucket"]) as facts:
        facts.tags = tags
    return S3Output(status=status)


def _region(context: S3Context, fields: S3Fields) -> str:
    return context.buckets.facts(fields["Bucket"]).location or context.caller.region


def _unset(code: str, text: str, context: S3Context, fields: S3Fields) -> S3Output:
    context.buckets.bucket(fields["Bucket"])
    raise BucketFault(code, text, BucketName=fields["Bucket"])


def _same_for_all(members: dict[str, Any], context: S3Context, fields: S3Fields) -> S3Output:
    context.buckets.bucket(fields["Bucket"])
    return S3Output(members)


# Source: S3 API reference, and what its clients take for "not configured".
UNCONFIGURED: Final = MappingProxyType[str, S3Operation](
    {
        "GetBucketLogging": partial(_same_for_all, {}),
        "GetBucketNotificationConfiguration": partial(_same_for_all, {}),
        "GetBucketWebsite": partial(
            _unset,
            "NoSuchWebsiteConfiguration",
            "The specified bucket does not have a website configuration",
        ),
        "GetBucketReplication": partial(
            _unset,
            "ReplicationConfigurationNotFoundError",
            "The replication configuration was not found",
        ),
        "GetObjectLockConfiguration": partial(
            _unset,
            "ObjectLockConfigurationNotFoundError",
            "Object Lock configuration does not exist for this bucket",
        ),
    }
)
"""What is told of settings that no bucket has here."""
