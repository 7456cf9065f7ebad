"""An invocation of an endpoint or a registered model: find it, pick a variant, ask its replica, count."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from service.domain import sentences
from service.domain.endpoint import PRIMARY
from service.errors import (
    AnswerTooLarge,
    HopTooLarge,
    ModelError,
    ModelFault,
    ModelNotFound,
    ModelNotReady,
    ModelTimeout,
    SagebirdError,
    ValidationFault,
)
from service.hosting.calls.joining import answer_lanes
from service.hosting.host import Answer, ShortWay, invoke_whole
from service.hosting.stopwatch import Stopwatch
from service.http.failures import log_bug
from service.http.request_ids import request_ids
from service.invoke.directory import Directory, Target
from service.invoke.failed import FailureLog, at_variant
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.routing import Routing
from service.invoke.settling import Settled, Settling, Tap
from service.observe.counts import Registry
from service.promise import Identified, Promise


class Prediction(NamedTuple):
    """A model's answer and the variant that gave it."""

    answer: Answer
    variant: str


_Part = tuple[Target, InvocationHead, Sequence[bytes]]
"""Invocations of one head that one target answers."""

InvocationOutcome = Prediction | Exception | Promise[Prediction] | Awaitable[Prediction]
"""What came of an invocation, or what is left to await for it; the exceptions are those of `predict`."""


class Predictor:
    """Answers invocations from the directory of the moment."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        draw: Callable[[], float],
        registry: Registry,
        catch_up: Callable[[], Awaitable[None]] | None = None,
        taps: Sequence[Tap] = (),
        keep_up: Callable[[], None] = lambda: None,
        failures: FailureLog | None = None,
    ) -> None:
        """Answer nothing yet.

        `draw` gives numbers in [0, 1) that share out the traffic; `catch_up` brings the directory up to date
        before a request is refused, for another gateway may already answer it; `taps` are told of each
        invocation of a variant that is over. `keep_up` is called before invocations are answered.
        """
        self.directory = directory
        self._keep_up = keep_up
        self._routing = Routing(directory, draw, catch_up)
        self._registry = registry
        self.settling = Settling(taps)
        self._new_id = request_ids()
        self.failures = FailureLog() if failures is None else failures

    async def predict(self, invocation: Invocation) -> Prediction:
        """Answer one invocation: a round of one.

        Raises:
            ValidationFault: no such endpoint, variant or target model, or headers that do not fit it.
            ModelNotFound: no such registered model.
            ModelFault: what the model's container would have answered instead.
            ModelNotReady: the target model is still loading.
            Unavailable: too many calls wait.
        """
        outcome = self.answer([(InvocationHead(invocation), [invocation.call.body])])[0][0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, Prediction) else await outcome

    def answer(
        self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]]
    ) -> list[list[InvocationOutcome]]:
        """Answer invocations of several heads, alike but for their bodies; at once those that need not wait.

        Raises nothing. What they bring may be read as one, and those of one variant may be answered by one
        prediction. The variant that was drawn is asked either way: drawing anew would favour the quick ones.
        """
        begun_s = perf_counter()
        self._keep_up()
        if len(asked) == 1:
            outcomes = self._answer_alike(*asked[0], begun_s)
            if outcomes is not None:
                return [outcomes]
        return self._answer_together(asked, begun_s)

    def _answer_together(
        self, asked: Sequence[tuple[InvocationHead, Sequence[bytes]]], begun_s: float
    ) -> list[list[InvocationOutcome]]:
        found: list[list[InvocationOutcome]] = []
        places: list[int] = []
        parts: list[_Part] = []
        lanes: list[tuple[ShortWay, Sequence[bytes]]] = []
        routes = self.directory().routes
        for head, bodies in asked:
            target: Target | None = None
            try:
                target = head.only
                if target is None or routes.get(head.name) is not head.route:
                    target = self._routing.one_target(head, len(bodies))
                lane = None if target is None else target.replica.short_way(head.call, bodies)
            except Exception:  # whose it is shows when they are asked again, apart from others
                if target is not None:
                    found.append(self._at(target, head, bodies, begun_s))
                    continue
            if target is None:
                found.append(self._spread(head, bodies, begun_s))
            elif lane is None:
                found.append([self._begin(target, head.invocation, body, begun_s) for body in bodies])
            else:
                places.append(len(found))
                parts.append((target, head, bodies))
                lanes.append((lane, bodies))
                found.append([])
        if lanes:
            for place, outcomes in zip(places, self._answer_lanes(parts, lanes, begun_s), strict=True):
                found[place] = outcomes
        return found

    def _answer_alike(
        self, head: InvocationHead, bodies: Sequence[bytes], begun_s: float
    ) -> list[InvocationOutcome] | None:
        """What came of invocations of one head, in fewer steps; None where it takes more."""
        target = head.only
        try:
            if target is None or self.directory().routes.get(head.name) is not head.route:
                return None
            lane = target.replica.short_way(head.call, bodies)
        except Exception:  # what is wrong shows on the way of all others
            return None
        if lane is None:
            return [self._begin(target, head.invocation, body, begun_s) for body in bodies]
        asked_s = perf_counter()
        answers = _ask_lane(lane, bodies)
        answered_s = perf_counter()
        duration_s, model_s = answered_s - begun_s, answered_s - asked_s
        outcomes, number = self._outcomes(target, head, bodies, answers, duration_s, model_s)
        self.settling.answered(target, number, duration_s, model_s)
        if len(bodies) == 1:
            _note_cost(target, head, bodies[0], model_s)
        return outcomes

    def _spread(
        self, head: InvocationHead, bodies: Sequence[bytes], begun_s: float
    ) -> list[InvocationOutcome]:
        """Have invocations answered by the variants that the weights lead them to."""
        try:
            route, only = self._routing.way(head)
            targets = [only or self._routing.pick(route, head.invocation) for _ in bodies]
        except SagebirdError:
            return [self._later(head.invocation.with_body(body), begun_s) for body in bodies]
        except Exception as error:  # worded and logged at the edge
            if len(bodies) == 1:
                return [error]
            return [self._spread(head, [body], begun_s)[0] for body in bodies]
        places: dict[int, list[int]] = {}
        for place, target in enumerate(targets):
            places.setdefault(id(target), []).append(place)
        found: dict[int, InvocationOutcome] = {}
        for some in places.values():
            outcomes = self._at(targets[some[0]], head, [bodies[at] for at in some], begun_s)
            found.update(zip(some, outcomes, strict=True))
        return [found[place] for place in range(len(bodies))]

    def _at(
        self, target: Target, head: InvocationHead, bodies: Sequence[bytes], begun_s: float
    ) -> list[InvocationOutcome]:
        """Have invocations answered by one variant."""
        try:
            lane = target.replica.short_way(head.call, bodies)
        except Exception as error:  # worded and logged at the edge
            if len(bodies) > 1 and not isinstance(error, SagebirdError):
                return [self._at(target, head, [body], begun_s)[0] for body in bodies]
            duration_s = perf_counter() - begun_s
            return [self._failed(error, target, head.invocation, body, duration_s, 0.0) for body in bodies]
        if lane is None:
            return [self._begin(target, head.invocation, body, begun_s) for body in bodies]
        return self._answer_lanes([(target, head, bodies)], [(lane, bodies)], begun_s)[0]

    def _answer_lanes(
        self, parts: Sequence[_Part], lanes: Sequence[tuple[ShortWay, Sequence[bytes]]], begun_s: float
    ) -> list[list[InvocationOutcome]]:
        asked_s = perf_counter()
        answers = _ask_lanes(lanes)
        answered_s = perf_counter()
        duration_s, model_s = answered_s - begun_s, answered_s - asked_s
        found: list[list[InvocationOutcome]] = []
        last, answered = parts[0][0], 0
        for (target, head, bodies), outcomes in zip(parts, answers, strict=True):
            if target is not last:
                self.settling.answered(last, answered, duration_s, model_s)
                last, answered = target, 0
            if len(outcomes) == 1 and type(outcomes[0]) is Answer and not self.settling.taps:
                found.append([Prediction(outcomes[0], target.variant.name)])  # as below, in fewer steps
                answered += 1
                continue
            some, number = self._outcomes(target, head, bodies, outcomes, duration_s, model_s)
            found.append(some)
            answered += number
        self.settling.answered(last, answered, duration_s, model_s)
        if len(parts) == 1 and len(parts[0][2]) == 1:
            _note_cost(last, parts[0][1], parts[0][2][0], model_s)
        return found

    def _outcomes(
        self,
        target: Target,
        head: InvocationHead,
        bodies: Sequence[bytes],
        answers: Sequence[Answer | Exception],
        duration_s: float,
        model_s: float,
    ) -> tuple[list[InvocationOutcome], int]:
        """What came of calls, and how many were answered, which are counted by who asked."""
        variant, answered, invocation = target.variant.name, 0, head.invocation
        taps = self.settling.taps
        found: list[InvocationOutcome] = []
        for place, answer in enumerate(answers):
            if isinstance(answer, Answer):
                answered += 1
                found.append(Prediction(answer, variant))
                if taps:
                    asked = invocation.with_body(bodies[place])
                    self.settling.tell(Settled(asked, variant, answer, duration_s, model_s))
            else:
                found.append(self._failed(answer, target, invocation, bodies[place], duration_s, model_s))
        return found, answered

    def _later(self, invocation: Invocation, begun_s: float) -> Awaitable[Prediction]:
        request_id = self._new_id()
        return Identified(self._late(invocation, request_id, begun_s), request_id)

    async def _late(self, invocation: Invocation, request_id: str, begun_s: float) -> Prediction:
        """Answer what is refused as things stand, if it need not be once what is new is known."""
        try:
            target = await self._routing.find(invocation)
        except SagebirdError as error:
            self.settling.refused(self._registry, error)
            raise
        body, place = invocation.call.body, self.failures.place_of(target)
        invocation = invocation.identified(body, request_id, place)
        return await self._ask(target, invocation, begun_s)

    def _begin(self, target: Target, like: Invocation, body: bytes, begun_s: float) -> InvocationOutcome:
        """Have an invocation answered later: without a task, where its replica can do that."""
        watch, request_id = Stopwatch(), self._new_id()
        invocation = like.identified(body, request_id, self.failures.place_of(target))
        try:
            promise = target.replica.begin(invocation.call, watch)
        except Exception as error:  # worded and logged at the edge
            return self._failed(error, target, invocation, body, perf_counter() - begun_s, 0.0)
        if promise is None:
            return Identified(self._ask(target, invocation, begun_s), request_id)
        promise.request_id = request_id
        return promise.then(partial(self._settle, target, invocation, begun_s, watch))

    async def _ask(self, target: Target, invocation: Invocation, begun_s: float) -> Prediction:
        watch = Stopwatch()
        try:
            answer = await invoke_whole(target.replica, invocation.call, watch)
        except Exception as error:  # worded and logged at the edge
            cause = error.__cause__
            raise self._settle_failed(target, invocation, begun_s, watch, error) from cause
        return self._settle_answered(target, invocation, begun_s, watch, answer)

    def _settle(
        self,
        target: Target,
        invocation: Invocation,
        begun_s: float,
        watch: Stopwatch,
        outcome: Answer | Exception,
    ) -> Prediction | Exception:
        if isinstance(outcome, Exception):
            return self._settle_failed(target, invocation, begun_s, watch, outcome)
        return self._settle_answered(target, invocation, begun_s, watch, outcome)

    def _settle_failed(
        self, target: Target, invocation: Invocation, begun_s: float, watch: Stopwatch, error: Exception
    ) -> Exception:
        duration_s = perf_counter() - begun_s
        return self._failed(error, target, invocation, invocation.call.body, duration_s, watch.seconds)

    def _settle_answered(
        self, target: Target, invocation: Invocation, begun_s: float, watch: Stopwatch, answer: Answer
    ) -> Prediction:
        duration_s, model_s, variant = perf_counter() - begun_s, watch.seconds, target.variant.name
        self.settling.answered(target, 1, duration_s, model_s)
        if self.settling.taps:
            self.settling.tell(Settled(invocation, variant, answer, duration_s, model_s))
        return Prediction(answer, variant)

    def _failed(
        self,
        error: Exception,
        target: Target,
        invocation: Invocation,
        body: bytes,
        duration_s: float,
        model_s: float,
    ) -> Exception:
        """Settle what went wrong; the error as callers know it. A bug stays what it is."""
        if isinstance(error, ModelFault) and not error.container:
            error.container = target.container
        if isinstance(error, SagebirdError):
            error = self._worded(error, invocation)
        self.settling.failed(target, error, duration_s, model_s)
        variant = target.variant.name
        if self.settling.taps:
            asked = invocation.with_body(body)
            self.settling.tell(Settled(asked, variant, error, duration_s, model_s))
        return at_variant(error, variant)

    def as_model_error(self, fault: ModelFault, invocation: Invocation) -> ModelError:
        """A container's refusal as the runtime API words it. Source: contract B.4."""
        arns, endpoint = invocation.caller.arns, invocation.endpoint or self.directory().default or ""
        container = fault.container or PRIMARY
        if isinstance(fault, AnswerTooLarge):
            return self._unreadable(invocation, container)
        timed_out = isinstance(fault, ModelTimeout)
        message = sentences.model_timed_out(container) if timed_out else fault.message
        client_side = 400 <= fault.status < 500
        url = arns.console_logs_url(endpoint)
        return ModelError(
            message
            if isinstance(fault, HopTooLarge)
            else sentences.model_error(fault.status, message, url, arns.account, container),
            ErrorCode="CLIENT_ERROR_FROM_MODEL" if client_side else "INTERNAL_FAILURE_FROM_MODEL",
            LogStreamArn=arns.log_stream(endpoint),
            OriginalMessage=message,
            OriginalStatusCode=fault.status,
        )

    def unreadable_answer(self, invocation: Invocation, variant: str) -> Exception:
        """The model's answer is larger than a reply may be. Source: contract B.4."""
        route = self.directory().routes.get(invocation.endpoint or self.directory().default or "")
        target = None if route is None else route.named.get(variant)
        named = invocation.target_container_hostname or (PRIMARY if target is None else target.container)
        return at_variant(self._unreadable(invocation, named), variant)

    def _unreadable(self, invocation: Invocation, container: str) -> ModelError:
        arns, endpoint = invocation.caller.arns, invocation.endpoint or self.directory().default or ""
        return ModelError(
            sentences.answer_unreadable(arns.console_logs_url(endpoint), arns.account, container),
            ErrorCode="INTERNAL_FAILURE_FROM_MODEL",
            LogStreamArn=arns.log_stream(endpoint),
            OriginalStatusCode=500,
        )

    def _worded(self, error: SagebirdError, invocation: Invocation) -> SagebirdError:
        target_model = None if invocation.registered is not None else invocation.call.target_model
        endpoint = invocation.endpoint or self.directory().default or ""
        if isinstance(error, ModelNotFound) and target_model is not None:
            return ValidationFault(sentences.target_model_unknown(target_model, endpoint, error.message))
        if isinstance(error, ModelNotReady) and target_model is not None:
            return ModelNotReady(sentences.model_not_ready(target_model))
        return error


def _ask_lanes(lanes: Sequence[tuple[ShortWay, Sequence[bytes]]]) -> Sequence[Sequence[Answer | Exception]]:
    try:
        return answer_lanes(lanes)
    except Exception:  # whose it is shows when each is asked alone
        return [_ask_lane(lane, bodies) for lane, bodies in lanes]


def _ask_lane(lane: ShortWay, bodies: Sequence[bytes]) -> Sequence[Answer | Exception]:
    try:
        return lane.answer(bodies)
    except Exception as error:
        if len(bodies) == 1:  # the edge of one call
            return (error,)
        return [_ask_lane(lane, (body,))[0] for body in bodies]


def _note_cost(target: Target, head: InvocationHead, body: bytes, model_s: float) -> None:
    try:
        target.replica.note_cost(head.call, len(body), model_s)
    except Exception as error:  # who asked has an answer
        log_bug("cost of a call not noted", error)
