"""Requests of stock clients for AWS services with paths of their own: S3's, and those that are not served.

They come here when only AWS_ENDPOINT_URL is set, which points every client of a program at this server. Who
is not served hears so in his service's protocol. What shares `POST /` with SageMaker (JSON by X-Amz-Target,
and forms) is told so by the control face.
"""

from collections.abc import Callable

from service.domain import unserved
from service.errors import SagebirdError
from service.http.asgi import App, Receive, Scope, Send, send_reply
from service.http.failures import note_failure
from service.http.reply import Asked, Reply
from service.log import get_logger
from service.wire import services
from service.wire.protocols.cbor import CborFaults
from service.wire.protocols.protocol import FaultWriter
from service.wire.protocols.rest_json import RestJsonFaults
from service.wire.protocols.rest_xml import RestXmlFaults, S3Faults
from service.wire.services import ServiceCall, call_of_stranger


def stranger(
    scope: Scope, new_id: Callable[[], str], s3: App | None = None, error: SagebirdError | None = None
) -> App | None:
    """Who answers a request that is signed for another service than SageMaker; None for all others.

    It is told an `error` that it met before, else that the service is not served; but `s3` is, where it is.
    """
    headers, query_string = scope["headers"], scope.get("query_string", b"")
    call = call_of_stranger(scope["method"], scope["path"], headers, query_string)
    if call is None:
        return None
    if call.row == services.S3 and s3 is not None:
        return s3

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        reply = _refusal(scope, call, new_id(), error)
        # A body is not waited for: it may be large, and who expects "100 Continue" has not sent it yet.
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send_reply(send, reply.status, reply.headers, body)

    return refuse


def _refusal(scope: Scope, call: ServiceCall, request_id: str, error: SagebirdError | None) -> Reply:
    asked = Asked(scope["headers"], b"", request_id)
    error = unserved.refusal(call.row, call.service, call.operation) if error is None else error
    reply = _writer(call.protocol, scope["path"]).write_fault(error, asked)
    log = get_logger("sagebird.gateway")
    note_failure(log, error, asked.request_id, reply.status, error.code, path=call.operation)
    return reply


def _writer(protocol: str, path: str) -> FaultWriter:
    match protocol:
        case services.S3:
            return S3Faults(path)
        case services.CBOR:
            return CborFaults()
        case services.REST_XML:
            return RestXmlFaults()
        case _:
            return RestJsonFaults()
