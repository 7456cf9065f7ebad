"""Error to code, status and members: the one place where errors meet HTTP. Their bytes are the protocols'.

Never a traceback and never a text that was not meant for the caller: what is not a SagebirdError says nothing
but its request id, by which the log is found.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.errors import (
    REQUEST_ID,
    AccessDenied,
    CallerError,
    CredentialsExpired,
    CredentialsMissing,
    CredentialsUnknown,
    NotPermitted,
    PayloadTooLarge,
    SagebirdError,
    SerializationFault,
    SignatureIncomplete,
    SignatureWrong,
    Throttled,
    Unavailable,
    UnknownOperation,
    UnsupportedEncoding,
)
from service.wire.spec import ErrorShape, Service

# Codes that AWS answers and no model declares. Source: contract C.7; the last four are guesses.
_UNDECLARED = MappingProxyType(
    {
        UnknownOperation.code: 404,
        SerializationFault.code: 400,
        Unavailable.code: 503,
        "RequestEntityTooLargeException": 413,
        NotPermitted.code: 403,
        AccessDenied.code: 403,
        UnsupportedEncoding.code: 415,
        CredentialsMissing.code: 403,
        CredentialsUnknown.code: 403,
        CredentialsExpired.code: 403,
        SignatureIncomplete.code: 403,
        SignatureWrong.code: 403,
        Throttled.code: 429,
    }
)

# What AWS's services with XML call these. Source: the common errors of the query APIs, and S3's error codes.
_IN_FORMS = MappingProxyType(
    {
        CredentialsMissing.code: "MissingAuthenticationToken",
        CredentialsUnknown.code: "InvalidClientTokenId",
        CredentialsExpired.code: "ExpiredToken",
        SignatureIncomplete.code: "IncompleteSignature",
        SignatureWrong.code: "SignatureDoesNotMatch",
        AccessDenied.code: "AccessDenied",
        Throttled.code: "Throttling",
    }
)
_AT_OBJECTS = MappingProxyType(
    {
        **_IN_FORMS,
        "InternalFailure": "InternalError",
        "AccessDeniedException": "AccessDenied",
        CredentialsMissing.code: "AccessDenied",
        CredentialsUnknown.code: "InvalidAccessKeyId",
        SignatureIncomplete.code: "AuthorizationHeaderMalformed",
        Throttled.code: "SlowDown",
    }
)

# The same fault by the name that the control plane has for it (contract Z.2), and that some services have.
_CONTROL_PLANE_CODES = MappingProxyType({"ValidationError": "ValidationException"})
_OWN_CODES = MappingProxyType({("logs", "ValidationError"): "InvalidParameterException"})


def error_code(error: SagebirdError, service: Service) -> str:
    """The code by which a service's clients know an error: ValidationError is ValidationException to some."""
    if isinstance(error, PayloadTooLarge):
        return "RequestEntityTooLargeException"
    other = _OWN_CODES.get((service.name, error.code)) or _CONTROL_PLANE_CODES.get(error.code, error.code)
    declared = service.error_shapes
    return other if error.code not in declared and other in declared else error.code


def code_in_xml(error: SagebirdError, *, at_objects: bool = False) -> str:
    """The code of an error for clients that read XML: those of S3 have words of their own."""
    if at_objects and isinstance(error, PayloadTooLarge):
        return "EntityTooLarge"
    return (_AT_OBJECTS if at_objects else _IN_FORMS).get(error.code, error.code)


def known_error(error: BaseException, request_id: str) -> SagebirdError:
    """The error itself if its text was meant for the caller; else one that tells only the request id."""
    if isinstance(error, SagebirdError):
        return error
    return SagebirdError(f"An internal failure occurred. Request id: {request_id}.")


def request_header(request_id: str) -> tuple[bytes, bytes]:
    """The header by which every answer tells its request's id."""
    return (b"x-amzn-RequestId", request_id.encode("ascii", "replace"))


def type_name(code: str, declared: ErrorShape | None) -> str:
    """What the body of an error is called, which is its shape's name where the model has one."""
    return code if declared is None else declared.name


def query_error(code: str, status: int) -> tuple[bytes, bytes]:
    """The header by which clients of a query compatible service know the code that forms would be told."""
    return (
        b"x-amzn-query-error",
        f"{code};{'Sender' if status < 500 else 'Receiver'}".encode("ascii", "replace"),
    )


def fault_status(error: SagebirdError, code: str, declared: ErrorShape | None = None) -> int:
    """The HTTP status of an error: what its service's model declares, else what the table says."""
    if declared is not None:
        return declared.status
    return _UNDECLARED.get(code, 400 if isinstance(error, CallerError) else 500)


def fault_members(error: SagebirdError, declared: ErrorShape | None, request_id: str) -> dict[str, Any]:
    """Members in AWS's order, which is the alphabet's; None is absent, 0 is not."""
    members = {"Message": error.message.replace(REQUEST_ID, request_id), **error.members}
    limits = _limits(declared)
    return {
        name: value if isinstance(value, int) else str(value)[: limits.get(name)]
        for name, value in sorted(members.items())
        if value is not None
    }


def _limits(declared: ErrorShape | None) -> Mapping[str, int]:
    if declared is None:
        return {}
    return {
        member.name: int(member.shape.maximum)
        for member in declared.shape.members.values()
        if member.shape.kind == "string" and member.shape.maximum is not None
    }
