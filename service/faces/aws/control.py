"""The control face, `POST /`: calls by X-Amz-Target or as forms, of every service that shares the path.

CBOR's calls, each of which has a path of its own, are answered here too.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from service.access.permissions import needed_for
from service.control.identity import ROLE
from service.domain import sentences, unserved
from service.domain.access_keys import Permission
from service.domain.caller import Caller
from service.errors import (
    ClientGone,
    CredentialsMissing,
    NotAllowed,
    NotAuthenticated,
    SagebirdError,
    UnknownOperation,
)
from service.faces.aws.protocols import Protocols
from service.faces.identity import caller_of
from service.http.asgi import Receive, Scope, Send, read_body, send_reply
from service.http.failures import note_failure
from service.http.guard import is_deliberate
from service.http.reply import Asked, Reply
from service.http.request_ids import request_ids
from service.log import get_logger
from service.wire import services
from service.wire.faults import error_code
from service.wire.protocols.json import JsonProtocol
from service.wire.protocols.query import is_form
from service.wire.services import ServiceCall, call_at_root

OperationCall = Callable[[Caller, str, str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
"""Caller, service, operation and its members, parsed and checked, to the members of its output."""

_MAX_NAME_CHARS = 128
# Reading and checking one of this size takes some milliseconds; nearly all control documents are smaller.
_LARGE_BYTES = 65_536
_TARGET = b"x-amz-target"


class Delegate(Protocol):
    """Another process that answers what would hold up this one."""

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        ...

    async def hand_in(self, caller: Caller, asked: Asked) -> Reply:
        """The answer to a caller's request. Raises Unavailable."""
        ...


class ControlFace:
    """An ASGI application for POST /.

    A request is checked in this order: size, service, operation, body, constraints; only then is it called.
    One with a large body is handed in elsewhere, where that is possible.
    """

    def __init__(
        self,
        sagemaker: JsonProtocol,
        call: OperationCall,
        max_body_bytes: int,
        elsewhere: Delegate | None = None,
    ) -> None:
        self._protocols = Protocols(sagemaker)
        self._call = call
        self._max_body_bytes = max_body_bytes
        self._elsewhere = elsewhere
        self._new_id = request_ids()
        self._log = get_logger("sagebird.control")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed."""
        caller, asked = caller_of(scope), Asked(scope["headers"], b"", self._new_id(), scope["path"])
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
            asked = replace(asked, body=body)
            if len(body) > _LARGE_BYTES and self._elsewhere is not None and self._elsewhere.is_open:
                reply = await self._elsewhere.hand_in(caller, asked)
            else:
                reply = await self.answer(caller, asked)
        except ClientGone:
            return
        except Exception as error:  # what the request never came to be asked for
            reply = self._refuse(asked, None, error)
        await send_reply(send, reply.status, reply.headers, reply.body)

    async def answer(self, caller: Caller, asked: Asked) -> Reply:
        """The answer to a caller's whole request; it raises nothing."""
        call = None
        try:
            call = call_at_root(asked)
            reply = await self._answer(caller, call, asked)
        except Exception as error:  # the one place where the control plane's errors become replies
            return self._refuse(asked, call, error)
        reply.headers.append((b"x-amzn-RequestId", asked.request_id.encode()))
        return reply

    async def _answer(self, caller: Caller, call: ServiceCall | None, asked: Asked) -> Reply:
        if call is None:
            raise UnknownOperation(sentences.target_missing())
        protocol = await self._protocols.find(call)
        _check_permission(caller, call)
        if protocol is None or not protocol.models(call.operation):
            raise unserved.refusal(call.row, call.service, call.operation)
        _check_origin(call, asked)
        fields = protocol.read(call.operation, asked)
        output = await self._call(caller, call.row, call.operation, fields)
        return protocol.write(call.operation, {} if output is None else output, asked.request_id)

    def _refuse(self, asked: Asked, call: ServiceCall | None, error: Exception) -> Reply:
        """The reply to a request that failed, with its log line."""
        takes_form = _takes_form(asked, error) if call is None else call.protocol == services.QUERY
        reply = self._protocols.fault_writer(call, takes_form=takes_form).write_fault(error, asked)
        target = dict(asked.headers).get(_TARGET, b"").decode("latin-1")
        operation = call.operation if call is not None and not target else target
        code = error_code(error, self._protocols.sagemaker.spec) if isinstance(error, SagebirdError) else ""
        place = {"path": "/", "operation": operation[:_MAX_NAME_CHARS]}
        note_failure(self._log, error, asked.request_id, reply.status, code, **place)
        return reply


def _takes_form(asked: Asked, error: Exception) -> bool:
    """Whether what was signed wrongly was to be a form: its body, which would tell what it calls, is gone."""
    headers = dict(asked.headers)
    is_signed = isinstance(error, NotAuthenticated) and _TARGET not in headers
    return is_signed and is_form(headers.get(b"content-type", b""))


def _check_origin(call: ServiceCall, asked: Asked) -> None:
    """Raise CredentialsMissing for what changes something and may be any page's wish: an unsigned form."""
    changes = Permission.MANAGE in needed_for(call.operation).permissions
    said = dict(asked.headers).get(b"authorization", b"")
    if changes and call.protocol == services.QUERY and not is_deliberate(said):
        raise CredentialsMissing(sentences.unsigned_form())


def _check_permission(caller: Caller, call: ServiceCall) -> None:
    """Raise NotAllowed, in AWS's words, for an operation that the caller's key does not allow."""
    needed = needed_for(call.operation).permissions
    if needed and not set(needed) & set(caller.permissions.split()):
        action = f"{call.service}:{call.operation}"
        raise NotAllowed(sentences.not_authorized(caller.arns.assumed_role(ROLE, caller.principal), action))
