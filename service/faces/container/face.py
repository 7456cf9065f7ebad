"""`POST /invocations` and its kin: a call as a SageMaker container gets it, an answer as one gives it."""

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

from service.domain.caller import Caller
from service.errors import (
    REQUEST_ID,
    CallerError,
    ClientGone,
    ModelFault,
    ModelNotReady,
    ModelTimeout,
    PayloadTooLarge,
    SagebirdError,
    Unavailable,
    ValidationFault,
)
from service.faces.identity import passage_of
from service.faces.recorded import Recording
from service.faces.users import ReadUser, users_by
from service.hosting.host import Answer, Call
from service.http.asgi import Headers, Receive, Scope, Send, read_body
from service.http.failures import note_failure
from service.http.reply import Answered, Answering, Reply, send_answered
from service.http.request_ids import request_ids
from service.http.sandbox import sandbox
from service.invoke.failed import variant_of
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.predict import InvocationOutcome, Prediction, Predictor
from service.invoke.recording import nothing_recorded
from service.invoke.round import Round
from service.log import get_logger
from service.promise import Promise, request_id_of

_CONTENT_TYPE = b"content-type"
_ACCEPT = b"accept"
_CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
_TARGET_MODEL = b"x-amzn-sagemaker-target-model"
_TARGET_VARIANT = b"x-amzn-sagemaker-target-variant"
_VARIANT = b"x-amzn-invoked-production-variant"
_SESSION_ID = b"x-amzn-sagemaker-session-id"
_INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
_READ = frozenset(
    (
        *(_CONTENT_TYPE, _ACCEPT, _CUSTOM_ATTRIBUTES, _TARGET_MODEL, _TARGET_VARIANT),
        *(_SESSION_ID, _INFERENCE_ID),
    )
)
_TEXT: Headers = [(_CONTENT_TYPE, b"text/plain; charset=utf-8")]

_STATUSES: tuple[tuple[type[SagebirdError], int], ...] = (
    (PayloadTooLarge, 413),
    (ModelTimeout, 504),
    (ModelNotReady, 429),
    (Unavailable, 503),
    (ValidationFault, 400),
    (CallerError, 400),
)


class InvocationsFace:
    """An ASGI application for POST /invocations: the default endpoint, its weights and target headers."""

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
        self._new_id = request_ids()
        self._log = get_logger("sagebird.container")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens; one log line if it failed."""
        answered: Answered
        passage = passage_of(scope)
        try:
            body = await read_body(scope, receive, self._max_body_bytes)
        except ClientGone:
            return
        except Exception as error:
            answered = self._refuse(error, self._new_id())
        else:
            if passage.prepared is None:
                passage.prepared = self.prepare(passage.caller, scope["headers"])
            answered = await self._round.ask(passage.prepared, body)
        await send_answered(send, answered)

    def prepare(self, caller: Caller, headers: Headers) -> Answering:
        """What answers a caller's whole bodies within the limit; replies and log as of a call by ASGI."""
        invocation = _to_invocation(caller, _known(headers), self._user_of(headers))
        answer_all = self._record_all if self._recording.wants(invocation) else self._answer_all
        return Answering(InvocationHead(invocation), answer_all)

    def _record_all(self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]) -> list[list[Answered]]:
        return [
            [self._recorded(outcome, head) for outcome in outcomes]
            for (head, _), outcomes in zip(asked, self._predictor.answer(asked), strict=True)
        ]

    def _recorded(self, outcome: InvocationOutcome, head: InvocationHead) -> Answered:
        request_id = request_id_of(outcome) or self._new_id()
        return self._recording.answered(outcome, head, request_id, partial(self._to_answer, request_id))

    def _answer_all(self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]) -> list[list[Answered]]:
        found = self._predictor.answer(asked)
        return [[self._answered(outcome) for outcome in outcomes] for outcomes in found]

    def _answered(self, outcome: InvocationOutcome) -> Answered:
        if isinstance(outcome, (Prediction, Exception)):
            return self._to_answer(self._new_id(), outcome)
        request_id = request_id_of(outcome) or self._new_id()
        if isinstance(outcome, Promise):
            return outcome.then(partial(self._to_answer, request_id))
        return self._finish(outcome, request_id)

    def _to_answer(self, request_id: str, outcome: Prediction | Exception) -> Reply:
        """The reply to what is there. Raises nothing."""
        try:
            if isinstance(outcome, Prediction):
                return _to_reply(outcome, request_id)
        except Exception as error:
            outcome = error
        return self._refuse(outcome, request_id)

    async def _finish(self, prediction: Awaitable[Prediction], request_id: str) -> Reply:
        try:
            outcome: Prediction | Exception = await prediction
        except Exception as error:
            outcome = error
        return self._to_answer(request_id, outcome)

    def _refuse(self, error: Exception, request_id: str) -> Reply:
        """The one place where this face's errors become replies."""
        status, message = describe_error(error, request_id)
        self._predictor.failures.note(None, error, request_id)
        code = error.code if isinstance(error, SagebirdError) else ""
        note_failure(self._log, error, request_id, status, code, path="/invocations")
        headers = [*_TEXT, _id_header(request_id)]
        variant = variant_of(error)
        if variant is not None:
            headers.append((_VARIANT, variant.encode("latin-1")))
        error.__traceback__ = None  # its frames hold the body, and the error itself: a circle
        return Reply(status, headers, message.encode("utf-8", "replace"))


def read_headers(scope: Scope) -> dict[bytes, str]:
    """The headers that the container contract knows (contract A.1)."""
    return _known(scope["headers"])


def _known(headers: Headers) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in headers if name in _READ}


def _to_invocation(caller: Caller, known: Mapping[bytes, str], user: bytes | None) -> Invocation:
    call, inference_id = to_call(known, b""), known.get(_INFERENCE_ID)
    return Invocation(
        caller, None, call, known.get(_TARGET_VARIANT), user=user, inference_id=inference_id or None
    )


def _to_reply(prediction: Prediction, request_id: str) -> Reply:
    answer = prediction.answer
    variant = (_VARIANT, prediction.variant.encode("latin-1"))
    return Reply(answer.status, [*answer_headers(answer), variant, _id_header(request_id)], answer.body)


def _id_header(request_id: str) -> tuple[bytes, bytes]:
    return b"x-amzn-requestid", request_id.encode()


def to_call(headers: Mapping[bytes, str], body: bytes) -> Call:
    """One call from its headers and body."""
    get = headers.get
    return Call(
        body,
        get(_CONTENT_TYPE),
        get(_ACCEPT),
        get(_CUSTOM_ATTRIBUTES),
        get(_TARGET_MODEL),
        get(_SESSION_ID),
    )


def answer_headers(answer: Answer) -> Headers:
    """The headers that a container sends with an answer; values with control characters are left out."""
    headers: Headers = []
    for name, value in (
        (_CONTENT_TYPE, answer.content_type),
        (_CUSTOM_ATTRIBUTES, answer.custom_attributes),
        (b"x-amzn-sagemaker-new-session-id", answer.new_session_id),
        (b"x-amzn-sagemaker-closed-session-id", answer.closed_session_id),
    ):
        if value is not None and value.isprintable():
            headers.append((name, value.encode("latin-1", "replace")))
    return [*headers, *sandbox(answer.content_type)]


def describe_error(error: Exception, request_id: str) -> tuple[int, str]:
    """The status and the sentence that a container answers an error with."""
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status, error.message.replace(REQUEST_ID, request_id)
    if isinstance(error, ModelFault):
        return error.status, error.message
    return 500, f"Internal error; the log has the reason under request id {request_id}."
