"""The runtime face: `POST /endpoints/{name}/invocations` as boto3 and the aws CLI speak it."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from service.domain import sentences
from service.domain.caller import Caller
from service.errors import ClientGone, ModelFault, SagebirdError, UnknownOperation
from service.faces.aws.session_ids import NEW_SESSION, mark_session, read_session
from service.faces.identity import caller_of, passage_of
from service.faces.recorded import Recording
from service.faces.users import ReadUser, users_by
from service.hosting.host import Call
from service.http.asgi import (
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    header_lines,
    is_small,
    is_whole,
    read_body,
    rest_of_body,
)
from service.http.failures import note_failure
from service.http.remembered import remembering
from service.http.reply import Answered, Answering, Reply, Written, send_answered
from service.http.request_ids import request_ids
from service.http.sandbox import sandbox
from service.invoke.failed import variant_of
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.predict import InvocationOutcome, Prediction, Predictor
from service.invoke.recording import nothing_recorded
from service.invoke.round import Round
from service.log import get_logger
from service.promise import Promise, request_id_of
from service.wire.protocols.rest_json import compile_operation, fault_reply
from service.wire.services import call_at_endpoint
from service.wire.spec import load_service

_PREFIX = "/endpoints/"
_VARIANT = b"x-Amzn-Invoked-Production-Variant"
_KNOWN_LINES = 1024
_KNOWN_BYTES = 1 << 20
_SMALL_BYTES = 65_536  # far below what the API allows, so that the length needs no check

SERVED = frozenset({"InvokeEndpoint"})
"""The operations that are served."""


class RuntimeFace:
    """An ASGI application for everything below /endpoints/."""

    def __init__(
        self,
        predictor: Predictor,
        rounds: Round,
        max_body_bytes: int,
        user_of: ReadUser | None = None,
        recording: Recording | None = None,
    ) -> None:
        """Answer by `predictor`, in `rounds`; `user_of` says whom a call is for."""
        self._user_of = user_of or users_by()
        self._recording = Recording(nothing_recorded()) if recording is None else recording
        self._predictor = predictor
        self._round = rounds
        self._max_body_bytes = max_body_bytes
        self._service = load_service("sagemaker-runtime")
        self._invoke_endpoint = compile_operation(self._service.operations["InvokeEndpoint"])
        self._lines = remembering(self._usual_lines, _KNOWN_LINES, _KNOWN_BYTES, _size_of_line)
        self._new_id = request_ids()
        self._log = get_logger("sagebird.runtime")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed."""
        path, passage = scope["path"], passage_of(scope)
        answered: Answered
        try:
            answering: Answering | None = passage.prepared
            if answering is None:
                answering = passage.prepared = self._read_head(passage.caller, scope)
            if answering is None:
                invocation = await self._whole_invocation(scope, receive)
                answering, body = self._answering(invocation), invocation.call.body
            else:
                message = await receive()
                body = message["body"] if is_whole(message) else await self._rest(message, receive)
        except ClientGone:
            return
        except Exception as error:
            answered = self._refuse(error, path, self._new_id())
        else:
            answered = await self._round.ask(answering, body)
        await send_answered(send, answered)

    async def _whole_invocation(self, scope: Scope, receive: Receive) -> Invocation:
        endpoint = _endpoint_name(scope["method"], scope["path"])
        body = await read_body(scope, receive, self._max_body_bytes)
        return self._read(caller_of(scope), endpoint, scope["headers"], body)

    async def _rest(self, message: Message, receive: Receive) -> bytes:
        return await rest_of_body(message, receive, self._max_body_bytes)

    def _answering(self, invocation: Invocation) -> Answering:
        answer_all = self._record_all if self._recording.wants(invocation) else self._answer_all
        return Answering(InvocationHead(invocation), answer_all)

    def _read_head(self, caller: Caller, scope: Scope) -> Answering | None:
        """What is known of requests that begin like this; None of those whose body may be large or late."""
        endpoint = _endpoint_name(scope["method"], scope["path"])
        if not is_small(scope["headers"], min(_SMALL_BYTES, self._max_body_bytes)):
            return None
        return self._answering(self._read(caller, endpoint, scope["headers"], b""))

    def prepare(self, endpoint: str, caller: Caller, headers: Headers) -> Answering:
        """What answers a caller's InvokeEndpoint for bodies that are whole and within the limit.

        Replies and log are those of a call by ASGI.
        """
        try:
            return self._answering(self._read(caller, endpoint, headers, b""))
        except Exception as error:
            return Answering((error, _path(endpoint)), self._refuse_all)

    def _answer_all(self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]) -> list[list[Answered]]:
        return [
            [self._answered(outcome, head.invocation) for outcome in outcomes]
            for (head, _), outcomes in zip(asked, self._predictor.answer(asked), strict=True)
        ]

    def _record_all(self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]) -> list[list[Answered]]:
        return [
            [self._recorded(outcome, head) for outcome in outcomes]
            for (head, _), outcomes in zip(asked, self._predictor.answer(asked), strict=True)
        ]

    def _recorded(self, outcome: InvocationOutcome, head: InvocationHead) -> Answered:
        request_id = request_id_of(outcome) or self._new_id()
        to_answer = partial(self._to_answer, head.invocation, request_id)
        return self._recording.answered(outcome, head, request_id, to_answer)

    def _refuse_all(
        self, asked: Sequence[tuple[tuple[Exception, str], Sequence[bytes]]]
    ) -> list[list[Answered]]:
        return [
            [self._refuse(error, path, self._new_id()) for _ in bodies] for (error, path), bodies in asked
        ]

    def _answered(self, outcome: InvocationOutcome, invocation: Invocation) -> Answered:
        if isinstance(outcome, Prediction):
            request_id = self._new_id()
            try:  # as _to_answer does, in fewer steps
                written = self._written(outcome, request_id)
            except Exception:  # worded below
                written = None
            return written or self._to_answer(invocation, request_id, outcome)
        if isinstance(outcome, Exception):
            return self._to_answer(invocation, self._new_id(), outcome)
        request_id = request_id_of(outcome) or self._new_id()
        if isinstance(outcome, Promise):
            promise: Promise[Written | Reply] = outcome.then(partial(self._to_answer, invocation, request_id))
            return promise
        return self._finish(invocation, outcome, request_id)

    def _to_answer(
        self, invocation: Invocation, request_id: str, outcome: Prediction | Exception
    ) -> Written | Reply:
        """The reply to what is there. Raises nothing."""
        try:
            if isinstance(outcome, Prediction):
                return self._written(outcome, request_id) or self._to_reply(outcome, invocation, request_id)
        except Exception as error:
            outcome = error
        return self._refuse(outcome, _path(invocation.endpoint), request_id, invocation)

    def _written(self, prediction: Prediction, request_id: str) -> Written | None:
        """`_to_reply` in fewer steps for what nearly all answers are: a body and its type; else None."""
        (body, content_type, attributes, status, begun, ended), variant = prediction
        if attributes is not None or status != 200 or begun is not None or ended is not None:
            return None
        if len(body) > self._max_body_bytes:
            return None
        lines = self._lines((content_type, variant))
        return Written(b"".join((lines, request_id.encode(), b"\r\n")), body)

    def _usual_lines(self, shown: tuple[str, str]) -> bytes:
        content_type, variant = shown
        written = {"Body": b"", "ContentType": content_type, "InvokedProductionVariant": variant}
        lines = header_lines([*self._invoke_endpoint.write(written).headers, *sandbox(content_type)])
        return lines + b"x-amzn-requestid: "  # whose value follows

    async def _finish(
        self, invocation: Invocation, prediction: Awaitable[Prediction], request_id: str
    ) -> Written | Reply:
        try:
            outcome: Prediction | Exception = await prediction
        except Exception as error:
            outcome = error
        return self._to_answer(invocation, request_id, outcome)

    def _read(self, caller: Caller, endpoint: str, headers: Headers, body: bytes) -> Invocation:
        fields = self._invoke_endpoint.read({"EndpointName": endpoint}, headers, body)
        invocation = _to_invocation(caller, fields, self._user_of(headers))
        return invocation if invocation.call.session_id is None else self._in_session(invocation)

    def _in_session(self, invocation: Invocation) -> Invocation:
        """The same where its session is: at the variant that its id names, or else always at the same one."""
        given, variants = invocation.call.session_id or NEW_SESSION, self._variants(invocation)
        if given == NEW_SESSION or len(variants) < 2 or invocation.target_variant is not None:
            return invocation
        own, variant = read_session(given, variants)
        if variant is None:
            return invocation._replace(user=invocation.user or given.encode())
        return invocation._replace(call=invocation.call._replace(session_id=own), target_variant=variant)

    def _variants(self, invocation: Invocation) -> Collection[str]:
        route = self._predictor.directory().routes.get(invocation.endpoint or "")
        return () if route is None else route.named.keys()

    def _refuse(
        self, error: Exception, path: str, request_id: str, invocation: Invocation | None = None
    ) -> Reply:
        """The one place where the runtime's errors become replies."""
        variant, given = variant_of(error), error
        if invocation is not None:
            self._predictor.failures.note(invocation.endpoint, error, request_id)
        if isinstance(error, ModelFault) and invocation is not None:
            error = self._predictor.as_model_error(error, invocation)
        reply = fault_reply(error, self._service, request_id)
        if variant is not None:
            reply.headers.append((_VARIANT, variant.encode("latin-1", "replace")))
        code = error.code if isinstance(error, SagebirdError) else ""
        note_failure(self._log, error, request_id, reply.status, code, path=path)
        given.__traceback__ = None  # its frames hold the body, and the error itself: a circle
        return reply

    def _to_reply(self, prediction: Prediction, invocation: Invocation, request_id: str) -> Reply:
        answer = prediction.answer
        if len(answer.body) > self._max_body_bytes:
            raise self._predictor.unreadable_answer(invocation, prediction.variant)
        output: dict[str, Any] = {
            "Body": answer.body,
            "ContentType": answer.content_type,
            "InvokedProductionVariant": prediction.variant,
        }
        if answer.custom_attributes is not None:
            output["CustomAttributes"] = answer.custom_attributes
        sessions = (("NewSessionId", answer.new_session_id), ("ClosedSessionId", answer.closed_session_id))
        for member, value in sessions:
            if value is not None:
                several = len(self._variants(invocation)) > 1
                output[member] = mark_session(value, prediction.variant) if several else value
        reply = self._invoke_endpoint.write(output)
        reply.headers.extend((*sandbox(answer.content_type), (b"x-amzn-requestid", request_id.encode())))
        return reply if answer.status == 200 else Reply(answer.status, reply.headers, reply.body)


def _size_of_line(shown: tuple[str, str]) -> int:
    return len(shown[0]) + len(shown[1])


def _path(endpoint: str | None) -> str:
    return f"{_PREFIX}{endpoint}/invocations"


def _endpoint_name(method: str, path: str) -> str:
    found = call_at_endpoint(method, path)
    if found is None:
        raise UnknownOperation(f"There is nothing at {method} {path}.")
    endpoint, call = found
    if call.operation not in SERVED:
        raise UnknownOperation(sentences.operation_not_served(call.operation))
    return endpoint


def _to_invocation(caller: Caller, fields: Mapping[str, Any], user: bytes | None) -> Invocation:
    get = fields.get
    return Invocation(
        caller,
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
        user,
        get("InferenceId"),
    )
