"""What the front door itself refuses, in the words of the face that was asked, with its line in the log."""

import math
from typing import Any

from service.errors import CallerError, NotAllowed, NotAuthenticated, PayloadTooLarge, Throttled
from service.http.asgi import Headers
from service.http.failures import note_failure
from service.http.reply import Reply
from service.log import get_logger
from service.wire.faults import code_in_xml, fault_status
from service.wire.protocols.query import CONTENT_TYPE, QueryCall, error_document
from service.wire.shapes import render_json

_FORM = b"application/x-www-form-urlencoded"
_OF_KEYS = (NotAuthenticated, NotAllowed, Throttled)  # what web callers are told in JSON, on every page
# By whether a person looks at a page: then the browser asks for the key, as the password of any name.
_CHALLENGES = {False: b'Bearer realm="sagebird"', True: b'Basic realm="sagebird", charset="UTF-8"'}


def deny(error: CallerError, method: str, path: str, headers: Headers, request_id: str) -> Reply:
    """The reply to a request that reaches no face; one line in the log."""
    fields, of_keys = dict(headers), isinstance(error, _OF_KEYS)
    status = _status(error, method, path)
    note_failure(get_logger("sagebird.gateway"), error, request_id, status, error.code, path=path)
    body, content_type = _body(error, status, method, path, fields, request_id)
    told: Headers = [(b"x-amzn-RequestId", request_id.encode("ascii")), (b"Content-Type", content_type)]
    if of_keys or path.startswith("/endpoints/") or (method == "POST" and path == "/"):
        told.append((b"x-amzn-ErrorType", error.code.encode("ascii")))
    if status == 401:
        told.append((b"WWW-Authenticate", _CHALLENGES[b"text/html" in fields.get(b"accept", b"")]))
    if isinstance(error, Throttled):
        told.append((b"Retry-After", b"%d" % math.ceil(error.wait_s)))
    if status == 415:
        told.append((b"Accept-Encoding", b"gzip, deflate"))  # Source: RFC 9110, 12.5.3
    return Reply(status, told, body)


def _status(error: CallerError, method: str, path: str) -> int:
    """A web caller without a good key gets 401, by which he knows that one helps; AWS's clients know 403."""
    if isinstance(error, PayloadTooLarge):
        return 413
    is_aws = method == "POST" and path == "/"
    if isinstance(error, NotAuthenticated) and not error.signed and not is_aws:
        return 401
    return fault_status(error, error.code)


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
            code = code_in_xml(error)
            return error_document(QueryCall("", ""), code, message, "Sender", request_id), CONTENT_TYPE[1]
        document: dict[str, Any] = {"__type": error.code, "message": message, "Message": message}
        return render_json(document), b"application/x-amz-json-1.1"
    if path == "/models" or path.startswith("/models/"):
        return render_json({"code": status, "type": error.code, "message": message}), b"application/json"
    if isinstance(error, _OF_KEYS):
        return render_json({"Message": message}), b"application/json"
    return f"{message}\n".encode("utf-8", "replace"), b"text/plain; charset=utf-8"
