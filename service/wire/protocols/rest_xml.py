"""REST-XML, and S3's kind of it: faults. The rest of S3 is in s3.py; no other such service is served."""

from types import MappingProxyType
from typing import Final

from service.errors import UnknownOperation
from service.http.reply import Asked, Reply
from service.wire.faults import code_in_xml, fault_status, known_error
from service.wire.protocols.query import QueryCall, word_fault
from service.wire.xml_tree import escaped

_XML = (b"Content-Type", b"application/xml")

# Source: S3 API reference, "Error responses"; all others are 400.
_STATUSES: Final = MappingProxyType(
    {
        **dict.fromkeys(("NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "NoSuchTagSet"), 404),
        **dict.fromkeys(("NoSuchBucketPolicy", "NoSuchCORSConfiguration", "NoSuchWebsiteConfiguration"), 404),
        **dict.fromkeys(("NoSuchLifecycleConfiguration", "NoSuchPublicAccessBlockConfiguration"), 404),
        **dict.fromkeys(("ReplicationConfigurationNotFoundError", "OwnershipControlsNotFoundError"), 404),
        "ServerSideEncryptionConfigurationNotFoundError": 404,
        "ObjectLockConfigurationNotFoundError": 404,
        "EntityTooLarge": 400,
        "AccessDenied": 403,
        "MethodNotAllowed": 405,
        **dict.fromkeys(("BucketNotEmpty", "BucketAlreadyOwnedByYou", "BucketAlreadyExists"), 409),
        "PreconditionFailed": 412,
        **dict.fromkeys(("InvalidRange", "InvalidPartNumber"), 416),
        "InternalError": 500,
        "NotImplemented": 501,
        **dict.fromkeys(("SlowDown", "ServiceUnavailable"), 503),
    }
)


class RestXmlFaults:
    """For services whose errors look as those of the query protocol do, such as CloudFront."""

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """Source: botocore's models, protocol rest-xml."""
        status, body = word_fault(error, QueryCall("", ""), asked.request_id)
        identifier = (b"x-amzn-RequestId", asked.request_id.encode("ascii"))
        return Reply(status, [(b"Content-Type", b"text/xml"), identifier], body)


class S3Faults:
    """For S3 and its kin; `path` is the resource that was asked for."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write_fault(self, error: BaseException, asked: Asked) -> Reply:
        """S3's own kind of document; nobody repeats what is not implemented. Source: S3's error codes."""
        known = known_error(error, asked.request_id)
        code = code_in_xml(known, at_objects=True)
        if isinstance(known, UnknownOperation):
            code = "NotImplemented"
        status = _STATUSES.get(code) or fault_status(known, known.code)
        members = {
            "Code": code,
            "Message": known.message,
            **known.members,
            "Resource": self._path,
            "RequestId": asked.request_id,
            "HostId": asked.request_id,
        }
        inside = "".join(f"<{name}>{_text(str(value))}</{name}>" for name, value in members.items())
        document = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inside}</Error>'
        names = (b"x-amz-request-id", b"x-amz-id-2")
        return Reply(
            status, [_XML, *((name, asked.request_id.encode("ascii")) for name in names)], document.encode()
        )


def _text(value: str) -> str:
    return escaped("".join(letter if letter.isprintable() else "?" for letter in value))
