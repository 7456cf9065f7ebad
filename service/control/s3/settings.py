"""Settings of buckets that are kept and told as they were given. None of them changes anything here.

What would be a lie to keep, such as versions, is refused where it is more than switched off.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from service.control.s3.context import S3Context, S3Fields, S3Operation, S3Output
from service.errors import BucketFault

_MOST_CHARS: Final = 65_536
_POLICY: Final = "Policy"
_MOST_POLICY_CHARS: Final = 20 * 1024  # Source: S3, bucket policies


@dataclass(frozen=True, slots=True)
class KeptSetting:
    """One setting: what the payload of its Put is called, what Get answers of it, what an unset one is told.

    `code` and `text` are an error's; where there is none, Get answers `unset`. Where it is `inside`, Get
    answers what is in the payload, else the payload itself. `beside` has members that are told in headers, by
    what they are where nobody says it.
    """

    payload: str
    inside: bool = False
    code: str = ""
    text: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    unset: Mapping[str, Any] = field(default_factory=dict)


_ENCRYPTION: Final = KeptSetting(
    "ServerSideEncryptionConfiguration",
    code="ServerSideEncryptionConfigurationNotFoundError",
    text="The server side encryption configuration was not found",
)
_PUBLIC_ACCESS: Final = KeptSetting(
    "PublicAccessBlockConfiguration",
    code="NoSuchPublicAccessBlockConfiguration",
    text="The public access block configuration was not found",
)
_OWNERSHIP: Final = KeptSetting(
    "OwnershipControls",
    code="OwnershipControlsNotFoundError",
    text="The bucket ownership controls were not found",
)
_RULES_OF_POLICY: Final = KeptSetting(
    _POLICY, code="NoSuchBucketPolicy", text="The bucket policy does not exist"
)
_CORS: Final = KeptSetting(
    "CORSConfiguration",
    inside=True,
    code="NoSuchCORSConfiguration",
    text="The CORS configuration does not exist",
)
_LIFECYCLE: Final = KeptSetting(
    "LifecycleConfiguration",
    inside=True,
    code="NoSuchLifecycleConfiguration",
    text="The lifecycle configuration does not exist",
    beside=MappingProxyType({"TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}),
)
_VERSIONING: Final = KeptSetting("VersioningConfiguration", inside=True)
_ACCELERATION: Final = KeptSetting("AccelerateConfiguration", inside=True)
_PAYMENT: Final = KeptSetting("RequestPaymentConfiguration", inside=True, unset={"Payer": "BucketOwner"})


def _put(setting: KeptSetting, status: int | None, context: S3Context, fields: S3Fields) -> S3Output:
    given = _plain(fields.get(setting.payload))
    if not given:
        raise BucketFault("MalformedXML", "The XML you provided was not well-formed or did not validate")
    if len(json.dumps(given)) > _MOST_CHARS:
        raise BucketFault("MaxMessageLengthExceeded", "Your request was too big.")
    told = {name: fields.get(name, usual) for name, usual in setting.beside.items()}
    context.buckets.bucket(fields["Bucket"])
    with context.buckets.details.changing(fields["Bucket"]) as facts:
        facts.kept[setting.payload] = {**given, **told} if told else given
    return S3Output(told, status)


def _get(setting: KeptSetting, context: S3Context, fields: S3Fields) -> S3Output:
    kept = context.buckets.facts(fields["Bucket"]).kept.get(setting.payload)
    if kept is None and setting.code:
        raise BucketFault(setting.code, setting.text, BucketName=fields["Bucket"])
    if kept is None:
        return S3Output(setting.unset)
    return S3Output(kept if setting.inside else {setting.payload: kept})


def _delete(setting: KeptSetting, context: S3Context, fields: S3Fields) -> S3Output:
    context.buckets.bucket(fields["Bucket"])
    with context.buckets.details.changing(fields["Bucket"]) as facts:
        facts.kept.pop(setting.payload, None)
    return S3Output()


def _put_if(
    is_harmless: Callable[[Mapping[str, Any]], bool],
    words: str,
    setting: KeptSetting,
    context: S3Context,
    fields: S3Fields,
) -> S3Output:
    if not is_harmless(fields.get(setting.payload, {})):
        raise BucketFault("NotImplemented", f"sagebird does not serve {words}.")
    return _put(setting, None, context, fields)


def _put_policy(context: S3Context, fields: S3Fields) -> S3Output:
    """PutBucketPolicy: kept, and nobody is asked by it."""
    text = fields.get(_POLICY) or ""
    try:
        is_object = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object or len(text) > _MOST_POLICY_CHARS:
        raise BucketFault("MalformedPolicy", "This policy contains invalid Json")
    return _put(_RULES_OF_POLICY, 204, context, fields)


def _policy_status(context: S3Context, fields: S3Fields) -> S3Output:
    _get(_RULES_OF_POLICY, context, fields)
    return S3Output({"PolicyStatus": {"IsPublic": False}})


def put_acl(context: S3Context, fields: S3Fields) -> S3Output:
    """PutBucketAcl and PutObjectAcl: the only one there is may be put again."""
    context.buckets.bucket(fields["Bucket"])
    if "Key" in fields:
        context.buckets.head(fields["Bucket"], fields["Key"])
    grants = fields.get("AccessControlPolicy", {}).get("Grants", [])
    others = [one for one in grants if one.get("Grantee", {}).get("ID", "") != context.owner["ID"]]
    by_header = any(name.startswith("Grant") for name in fields)
    canned = fields.get("ACL", "private")
    if canned not in ("private", "bucket-owner-full-control") or others or by_header:
        raise BucketFault("AccessControlListNotSupported", "The bucket does not allow ACLs")
    return S3Output()


def _plain(value: Any) -> Any:
    """The same, fit for JSON."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _not_put(words: str, payload: str, context: S3Context, fields: S3Fields) -> S3Output:
    """What cannot be kept: to switch it off is no change."""
    context.buckets.bucket(fields["Bucket"])
    if fields.get(payload):
        raise BucketFault("NotImplemented", f"sagebird does not serve {words}.")
    return S3Output()


def _nothing_to_delete(context: S3Context, fields: S3Fields) -> S3Output:
    context.buckets.bucket(fields["Bucket"])
    return S3Output()


SETTINGS: Final = MappingProxyType[str, S3Operation](
    {
        "PutBucketEncryption": partial(_put, _ENCRYPTION, None),
        "GetBucketEncryption": partial(_get, _ENCRYPTION),
        "DeleteBucketEncryption": partial(_delete, _ENCRYPTION),
        "PutPublicAccessBlock": partial(_put, _PUBLIC_ACCESS, None),
        "GetPublicAccessBlock": partial(_get, _PUBLIC_ACCESS),
        "DeletePublicAccessBlock": partial(_delete, _PUBLIC_ACCESS),
        "PutBucketOwnershipControls": partial(_put, _OWNERSHIP, None),
        "GetBucketOwnershipControls": partial(_get, _OWNERSHIP),
        "DeleteBucketOwnershipControls": partial(_delete, _OWNERSHIP),
        "PutBucketPolicy": _put_policy,
        "GetBucketPolicy": partial(_get, _RULES_OF_POLICY),
        "GetBucketPolicyStatus": _policy_status,
        "DeleteBucketPolicy": partial(_delete, _RULES_OF_POLICY),
        "PutBucketCors": partial(_put, _CORS, None),
        "GetBucketCors": partial(_get, _CORS),
        "DeleteBucketCors": partial(_delete, _CORS),
        "PutBucketLifecycleConfiguration": partial(_put, _LIFECYCLE, None),
        "GetBucketLifecycleConfiguration": partial(_get, _LIFECYCLE),
        "DeleteBucketLifecycle": partial(_delete, _LIFECYCLE),
        "PutBucketVersioning": partial(
            _put_if,
            lambda given: given.get("Status") != "Enabled",
            "PutBucketVersioning that enables it: an object has one version",
            _VERSIONING,
        ),
        "GetBucketVersioning": partial(_get, _VERSIONING),
        "PutBucketAccelerateConfiguration": partial(_put, _ACCELERATION, None),
        "GetBucketAccelerateConfiguration": partial(_get, _ACCELERATION),
        "PutBucketRequestPayment": partial(
            _put_if,
            lambda given: given.get("Payer") == "BucketOwner",
            "PutBucketRequestPayment by requesters",
            _PAYMENT,
        ),
        "GetBucketRequestPayment": partial(_get, _PAYMENT),
        "PutBucketAcl": put_acl,
        "PutBucketLogging": partial(
            _not_put, "PutBucketLogging: what is asked is in its own log", "BucketLoggingStatus"
        ),
        "PutBucketNotificationConfiguration": partial(
            _not_put,
            "PutBucketNotificationConfiguration: nobody is told of changes",
            "NotificationConfiguration",
        ),
        "DeleteBucketWebsite": _nothing_to_delete,
        "DeleteBucketReplication": _nothing_to_delete,
    }
)
"""What is kept of settings, and what is told of it."""
