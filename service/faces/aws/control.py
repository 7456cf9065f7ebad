"""The control face, `POST /`: JSON calls by X-Amz-Target, and the one STS call that tools make."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol
from uuid import uuid4

from service.arn import Arns
from service.domain import sentences, unserved
from service.errors import NothingThere, NotPermitted, SagebirdError, UnknownOperation
from service.http.asgi import ClientGone, Receive, Scope, Send, read_body, send_reply
from service.http.failures import note_failure
from service.http.reply import Asked, Reply
from service.log import get_logger
from service.wire import query, sigv4
from service.wire.faults import error_code, json_fault_reply, query_fault_reply
from service.wire.json_rpc import JsonRpcService
from service.wire.query import QueryCall

OperationCall = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
"""Operation name and its members, parsed and checked, to the members of its output."""

_MAX_NAME_CHARS = 128
# Reading and checking one of this size takes some milliseconds; nearly all control documents are smaller.
_LARGE_BYTES = 65_536
_TARGET = b"x-amz-target"
_JSON_1_0 = b"application/x-amz-json-1.0"
_LOGS = "Logs_20140328"
_IDENTITY = MappingProxyType({query.STS_VERSION: "sts", "2010-05-08": "iam"})

ROLE = "sagebird"
SESSION = "caller"
"""Who every caller is: programs take their role's name from between the slashes of the ARN."""

_ROLE_ID = "AROASAGEBIRD000000000"


class Elsewhere(Protocol):
    """Another process that answers what would hold up this one."""

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        ...

    async def hand_in(self, asked: Asked) -> Reply:
        """The answer to a request. Raises Unavailable."""
        ...


class ControlFace:
    """An ASGI application for POST /.

    A request is checked in this order: size, target, JSON, constraints; only then is it called. One with a
    large body is handed in elsewhere, where that is possible.
    """

    def __init__(
        self,
        service: JsonRpcService,
        call: OperationCall,
        arns: Arns,
        max_body_bytes: int,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._service = service
        self._call = call
        self._arns = arns
        self._max_body_bytes = max_body_bytes
        self._elsewhere = elsewhere
        self._log = get_logger("sagebird.control")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed."""
        asked = Asked(scope["headers"], b"", str(uuid4()))
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
            asked = replace(asked, body=body)
            if len(body) > _LARGE_BYTES and self._elsewhere is not None and self._elsewhere.is_open:
                reply = await self._elsewhere.hand_in(asked)
            else:
                reply = await self.answer(asked)
        except ClientGone:
            return
        except Exception as error:  # what the request never came to be asked for
            reply = self._refuse(asked, None, error)
        await send_reply(send, reply.status, reply.headers, reply.body)

    async def answer(self, asked: Asked) -> Reply:
        """The answer to a whole request; it raises nothing."""
        headers, form = dict(asked.headers), None
        try:
            if not headers.get(_TARGET):
                form = query.read_call(headers.get(b"content-type", b""), asked.body)
            if form is None:
                reply = await self._answer(headers.get(_TARGET, b"").decode("latin-1"), headers, asked.body)
            else:
                reply = self._answer_query(form, headers, asked.request_id)
        except Exception as error:  # the one place where the control plane's errors become replies
            return self._refuse(asked, form, error)
        reply.headers.append((b"x-amzn-RequestId", asked.request_id.encode()))
        return reply

    def _refuse(self, asked: Asked, form: QueryCall | None, error: Exception) -> Reply:
        """The reply to a request that failed, with its log line."""
        headers = dict(asked.headers)
        reply = self._to_fault(error, form, headers, asked.request_id)
        operation = form.action if form else headers.get(_TARGET, b"").decode("latin-1")
        code = error_code(error, self._service.spec) if isinstance(error, SagebirdError) else ""
        place = {"path": "/", "operation": operation[:_MAX_NAME_CHARS]}
        note_failure(self._log, error, asked.request_id, reply.status, code, **place)
        return reply

    async def _answer(self, target: str, headers: Mapping[bytes, bytes], body: bytes) -> Reply:
        if not target:
            raise UnknownOperation(sentences.target_missing())
        prefix, _, name = target.rpartition(".")
        name = name[:_MAX_NAME_CHARS]
        if prefix != self._service.target_prefix:
            if prefix == _LOGS:  # programs that wait for logs go on where there is no group of them
                raise NothingThere(unserved.no_logs(name))
            raise UnknownOperation(unserved.service_not_served(name, _service_name(headers, prefix)))
        operation = self._service.operation(name)
        if operation is None:
            raise UnknownOperation(sentences.operation_unknown(name))
        output = await self._call(name, operation.read(body))
        return operation.write({} if output is None else output)

    def _answer_query(self, form: QueryCall, headers: Mapping[bytes, bytes], request_id: str) -> Reply:
        if form != QueryCall("GetCallerIdentity", query.STS_VERSION):
            service = _service_name(headers, _IDENTITY.get(form.version, f"the API of {form.version}"))
            refused = unserved.service_not_served(form.action, service)
            # Programs that look at roles and policies first go on after this one, and after no other.
            raise NotPermitted(refused) if service in _IDENTITY.values() else UnknownOperation(refused)
        identity = {
            "Arn": self._arns.assumed_role(ROLE, SESSION),
            "UserId": f"{_ROLE_ID}:{SESSION}",
            "Account": self._arns.account,
        }
        return query.write_result(form, identity, request_id)

    def _to_fault(
        self, error: Exception, form: QueryCall | None, headers: Mapping[bytes, bytes], request_id: str
    ) -> Reply:
        if form is not None:
            return query_fault_reply(error, form, request_id)
        # The other services that share POST / speak the same protocol, some in its older version.
        sent = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        content_type = _JSON_1_0 if sent == _JSON_1_0 else self._service.content_type
        return json_fault_reply(error, self._service.spec, request_id, content_type)


def _service_name(headers: Mapping[bytes, bytes], otherwise: str) -> str:
    """The service that a request was signed for, which is how its client calls it; else `otherwise`."""
    scope = sigv4.read_scope(headers.get(b"authorization", b"").decode("latin-1"))
    if scope is not None and scope.service != "sagemaker":
        return scope.service
    return otherwise[:_MAX_NAME_CHARS] or "an unnamed service"
