"""The runtime face: `POST /endpoints/{name}/invocations` as boto3 and the aws CLI speak it."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from service.asgi import ClientGone, Receive, Scope, Send, read_body, send_reply
from service.domain import sentences
from service.errors import ModelFault, SagebirdError, UnknownOperation
from service.hosting.model import Call
from service.invoke.predict import Invocation, Prediction, Predictor
from service.log import get_logger
from service.web.failures import note_failure
from service.wire.faults import fault_reply
from service.wire.reply import Reply
from service.wire.rest_json import compile_operation
from service.wire.spec import load_service

_PREFIX = "/endpoints/"
_OPERATIONS = {
    "invocations": "InvokeEndpoint",
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}

SERVED = frozenset({"InvokeEndpoint"})
"""The operations that are served."""


class RuntimeFace:
    """An ASGI application for everything below /endpoints/."""

    def __init__(self, predictor: Predictor, max_body_bytes: int) -> None:
        self._predictor = predictor
        self._max_body_bytes = max_body_bytes
        self._service = load_service("sagemaker-runtime")
        self._invoke_endpoint = compile_operation(self._service.operations["InvokeEndpoint"])
        self._log = get_logger("sagebird.runtime")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed."""
        request_id = str(uuid4())
        try:
            reply = await self._invoke(scope, receive)
        except ClientGone:
            return
        except Exception as error:  # the one place where the runtime's errors become replies
            reply = fault_reply(error, self._service, request_id)
            code = error.code if isinstance(error, SagebirdError) else ""
            note_failure(self._log, error, request_id, reply.status, code, path=scope["path"])
        else:
            reply.headers.append((b"x-amzn-requestid", request_id.encode()))
        await send_reply(send, reply.status, reply.headers, reply.body)

    async def _invoke(self, scope: Scope, receive: Receive) -> Reply:
        endpoint = _endpoint_name(scope)
        body = await read_body(scope, receive, self._max_body_bytes)
        fields = self._invoke_endpoint.read({"EndpointName": endpoint}, scope["headers"], body)
        invocation = _to_invocation(fields)
        try:
            prediction = await self._predictor.predict(invocation)
        except ModelFault as fault:
            raise self._predictor.as_model_error(fault, invocation) from None
        if len(prediction.answer.body) > self._max_body_bytes:
            raise self._predictor.unreadable_answer(invocation)
        return self._to_reply(prediction)

    def _to_reply(self, prediction: Prediction) -> Reply:
        answer = prediction.answer
        output: dict[str, Any] = {
            "Body": answer.body,
            "ContentType": answer.content_type,
            "InvokedProductionVariant": prediction.variant,
        }
        for member, value in (
            ("CustomAttributes", answer.custom_attributes),
            ("NewSessionId", answer.new_session_id),
            ("ClosedSessionId", answer.closed_session_id),
        ):
            if value is not None:
                output[member] = value
        reply = self._invoke_endpoint.write(output)
        return reply if answer.status == 200 else Reply(answer.status, reply.headers, reply.body)


def _endpoint_name(scope: Scope) -> str:
    # From the right: a name that holds a slash is a name that AWS's own words refuse, not another path.
    name, _, action = scope["path"][len(_PREFIX) :].rpartition("/")
    operation = _OPERATIONS.get(action)
    if operation is None or scope["method"] != "POST":
        raise UnknownOperation(f"There is nothing at {scope['method']} {scope['path']}.")
    if operation not in SERVED:
        raise UnknownOperation(sentences.operation_not_served(operation))
    return str(name)


def _to_invocation(fields: Mapping[str, Any]) -> Invocation:
    get = fields.get
    return Invocation(
        fields["EndpointName"],
        Call(
            fields["Body"],
            get("ContentType"),
            get("Accept"),
            get("CustomAttributes"),
            get("TargetModel"),
            get("SessionId"),
        ),
        get("TargetVariant"),
        get("TargetContainerHostname"),
        get("InferenceComponentName"),
    )
