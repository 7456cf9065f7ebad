"""Error to HTTP answer: status from the model, body as AWS writes it. The one place where errors meet HTTP.

Never a traceback and never a text that was not meant for the caller: what is not a SagebirdError says nothing
but its request id, by which the log is found.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from service.errors import CallerError, PayloadTooLarge, SagebirdError, UnknownOperation
from service.wire.rest_json import Reply
from service.wire.shapes import render_json
from service.wire.spec import ErrorShape, Service

# Codes that AWS answers and no model declares. Source: contract C.7.
_UNDECLARED = MappingProxyType({UnknownOperation.code: 404, "SerializationException": 400})


def fault_reply(error: BaseException, service: Service, request_id: str) -> Reply:
    """The answer of a REST-JSON service to an error; it never raises.

    `request_id` is the gateway's own: printable ASCII. Source: contract B.4 and C.13.
    """
    request_header = (b"x-amzn-RequestId", request_id.encode("ascii", "replace"))
    if isinstance(error, PayloadTooLarge):
        headers = [request_header, (b"Content-Type", b"text/plain")]
        return Reply(413, headers, error.message.encode("utf-8", "replace"))
    if not isinstance(error, SagebirdError):
        error = SagebirdError(f"An internal failure occurred. Request id: {request_id}.")
    declared = service.error_shapes.get(error.code)
    headers = [
        request_header,
        (b"x-amzn-ErrorType", error.code.encode("ascii")),
        (b"Content-Type", b"application/json"),
    ]
    return Reply(_status(error, declared), headers, render_json(_body(error, declared)))


def _status(error: SagebirdError, declared: ErrorShape | None) -> int:
    if declared is not None:
        return declared.status
    return _UNDECLARED.get(error.code, 400 if isinstance(error, CallerError) else 500)


def _body(error: SagebirdError, declared: ErrorShape | None) -> dict[str, Any]:
    """Members in AWS's order, which is the alphabet's; None is absent, 0 is not."""
    members = {"Message": error.message, **error.members}
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
