"""InvokeEndpoint: find the endpoint, pick a variant, ask its replica, count."""

from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Literal, NamedTuple

from service.arn import Arns
from service.domain import sentences
from service.errors import (
    CallerError,
    ModelError,
    ModelFault,
    ModelNotFound,
    ModelNotReady,
    ModelTimeout,
    SagebirdError,
    ValidationFault,
)
from service.hosting.calls.joining import answer_lanes
from service.hosting.host import Answer, Call, ShortWay
from service.hosting.stopwatch import Stopwatch
from service.invoke.directory import Directory, Route, Target
from service.observe.counts import Registry

_VARIANT = "sagebird_variant"


class Invocation(NamedTuple):
    """One request for a prediction, through whatever face; `endpoint` None asks for the default one."""

    endpoint: str | None
    call: Call
    target_variant: str | None = None
    target_container_hostname: str | None = None
    inference_component: str | None = None

    def with_body(self, body: bytes) -> "Invocation":
        """The same for another body."""
        return Invocation(self.endpoint, self.call.with_body(body), *self[2:])


class Head:
    """Invocations that are alike but for their bodies, and where they lead as long as that route stays.

    `only` is the target if there is no other. The predictor keeps both; no head keeps a directory alive.
    """

    __slots__ = ("call", "invocation", "name", "only", "route")

    def __init__(self, invocation: Invocation) -> None:
        """For invocations like this one, whatever its body is."""
        self.invocation = invocation
        self.name = invocation.endpoint or ""  # the default endpoint is looked up anew each time
        self.call = invocation.call
        self.route: Route | None = None
        self.only: Target | None = None


class Prediction(NamedTuple):
    """A model's answer and the variant that gave it."""

    answer: Answer
    variant: str


Outcome = Prediction | Exception | Awaitable[Prediction]
"""What came of an invocation, or what is left to await for it; the exceptions are those of `predict`."""


class Predictor:
    """Answers invocations from the directory of the moment."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        draw: Callable[[], float],
        registry: Registry,
        arns: Arns,
        catch_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Answer nothing yet.

        `draw` gives numbers in [0, 1) that share out the traffic; `catch_up` brings the directory up to date
        before a request is refused, for another gateway may already answer it.
        """
        self._catch_up = catch_up
        self._directory = directory
        self._draw = draw
        self._registry = registry
        self._arns = arns

    async def predict(self, invocation: Invocation) -> Prediction:
        """Answer one invocation.

        Raises:
            ValidationFault: no such endpoint, variant or target model, or headers that do not fit it.
            ModelFault: what the model's container would have answered instead.
            ModelNotReady: the target model is still loading.
            Unavailable: too many calls wait.
        """
        begun_s = perf_counter()
        try:
            target = await self._find(invocation)
        except SagebirdError as error:
            self._registry.count_refusal(error.code)
            raise
        return await self._ask(target, invocation, begun_s)

    def begin(self, head: Head, bodies: Sequence[bytes]) -> list[Outcome]:
        """Answer invocations that are like `head` but for their bodies, those at once that need not wait.

        Those whom the weights lead to the same variant may be answered by one prediction. The variant that
        was drawn is asked either way: drawing anew would favour the quick ones.
        """
        begun_s = perf_counter()
        try:
            targets = self._choose_many(head, len(bodies))
        except ValidationFault:
            return [self.predict(head.invocation.with_body(body)) for body in bodies]
        if len(targets) == 1:
            return self._begin_at(targets[0], head, bodies, begun_s)
        places: dict[int, list[int]] = {}
        for place, target in enumerate(targets):
            places.setdefault(id(target), []).append(place)
        found: dict[int, Outcome] = {}
        for some in places.values():
            outcomes = self._begin_at(targets[some[0]], head, [bodies[at] for at in some], begun_s)
            found.update(zip(some, outcomes, strict=True))
        return [found[place] for place in range(len(bodies))]

    def begin_all(self, asked: Sequence[tuple[Head, Sequence[bytes]]]) -> list[list[Outcome]]:
        """Answer invocations of several heads, each as `begin` does; what they bring may be read as one."""
        if len(asked) == 1:
            return [self.begin(*asked[0])]
        begun_s = perf_counter()
        routes = self._directory().routes
        found: list[list[Outcome]] = []
        targets: list[tuple[int, Target]] = []
        lanes: list[tuple[ShortWay, Sequence[bytes]]] = []
        for place, (head, bodies) in enumerate(asked):
            target = head.only
            if target is None or routes.get(head.name) is not head.route:
                target = self._one_target(head, len(bodies))
            lane = None if target is None else _short_way(target, head, bodies)
            if lane is not None and target is not None:
                targets.append((place, target))
                lanes.append((lane, bodies))
                found.append([])
            elif target is not None:
                found.append(self._begin_at(target, head, bodies, begun_s))
            else:
                found.append(self.begin(head, bodies))
        asked_s = perf_counter()
        answers = answer_lanes(lanes)
        answered_s = perf_counter()
        duration_s, model_s = answered_s - begun_s, answered_s - asked_s
        last, answered = targets[0][1] if targets else None, 0
        for (place, target), outcomes in zip(targets, answers, strict=True):
            if target is not last:
                _count(last, answered, duration_s, model_s)
                last, answered = target, 0
            found[place], number = self._predictions(target, asked[place][0], outcomes, begun_s, model_s)
            answered += number
        _count(last, answered, duration_s, model_s)
        return found

    def _begin_at(self, target: Target, head: Head, bodies: Sequence[bytes], begun_s: float) -> list[Outcome]:
        asked_s = perf_counter()
        try:
            answers = target.replica.answer_now(head.call, bodies)
        except Exception as error:  # worded and logged at the edge
            return [self._failed(error, target, head.invocation, begun_s, 0.0) for _ in bodies]
        if answers is None:
            return [self._ask(target, head.invocation.with_body(body), begun_s) for body in bodies]
        answered_s = perf_counter()
        model_s = answered_s - asked_s
        found, answered = self._predictions(target, head, answers, begun_s, model_s)
        target.counter.count(answered_s - begun_s, model_s, requests=answered)
        return found

    def _predictions(
        self,
        target: Target,
        head: Head,
        answers: Sequence[Answer | Exception],
        begun_s: float,
        model_s: float,
    ) -> tuple[list[Outcome], int]:
        """What came of calls, and how many were answered; those that failed are counted here."""
        variant, answered = target.variant.name, 0
        found: list[Outcome] = []
        for answer in answers:
            if isinstance(answer, Answer):
                answered += 1
                found.append(Prediction(answer, variant))
            else:
                found.append(self._failed(answer, target, head.invocation, begun_s, model_s))
        return found, answered

    async def _ask(self, target: Target, invocation: Invocation, begun_s: float) -> Prediction:
        watch = Stopwatch()
        try:
            answer = await target.replica.invoke(invocation.call, watch)
        except Exception as error:  # worded and logged at the edge
            raise self._failed(error, target, invocation, begun_s, watch.seconds) from error.__cause__
        target.counter.count(perf_counter() - begun_s, watch.seconds)
        return Prediction(answer, target.variant.name)

    def _failed(
        self, error: Exception, target: Target, invocation: Invocation, begun_s: float, model_s: float
    ) -> Exception:
        """Count what went wrong; the error as callers know it. A bug stays what it is."""
        duration_s = perf_counter() - begun_s
        if isinstance(error, SagebirdError):
            error = self._worded(error, invocation)
            code, status_class = error.code, _status_class(error)
        else:
            code, status_class = SagebirdError.code, 5
        target.counter.count_error(duration_s, code, status_class, model_s)
        return at_variant(error, target.variant.name)

    def as_model_error(self, fault: ModelFault, invocation: Invocation) -> ModelError:
        """A container's refusal as the runtime API words it. Source: contract B.4."""
        endpoint = invocation.endpoint or self._directory().default or ""
        message = sentences.model_timed_out() if isinstance(fault, ModelTimeout) else fault.message
        client_side = 400 <= fault.status < 500
        return ModelError(
            sentences.model_error(
                fault.status, message, self._arns.console_logs_url(endpoint), self._arns.account
            ),
            ErrorCode="CLIENT_ERROR_FROM_MODEL" if client_side else "INTERNAL_FAILURE_FROM_MODEL",
            LogStreamArn=self._arns.log_stream(endpoint),
            OriginalMessage=message,
            OriginalStatusCode=fault.status,
        )

    def unreadable_answer(self, invocation: Invocation, variant: str) -> Exception:
        """The model's answer is larger than a reply may be. Source: contract B.4."""
        endpoint = invocation.endpoint or self._directory().default or ""
        url = self._arns.console_logs_url(endpoint)
        error = ModelError(
            sentences.answer_unreadable(url, self._arns.account),
            ErrorCode="INTERNAL_FAILURE_FROM_MODEL",
            LogStreamArn=self._arns.log_stream(endpoint),
            OriginalStatusCode=500,
        )
        return at_variant(error, variant)

    async def _find(self, invocation: Invocation) -> Target:
        directory = self._directory()
        try:
            return self._choose(invocation)
        except ValidationFault:
            if self._catch_up is None:
                raise
            await self._catch_up()
            if self._directory() is directory:
                raise
        return self._choose(invocation)

    def _choose(self, invocation: Invocation) -> Target:
        return self._pick(self._route(invocation), invocation)

    def _choose_many(self, head: Head, number: int) -> list[Target]:
        """A target for each of so many invocations; one for all where there is no other."""
        route, only = self._way(head)
        if only is not None:
            return [only]
        return [self._pick(route, head.invocation) for _ in range(number)]

    def _one_target(self, head: Head, number: int) -> Target | None:
        """The target of all of so many invocations; None if there may be several, or if they are refused."""
        try:
            route, only = self._way(head)
            return only if only is not None or number > 1 else self._pick(route, head.invocation)
        except ValidationFault:
            return None

    def _way(self, head: Head) -> tuple[Route, Target | None]:
        """Where invocations of a head lead: the route, and the target if there is no other."""
        directory = self._directory()
        name = head.invocation.endpoint if head.invocation.endpoint is not None else directory.default
        route = directory.routes.get(name or "")
        if route is None or route is not head.route:
            route, only = self._route(head.invocation), None
            if len(route.targets) == 1 or head.invocation.target_variant is not None:
                only = self._pick(route, head.invocation)
            head.route, head.only = route, only
        return route, head.only

    def _route(self, invocation: Invocation) -> Route:
        directory = self._directory()
        name = invocation.endpoint if invocation.endpoint is not None else directory.default
        route = directory.routes.get(name) if name is not None else None
        if route is None:
            if name is None:
                raise ValidationFault(sentences.no_default_endpoint(), ErrorCode="NO_SUCH_ENDPOINT")
            message = sentences.endpoint_not_found(name, self._arns.account)
            raise ValidationFault(message, ErrorCode="NO_SUCH_ENDPOINT")
        _check_headers(route, invocation)
        return route

    def _pick(self, route: Route, invocation: Invocation) -> Target:
        variant = invocation.target_variant
        if variant is None:
            drawn = route.traffic.pick(self._draw())
            if drawn is None:
                raise ValidationFault(sentences.no_traffic(route.endpoint))
            return route.targets[drawn]
        target = route.named.get(variant)
        if target is None:
            raise ValidationFault(sentences.variant_unknown(variant, route.endpoint, list(route.named)))
        return target

    def _worded(self, error: SagebirdError, invocation: Invocation) -> SagebirdError:
        target_model = invocation.call.target_model
        endpoint = invocation.endpoint or self._directory().default or ""
        if isinstance(error, ModelNotFound) and target_model is not None:
            return ValidationFault(sentences.target_model_unknown(target_model, endpoint, error.message))
        if isinstance(error, ModelNotReady) and target_model is not None:
            return ModelNotReady(sentences.model_not_ready(target_model))
        return error


def _short_way(target: Target, head: Head, bodies: Sequence[bytes]) -> ShortWay | None:
    try:
        return target.replica.short_way(head.call, bodies)
    except SagebirdError:  # who asks the replica hears it again
        return None


def _count(target: Target | None, answered: int, duration_s: float, model_s: float) -> None:
    if target is not None:
        target.counter.count(duration_s, model_s, requests=answered)


def at_variant(error: Exception, variant: str) -> Exception:
    """The error, knowing the variant where it came up. Each error belongs to one call, or to some alike."""
    setattr(error, _VARIANT, variant)
    return error


def variant_of(error: BaseException) -> str | None:
    """The variant where an error came up; None if it came up before one was picked."""
    return getattr(error, _VARIANT, None)


def _status_class(error: SagebirdError) -> Literal[4, 5]:
    """Whose fault an error is. Source: contract E.1, by the container's status."""
    if isinstance(error, ModelFault):
        return 4 if 400 <= error.status < 500 else 5
    return 4 if isinstance(error, CallerError) else 5


def _check_headers(route: Route, invocation: Invocation) -> None:
    """Refuse calls, and headers, that ask for what the endpoint is not."""
    if route.asynchronous:
        raise ValidationFault(sentences.endpoint_is_asynchronous(route.endpoint))
    if invocation.inference_component is not None:
        raise ValidationFault(sentences.inference_component_not_allowed())
    if invocation.target_container_hostname is not None:
        raise ValidationFault(sentences.container_hostname_not_supported(route.endpoint))
    if route.multi:
        if invocation.call.target_model is None:
            raise ValidationFault(sentences.target_model_missing(route.endpoint))
    elif invocation.call.target_model is not None:
        raise ValidationFault(
            sentences.target_model_not_supported(route.endpoint),
            ErrorCode="TARGET_MODEL_HEADER_NOT_SUPPORTED",
        )
