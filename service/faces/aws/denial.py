"""What the front door itself refuses, in the words of the face that was asked, with its line in the log."""

from typing import Any

from service.errors import CallerError
from service.http.asgi import Headers
from service.http.failures import note_failure
from service.http.reply import Reply
from service.log import get_logger
from service.wire.faults import fault_status
from service.wire.protocols.query import CONTENT_TYPE, QueryCall, error_document
from service.wire.shapes import render_json

_FORM = b"application/x-www-form-urlencoded"


def deny(error: CallerError, method: str, path: str, headers: Headers, request_id: str) -> Reply:
    """The reply to a request that reaches no face; one line in the log."""
    status = fault_status(error, error.code)
    note_failure(get_logger("sagebird.gateway"), error, request_id, status, error.code, path=path)
    body, content_type = _body(error, status, method, path, dict(headers), request_id)
    told: Headers = [(b"x-amzn-RequestId", request_id.encode("ascii")), (b"Content-Type", content_type)]
    if path.startswith("/endpoints/") or (method == "POST" and path == "/"):
        told.append((b"x-amzn-ErrorType", error.code.encode("ascii")))
    if status == 415:
        told.append((b"Accept-Encoding", b"gzip, deflate"))  # Source: RFC 9110, 12.5.3
    return Reply(status, told, body)


def _body(
    error: CallerError, status: int, method: str, path: str, headers: dict[bytes, bytes], request_id: str
) -> tuple[bytes, bytes]:
    """Body and Content-Type as `docs/reference/errors.md` has them for each face."""
    message = error.message
    if path.startswith("/endpoints/"):
        return render_json({"Message": message}), b"application/json"
    if method == "POST" and path == "/":
        kind = headers.get(b"content-type", b"")
        if b"x-amz-target" not in headers and kind.lower().startswith(_FORM):
            return error_document(QueryCall("", ""), error.code, message, "Sender", request_id), CONTENT_TYPE[
                1
            ]
        document: dict[str, Any] = {"__type": error.code, "message": message, "Message": message}
        return render_json(document), b"application/x-amz-json-1.1"
    if path == "/models" or path.startswith("/models/"):
        return render_json({"code": status, "type": error.code, "message": message}), b"application/json"
    return f"{message}\n".encode("utf-8", "replace"), b"text/plain; charset=utf-8"
