"""Which function answers which operation of S3."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from service.control.s3 import buckets, listing, objects, settings, uploads
from service.control.s3.context import Receiving, S3Context, S3Fields, S3Operation, S3Output, Taking
from service.domain import unserved
from service.domain.caller import Caller
from service.errors import BucketFault

_ANSWERED: Final = MappingProxyType[str, S3Operation](
    {
        "ListBuckets": buckets.list_buckets,
        "CreateBucket": buckets.create_bucket,
        "DeleteBucket": buckets.delete_bucket,
        "HeadBucket": buckets.head_bucket,
        "GetBucketLocation": buckets.get_bucket_location,
        "GetBucketTagging": buckets.get_bucket_tagging,
        "PutBucketTagging": buckets.put_bucket_tagging,
        "DeleteBucketTagging": buckets.delete_bucket_tagging,
        "GetBucketAcl": buckets.get_acl,
        **buckets.UNCONFIGURED,
        **settings.SETTINGS,
        "ListObjects": listing.list_objects,
        "ListObjectsV2": listing.list_objects_v2,
        "ListObjectVersions": listing.list_object_versions,
        "GetObject": objects.get_object,
        "HeadObject": objects.head_object,
        "DeleteObject": objects.delete_object,
        "DeleteObjects": objects.delete_objects,
        "CopyObject": objects.copy_object,
        "GetObjectAcl": buckets.get_acl,
        "PutObjectAcl": settings.put_acl,
        "GetObjectAttributes": objects.get_object_attributes,
        "GetObjectTagging": objects.get_object_tagging,
        "PutObjectTagging": objects.put_object_tagging,
        "DeleteObjectTagging": objects.delete_object_tagging,
        "CreateMultipartUpload": uploads.create_multipart_upload,
        "UploadPartCopy": uploads.upload_part_copy,
        "CompleteMultipartUpload": uploads.complete_multipart_upload,
        "AbortMultipartUpload": uploads.abort_multipart_upload,
        "ListParts": uploads.list_parts,
        "ListMultipartUploads": uploads.list_multipart_uploads,
    }
)

# Those whose bodies are objects, or parts of them.
_TAKING: Final = MappingProxyType[str, Taking](
    {"PutObject": objects.put_object, "UploadPart": uploads.upload_part}
)

SERVED: Final = frozenset((*_ANSWERED, *_TAKING))
"""The operations of s3 that are served."""


class S3Operations:
    """Runs operations of S3. All of them may wait for the disk."""

    def __init__(self, context: S3Context) -> None:
        self._context = context

    def takes(self, operation: str) -> bool:
        """Whether the body of its requests is an object or a part of one."""
        return operation in _TAKING

    def answer(self, caller: Caller, operation: str, fields: S3Fields) -> S3Output:
        """Run one whose requests are whole. Raises BucketFault, UnknownOperation."""
        found = _ANSWERED.get(operation)
        if found is None:
            raise unserved.refusal("s3", "s3", operation)
        return found(self._of(caller, fields), fields)

    def begin(
        self, caller: Caller, operation: str, fields: S3Fields, headers: Mapping[str, str]
    ) -> Receiving:
        """Begin with one whose body is to come. Raises BucketFault."""
        return _TAKING[operation](self._of(caller, fields), fields, headers)

    def _of(self, caller: Caller, fields: S3Fields) -> S3Context:
        for name in ("ExpectedBucketOwner", "ExpectedSourceBucketOwner"):
            if fields.get(name, caller.account) != caller.account:
                raise BucketFault("AccessDenied", "Access Denied")
        return replace(self._context, caller=caller)
