"""The control face, `POST /` with X-Amz-Target: no operation is served yet, and each says so by name."""

from uuid import uuid4

import orjson

from service.asgi import ClientGone, Receive, Scope, Send, read_body, send_reply
from service.domain import sentences
from service.errors import PayloadTooLarge
from service.log import get_logger

_MAX_BODY_BYTES = 1 << 20


class ControlFace:
    """An ASGI application for POST /. JSON 1.1 clients read the code from the body only (contract 0.3)."""

    def __init__(self) -> None:
        self._log = get_logger("sagebird.control")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the operation by name."""
        request_id = str(uuid4())
        headers = [(b"x-amzn-requestid", request_id.encode())]
        try:
            await read_body(scope, receive, _MAX_BODY_BYTES)
        except ClientGone:
            return
        except PayloadTooLarge as error:
            self._log.info("request failed", request_id=request_id, path="/", reason=error.message)
            await send_reply(send, 413, [*headers, (b"content-type", b"text/plain")], error.message.encode())
            return
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode("latin-1")
        operation = target.rpartition(".")[2]
        message = (
            sentences.operation_not_served(operation)
            if operation
            else "POST / is the AWS control plane and needs an X-Amz-Target header; predictions go to "
            "/endpoints/NAME/invocations."
        )
        self._log.info("request failed", request_id=request_id, path="/", reason=message[:500])
        body = orjson.dumps({"__type": "UnknownOperationException", "message": message})
        headers.append((b"content-type", b"application/x-amz-json-1.1"))
        await send_reply(send, 404, headers, body)
