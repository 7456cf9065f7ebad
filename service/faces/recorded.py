"""Answers of calls that are recorded: they name the id by which outcomes are reported of them."""

from collections.abc import Awaitable, Callable
from functools import partial

from service.http.reply import Answered, Reply, Written
from service.invoke.directory import Route
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.predict import InvocationOutcome, Prediction
from service.invoke.recording import Recorder
from service.promise import Promise

INFERENCE_ID = b"X-Amzn-SageMaker-Inference-Id"

ToAnswer = Callable[[Prediction | Exception], Written | Reply]
"""The reply to what came of a call. Raises nothing."""


class Recording:
    """Records what came of calls, and marks their answers."""

    def __init__(self, recorder: Recorder) -> None:
        """`recorder` says which calls are recorded, too."""
        self._recorder = recorder

    def wants(self, invocation: Invocation) -> bool:
        """Whether calls like this one are recorded."""
        return self._recorder.wants(invocation)

    def answered(
        self, outcome: InvocationOutcome, head: InvocationHead, request_id: str, to_answer: ToAnswer
    ) -> Answered:
        """What `to_answer` makes of an outcome, now or once it is there, marked."""
        given = head.invocation.inference_id
        mark = partial(
            self._mark, head.route, head.invocation, request_id if given is None else given, to_answer
        )
        if isinstance(outcome, (Prediction, Exception)):
            return mark(outcome)
        if isinstance(outcome, Promise):
            promise: Promise[Written | Reply] = outcome.then(mark)
            return promise
        return _await(outcome, mark)

    def _mark(
        self,
        route: Route | None,
        invocation: Invocation,
        inference_id: str,
        to_answer: ToAnswer,
        outcome: Prediction | Exception,
    ) -> Written | Reply:
        reply = to_answer(outcome)
        if isinstance(outcome, Exception) or (isinstance(reply, Reply) and reply.status >= 300):
            return reply
        self._recorder.note(route, invocation, outcome.variant, inference_id, outcome.answer.body)
        if not inference_id.isascii() or not inference_id.isprintable():
            return reply
        if isinstance(reply, Written):
            return Written(b"%b%b: %b\r\n" % (reply.lines, INFERENCE_ID, inference_id.encode()), reply.body)
        reply.headers.append((INFERENCE_ID, inference_id.encode()))
        return reply


async def _await(
    outcome: Awaitable[Prediction], mark: Callable[[Prediction | Exception], Written | Reply]
) -> Written | Reply:
    try:
        found: Prediction | Exception = await outcome
    except Exception as error:
        found = error
    return mark(found)
