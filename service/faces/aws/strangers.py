"""Requests of stock clients for AWS services that are not served: each hears so in its service's protocol.

They come here when only AWS_ENDPOINT_URL is set, which points every client of a program at this server. What
shares `POST /` with SageMaker (JSON by X-Amz-Target, and forms) is told so by the control face.
"""

import re
from types import MappingProxyType
from urllib.parse import parse_qs

from service.domain import unserved
from service.errors import UnknownOperation
from service.http.asgi import App, Receive, Scope, Send, new_request_id, send_reply
from service.http.failures import note_failure
from service.http.reply import Reply
from service.log import get_logger
from service.wire import refusals, sigv4

_S3 = frozenset({"s3", "s3express", "s3-outposts", "s3-object-lambda"})
_SAGEMAKER = "sagemaker"
# Source: the paths of their models in botocore.
_SIBLINGS = MappingProxyType(
    {
        "sagemaker-featurestore-runtime": re.compile(r"/(FeatureGroup/|Batch(Get|Write)Record$)"),
        "sagemaker-metrics": re.compile(r"/Batch(Get|Put)Metrics$"),
        "sagemaker-edge": re.compile(r"/(GetDeployments|GetDeviceRegistration|SendHeartbeat)$"),
        "sagemaker-a2i-runtime": re.compile(r"/human-loops(/|$)"),
        "sagemaker-inference-router-runtime": re.compile(r"/inference-routers/"),
        "sagemakerjobruntime": re.compile(
            r"/(complete-rollout|sample(-with-response-stream)?|update-reward)$"
        ),
        "sagemakertrainingsessionruntime": re.compile(r"(/v1)?/training-sessions/"),
    }
)
_MOST_CHARS = 200
_ACTIONS = ("/invocations", "/async-invocations", "/invocations-response-stream")


def stranger(scope: Scope) -> App | None:
    """Who answers a request that is signed for a service that is not served; None for all others."""
    service = _signed_for(scope)
    if service == _SAGEMAKER:
        service = _sibling(scope["path"])
    if service is None or _shares_a_path(scope["method"], scope["path"]):
        return None

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        reply = _refusal(scope, service)
        # A body is not waited for: it may be large, and who expects "100 Continue" has not sent it yet.
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send_reply(send, reply.status, reply.headers, body)

    return refuse


def _sibling(path: str) -> str | None:
    """The service of SageMaker's that has a path, of those that sign as `sagemaker` and are not served."""
    return next((name for name, paths in _SIBLINGS.items() if paths.match(path)), None)


def _shares_a_path(method: str, path: str) -> bool:
    """Whether a path is one that this server has a use for, whoever's signature is on the request."""
    if _sibling(path) is not None:
        return False
    return method == "POST" and (path in ("/", "/invocations") or path.endswith(_ACTIONS))


def _signed_for(scope: Scope) -> str | None:
    """The service whose client sent this, by its signature: in a header, or in a presigned URL."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    if header.startswith(b"AWS "):  # S3's older signature
        return "s3"
    claimed = sigv4.read_scope(header.decode("latin-1")) if header.startswith(b"AWS4-") else None
    query = scope.get("query_string", b"")
    if claimed is None and (b"X-Amz-Credential=" in query or b"AWSAccessKeyId=" in query):
        given = parse_qs(query.decode("latin-1"))
        if "AWSAccessKeyId" in given:
            return "s3"
        claimed = sigv4.read_scope(given.get("X-Amz-Credential", [""])[0])
    return None if claimed is None else claimed.service


def _refusal(scope: Scope, service: str) -> Reply:
    method, path, request_id = scope["method"], scope["path"], new_request_id()
    headers = dict(scope["headers"])
    asked = f"{method} {path}"[:_MOST_CHARS]
    if service in _S3:
        error = UnknownOperation(unserved.s3_not_served(asked))
        reply = refusals.s3_refusal(error.message, path, request_id)
    else:
        error = UnknownOperation(unserved.service_not_served(asked, service))
        if headers.get(b"smithy-protocol") == b"rpc-v2-cbor":
            reply = refusals.cbor_refusal(error.message, request_id)
        elif service in refusals.XML_SERVICES:
            reply = refusals.xml_refusal(error.message, request_id)
        else:
            reply = refusals.rest_json_refusal(error.message, request_id)
    note_failure(get_logger("sagebird.gateway"), error, request_id, reply.status, error.code, path=asked)
    return reply
