import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import pytest

from service.errors import (
    BadPayload,
    ModelError,
    ModelFailure,
    ModelFault,
    ModelTimeout,
    SagebirdError,
    ValidationFault,
)
from service.hosting.host import Call
from service.hosting.stopwatch import Stopwatch
from service.invoke.failed import variant_of
from service.invoke.invocation import Invocation, InvocationHead
from service.invoke.predict import InvocationOutcome, Prediction, Predictor
from tests.invoke.conftest import CALLER, ROW, Open, World

_FILE = """
default_endpoint: iris
endpoints:
  iris:
    variants:
      a: {model: iris-logistic, weight: 3}
      b: {model: iris-forest, weight: 1}
      c: {model: iris-forest, weight: 0}
  all: {variants: {v: {models: ./}}}
"""


def _call(body: bytes = ROW, target_model: str | None = None) -> Call:
    return Call(body, "text/csv", None, target_model=target_model)


def _with(world: Open, act: Callable[[World], Any], text: str = _FILE) -> Any:
    async def run() -> Any:
        async with world() as here:
            here.declare(text)
            await here.settle()
            return await act(here)

    return asyncio.run(run())


@pytest.mark.parametrize(("drawn", "variant"), [(0.0, "a"), (0.7499, "a"), (0.75, "b"), (0.9999, "b")])
def test_the_number_drawn_picks_the_variant(world: Open, drawn: float, variant: str) -> None:
    async def act(here: World) -> Prediction:
        here.draws.append(drawn)
        return await here.predictor().predict(Invocation(CALLER, "iris", _call()))

    found = _with(world, act)
    assert (found.variant, found.answer.body) == (variant, b"[0]")


def test_no_name_is_the_default_endpoint_and_a_target_variant_draws_nothing(world: Open) -> None:
    async def act(here: World) -> Prediction:
        return await here.predictor().predict(Invocation(CALLER, None, _call(), "c"))

    assert _with(world, act).variant == "c"


@pytest.mark.parametrize(
    ("invocation", "words", "code"),
    [
        (
            Invocation(CALLER, "nobody", _call()),
            "Endpoint nobody of account 000000000000 not found.",
            "NO_SUCH_ENDPOINT",
        ),
        (Invocation(CALLER, "", _call()), "Endpoint  of account", "NO_SUCH_ENDPOINT"),
        (Invocation(CALLER, "iris", _call(), "nobody"), "its variants are a, b, c.", None),
        (Invocation(CALLER, "iris", _call(), ""), "Variant '' is not found", None),
        (
            Invocation(CALLER, "iris", _call(target_model="m")),
            "is not a multi-model endpoint",
            "TARGET_MODEL_HEADER_NOT_SUPPORTED",
        ),
        (
            Invocation(CALLER, "iris", _call(), target_container_hostname="h"),
            "is not a multi-container endpoint",
            None,
        ),
        (
            Invocation(CALLER, "iris", _call(), inference_component="i"),
            "Inference Component Name header is not",
            None,
        ),
        (
            Invocation(CALLER, "all", _call()),
            "is missing a target model header: endpoint all is a multi-model endpoint",
            None,
        ),
        (Invocation(CALLER, "all", _call(target_model="nobody"), "v"), "Failed to download model data", None),
    ],
)
def test_what_does_not_fit_the_endpoint_is_the_callers_fault(
    world: Open, invocation: Invocation, words: str, code: str | None
) -> None:
    async def act(here: World) -> ValidationFault:
        here.draws.append(0.0)
        with pytest.raises(ValidationFault) as caught:
            await here.predictor().predict(invocation)
        return caught.value

    fault = _with(world, act)
    assert words in fault.message
    assert fault.members.get("ErrorCode") == code


def test_without_a_default_endpoint_a_call_without_a_name_says_how_to_get_one(world: Open) -> None:
    async def act(here: World) -> str:
        with pytest.raises(ValidationFault) as caught:
            await here.predictor().predict(Invocation(CALLER, None, _call()))
        return caught.value.message

    assert "default_endpoint" in _with(world, act, "endpoints: {}")


def test_calls_errors_and_refusals_are_counted_where_they_belong(world: Open) -> None:
    async def act(here: World) -> Any:
        here.draws.extend([0.0, 0.0])
        predictor = here.predictor()
        await predictor.predict(Invocation(CALLER, "iris", _call()))
        with pytest.raises(BadPayload):
            await predictor.predict(Invocation(CALLER, "iris", _call(b"junk")))
        with pytest.raises(ValidationFault):
            await predictor.predict(Invocation(CALLER, "nobody", _call()))
        return here.registry.snapshot().counts

    counts = _with(world, act)
    counter = counts.invocations["iris", "a"]
    assert (counter.requests, counter.errors) == (2, {("ModelError", 4): 1})
    assert counts.refusals == {"ValidationError": 1}


def test_a_model_that_failed_to_load_says_why_on_every_call(world: Open) -> None:
    async def act(here: World) -> list[str]:
        messages = []
        for _ in range(3):
            here.draws.append(0.0)
            with pytest.raises(ModelFailure) as caught:
                await here.predictor().predict(Invocation(CALLER, "all", _call(target_model="broken")))
            messages.append(caught.value.message)
        here.draws.append(0.0)
        await here.predictor().predict(Invocation(CALLER, "all", _call(target_model="iris-forest")))
        return messages

    assert all("model.joblib cannot be read" in message for message in _with(world, act))


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("fault", "begins", "code", "status"),
    [
        (
            BadPayload("no"),
            'Received client error (400) from primary with message "no". See https://',
            "CLIENT",
            400,
        ),
        (
            ModelFailure("no"),
            'Received server error (500) from primary with message "no". See',
            "INTERNAL",
            500,
        ),
        (ModelFault("no", 399), "Received server error (399)", "INTERNAL", 399),
        (
            ModelTimeout("internal words"),
            'Received server error (0) from primary with message "Your',
            "INTERNAL",
            0,
        ),
    ],
)
def test_a_models_fault_is_worded_as_aws_words_it(
    world: Open, fault: ModelFault, begins: str, code: str, status: int
) -> None:
    async def act(here: World) -> ModelError:
        return here.predictor().as_model_error(fault, Invocation(CALLER, None, _call()))

    error = _with(world, act)
    assert error.message.startswith(begins)
    assert error.message.endswith(
        "/aws/sagemaker/Endpoints/iris in account 000000000000 for more information."
    )
    assert error.members["ErrorCode"].startswith(code)
    assert error.members["OriginalStatusCode"] == status
    assert isinstance(error, SagebirdError)


def test_a_request_is_only_refused_after_catching_up_with_the_store(world: Open) -> None:
    async def check() -> None:
        async with world() as gateway:
            predictor = Predictor(
                lambda: gateway.follower.directory,
                lambda: 0.5,
                gateway.registry,
                gateway.follower.catch_up,
            )
            gateway.declare("endpoints: {iris: {variants: {a: {model: iris-logistic}}}}")
            await gateway.follower.look()
            await gateway.follower.warm()
            await gateway.follower.look()
            gateway.reconcile()  # it takes requests now; the gateway did not look since

            prediction = await predictor.predict(Invocation(CALLER, "iris", Call(ROW, "text/csv", None)))

            assert prediction.variant == "a"
            with pytest.raises(ValidationFault):
                await predictor.predict(Invocation(CALLER, "nobody", Call(ROW, "text/csv", None)))

    asyncio.run(check())


def test_an_unexpected_exception_is_counted_as_an_internal_failure(world: Open) -> None:
    class _Bug:
        def short_way(self, call: Call, bodies: Sequence[bytes]) -> None:
            """It never answers at once."""

        def begin(self, call: Call, watch: Stopwatch) -> None:
            """Nor without a task."""

        async def invoke(self, call: Call, watch: Stopwatch) -> None:
            raise ZeroDivisionError

    async def act(here: World) -> dict[tuple[str, int], int]:
        directory = here.follower.directory
        target = replace(directory.routes["iris"].named["a"], replica=_Bug())  # type: ignore[arg-type]  # a bug
        route = directory.routes["iris"]
        route = replace(route, targets=dict.fromkeys(route.targets, target))
        broken = replace(directory, routes={"iris": route})
        predictor = Predictor(lambda: broken, lambda: 0.0, here.registry)
        with pytest.raises(ZeroDivisionError):
            await predictor.predict(Invocation(CALLER, "iris", _call()))
        return target.counter.errors

    assert _with(world, act) == {("InternalFailure", 5): 1}


async def _settled(outcome: InvocationOutcome) -> object:
    """What came of it, comparable."""
    try:
        found = await _raised(outcome)
    except SagebirdError as error:
        return type(error), error.message
    return found.variant, found.answer.body


_HEADS = (
    Invocation(CALLER, "iris", Call(b"", "text/csv", None)),
    Invocation(CALLER, "all", Call(b"", "text/csv", None, target_model="iris-logistic")),
    Invocation(CALLER, "all", Call(b"", "text/csv", None, target_model="iris-forest"), "v"),
    Invocation(CALLER, "all", Call(b"", "text/csv", None, target_model="nobody")),
    Invocation(CALLER, "all", Call(b"", "text/csv", None, target_model="broken")),
    Invocation(CALLER, "all", Call(b"", "text/csv", None)),
    Invocation(CALLER, "nobody", Call(b"", "text/csv", None)),
    Invocation(CALLER, None, Call(b"", "text/csv", "text/csv"), "b"),
    Invocation(CALLER, "iris", Call(b"", "image/png", None), "a"),
)


def test_invocations_of_many_heads_get_together_what_each_gets_alone(world: Open) -> None:
    bodies = [ROW, b"junk", b"6.7,3.1,5.6,2.4"]

    async def act(here: World) -> None:
        predictor = here.predictor()
        for again in range(4):  # the first ones load the models and measure them
            here.draws[:] = [0.0, 0.8, 0.1] * 100
            alone = [
                [await _settled(outcome) for outcome in predictor.answer([(InvocationHead(head), bodies)])[0]]
                for head in _HEADS
            ]
            here.draws[:] = [0.0, 0.8, 0.1] * 100
            heads = [(InvocationHead(head), bodies) for head in _HEADS]
            for _ in range(2):  # with what was noted in the heads, too
                begun = predictor.answer(heads)
                found = [[await _settled(outcome) for outcome in outcomes] for outcomes in begun]
                assert found == alone, again
        counters = here.registry.snapshot().counts.invocations
        pairs = (*product(["iris"], "abc"), ("all", "v"))
        assert sum(counters[pair].requests for pair in pairs if pair in counters) == 4 * 3 * 3 * (
            len(_HEADS) - 2
        )
        assert here.host.cache.in_use == 0

    _with(world, act)


def test_an_asynchronous_endpoint_answers_nobody_at_once(world: Open) -> None:
    async def act(here: World) -> str:
        directory = here.follower.directory
        route = replace(directory.routes["iris"], asynchronous=True)
        queued = replace(directory, routes={"iris": route})
        predictor = Predictor(lambda: queued, lambda: 0.0, here.registry)
        with pytest.raises(ValidationFault) as caught:
            await predictor.predict(Invocation(CALLER, "iris", _call()))
        return caught.value.message

    assert "only InvokeEndpointAsync" in _with(world, act)


def test_a_target_model_may_begin_with_a_slash(world: Open) -> None:
    async def act(here: World) -> list[object]:
        here.draws[:] = [0.0] * 9
        return [
            await _settled(here.predictor().predict(Invocation(CALLER, "all", _call(target_model=name))))
            for name in ("iris-forest", "/iris-forest", "//iris-forest", "/")
        ]

    found = _with(world, act)
    assert found[:3] == [("v", b"[0]")] * 3
    assert found[3][0] is ValidationFault


def test_the_models_own_seconds_are_counted_however_a_call_is_answered(world: Open) -> None:
    async def act(here: World) -> None:
        predictor = here.predictor()
        counter = here.follower.directory.routes["iris"].named["a"].counter
        head = InvocationHead(Invocation(CALLER, "iris", Call(b"", "text/csv", None)))
        here.draws[:] = [0.0] * 100

        async def alone() -> None:
            await predictor.predict(Invocation(CALLER, "iris", _call()))

        async def together(bodies: Sequence[bytes], heads: int) -> None:
            for outcomes in predictor.answer([(head, bodies)] * heads):
                for outcome in outcomes:
                    await _settled(outcome)

        for ask in (
            alone,  # the first one waits until the model is loaded
            alone,
            partial(together, [ROW], 1),
            partial(together, [ROW, ROW], 1),
            partial(together, [ROW], 2),
            partial(together, [b"junk"], 1),
            partial(together, [b"junk"], 2),
        ):
            model_s, seconds = counter.model_seconds, counter.seconds
            await ask()
            assert 0 < counter.model_seconds - model_s <= counter.seconds - seconds

    _with(world, act)


def test_an_error_knows_its_variant_however_a_call_is_answered(world: Open) -> None:
    async def act(here: World) -> None:
        predictor, head = (
            here.predictor(),
            InvocationHead(Invocation(CALLER, "iris", Call(b"", "text/csv", None), "b")),
        )
        for heads in (1, 1, 2, 2):
            for outcomes in predictor.answer([(head, [b"junk", b"junk"])] * heads):
                for outcome in outcomes:
                    with pytest.raises(BadPayload) as caught:
                        await _raised(outcome)
                    assert variant_of(caught.value) == "b"
            await predictor.predict(
                Invocation(CALLER, "iris", _call(), "b")
            )  # from now on it is loaded and quick

    _with(world, act)


async def _raised(outcome: InvocationOutcome) -> Prediction:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome if isinstance(outcome, Prediction) else await outcome


def test_a_head_goes_where_the_endpoints_lead_now(world: Open) -> None:
    async def act(here: World) -> list[object]:
        predictor, head = (
            here.predictor(),
            InvocationHead(Invocation(CALLER, "iris", Call(b"", "text/csv", None))),
        )
        found = []
        here.draws[:] = [0.0] * 100
        for text in ("a: {model: iris-logistic}", "b: {model: iris-forest}"):
            here.declare(f"endpoints:\n  iris:\n    variants:\n      {text}\n")
            await here.settle()
            for _ in range(2):
                one, other = predictor.answer([(head, [ROW]), (head, [ROW])])
                found.append(await _settled(one[0]))
                assert await _settled(other[0]) == found[-1]
        here.declare("endpoints: {}\n")
        await here.settle()
        (outcomes,) = predictor.answer([(head, [ROW])])
        found.append(await _settled(outcomes[0]))
        return found

    found = _with(world, act)
    assert found[:4] == [("a", b"[0]"), ("a", b"[0]"), ("b", b"[0]"), ("b", b"[0]")]
    assert found[4] == (ValidationFault, "Endpoint iris of account 000000000000 not found.")
