"""The control face, `POST /` with X-Amz-Target: no operation is served yet, and each says so by name."""

from uuid import uuid4

import orjson

from service.asgi import ClientGone, Receive, Scope, Send, read_body, send_reply
from service.domain import sentences

_MAX_BODY_BYTES = 1 << 20


class ControlFace:
    """An ASGI application for POST /. JSON 1.1 clients read the code from the body only (contract 0.3)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the operation by name."""
        try:
            await read_body(scope, receive, _MAX_BODY_BYTES)
        except ClientGone:
            return
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode("latin-1")
        operation = target.rpartition(".")[2]
        message = (
            sentences.operation_not_served(operation)
            if operation
            else "POST / is the AWS control plane and needs an X-Amz-Target header; predictions go to "
            "/endpoints/NAME/invocations."
        )
        body = orjson.dumps({"__type": "UnknownOperationException", "message": message})
        headers = [
            (b"content-type", b"application/x-amz-json-1.1"),
            (b"x-amzn-requestid", str(uuid4()).encode()),
        ]
        await send_reply(send, 404, headers, body)
