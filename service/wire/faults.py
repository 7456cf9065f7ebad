"""Error to HTTP answer: status from the model, body as AWS writes it. The one place where errors meet HTTP.

Never a traceback and never a text that was not meant for the caller: what is not a SagebirdError says nothing
but its request id, by which the log is found.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.errors import (
    REQUEST_ID,
    CallerError,
    NotPermitted,
    PayloadTooLarge,
    SagebirdError,
    Unavailable,
    UnknownOperation,
)
from service.http.reply import Reply
from service.wire import query
from service.wire.query import QueryCall
from service.wire.shapes import SerializationFault, render_json
from service.wire.spec import ErrorShape, Service

# Codes that AWS answers and no model declares. Source: contract C.7; the last two are guesses.
_UNDECLARED = MappingProxyType(
    {
        UnknownOperation.code: 404,
        SerializationFault.code: 400,
        Unavailable.code: 503,
        "RequestEntityTooLargeException": 413,
        NotPermitted.code: 403,
    }
)

# The same fault by the name that the control plane has for it (contract Z.2).
_CONTROL_PLANE_CODES = MappingProxyType({"ValidationError": "ValidationException"})


def fault_reply(error: BaseException, service: Service, request_id: str) -> Reply:
    """The answer of a REST-JSON service to an error; it never raises.

    `request_id` is the gateway's own: printable ASCII. Source: contract B.4 and C.13.
    """
    request_header = _request_header(request_id)
    if isinstance(error, PayloadTooLarge):
        headers = [request_header, (b"Content-Type", b"text/plain")]
        return Reply(413, headers, error.message.encode("utf-8", "replace"))
    known = _known(error, request_id)
    code = error_code(known, service)
    declared = service.error_shapes.get(code)
    headers = [
        request_header,
        (b"x-amzn-ErrorType", code.encode("ascii")),
        (b"Content-Type", b"application/json"),
    ]
    return Reply(_status(known, code, declared), headers, render_json(_body(known, declared, request_id)))


def json_fault_reply(error: BaseException, service: Service, request_id: str, content_type: bytes) -> Reply:
    """The answer of a JSON service to an error; it never raises.

    Clients read the code from the body's `__type` and the message in either spelling (contract 0.3).
    """
    known = _known(error, request_id)
    code = error_code(known, service)
    declared = service.error_shapes.get(code)
    members = _body(known, declared, request_id)
    body = {"__type": code, "message": members["Message"], **members}
    headers = [
        _request_header(request_id),
        (b"x-amzn-ErrorType", code.encode("ascii")),
        (b"Content-Type", content_type),
    ]
    return Reply(_status(known, code, declared), headers, render_json(body))


def query_fault_reply(error: BaseException, call: QueryCall, request_id: str) -> Reply:
    """The XML answer to an error of a service that speaks the query protocol; it never raises."""
    known = _known(error, request_id)
    # Source: the common errors of every API that speaks this protocol.
    code, status = known.code, _status(known, known.code, None)
    if isinstance(known, UnknownOperation):
        code, status = "InvalidAction", 400
    side = "Sender" if status < 500 else "Receiver"
    body = query.error_document(call, code, known.message, side, request_id)
    return Reply(status, [_request_header(request_id), query.CONTENT_TYPE], body)


def error_code(error: SagebirdError, service: Service) -> str:
    """The code by which a service's clients know an error: ValidationError is ValidationException to some."""
    if isinstance(error, PayloadTooLarge):
        return "RequestEntityTooLargeException"
    other = _CONTROL_PLANE_CODES.get(error.code, error.code)
    declared = service.error_shapes
    return other if error.code not in declared and other in declared else error.code


def _known(error: BaseException, request_id: str) -> SagebirdError:
    """The error itself if its text was meant for the caller; else one that tells only the request id."""
    if isinstance(error, SagebirdError):
        return error
    return SagebirdError(f"An internal failure occurred. Request id: {request_id}.")


def _request_header(request_id: str) -> tuple[bytes, bytes]:
    return (b"x-amzn-RequestId", request_id.encode("ascii", "replace"))


def _status(error: SagebirdError, code: str, declared: ErrorShape | None) -> int:
    if declared is not None:
        return declared.status
    return _UNDECLARED.get(code, 400 if isinstance(error, CallerError) else 500)


def _body(error: SagebirdError, declared: ErrorShape | None, request_id: str) -> dict[str, Any]:
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
