"""Some live calls are asked of a second variant in the background: no caller notices, no row is kept."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from service.control.resources import Resources
from service.control.shadowing import ask_both
from service.errors import ValidationFault
from service.experiments.live_agreement import LiveTally
from service.hosting.host import Answer, Call, Replica, StreamedAnswer
from service.hosting.stopwatch import Stopwatch
from service.invoke.directory import Directory
from service.invoke.invocation import Invocation
from service.invoke.predict import Predictor
from service.invoke.settling import Settled
from service.invoke.shadow_calls import MOST_BYTES, MOST_WAITING, ShadowCalls
from tests.invoke.conftest import CALLER, CONTEXT, ROW, Open, World

_FILE = """
default_endpoint: iris
endpoints:
  iris: {variants: {logistic: {model: iris-logistic, weight: 1}, forest: {model: iris-forest, weight: 0}}}
  alone: {variants: {only: {model: iris-logistic}}}
"""
_PAIR = ("forest", "logistic")


class Shadowed:
    """A gateway of which calls may be asked twice."""

    def __init__(self, here: World) -> None:
        self.here = here
        self.predictor = Predictor(lambda: here.follower.directory, lambda: 0.0, here.registry)
        self.in_flight = 0
        self.drawn = 0.0
        self.follow: Callable[[], Directory] = lambda: here.follower.directory
        self.calls = ShadowCalls(
            lambda: self.follow(),
            lambda: self.drawn,
            lambda: 5.0,
            lambda: self.in_flight,
            self.predictor.settling,
        )

    async def want(self, percent: float) -> None:
        with self.here.store.change() as change:
            ask_both(Resources(change, CONTEXT), "iris", {"ask_both": percent})
        await self.here.follower.look()
        self.calls.follow()

    async def ask(self, body: bytes = ROW, **more: Any) -> None:
        await self.predictor.predict(Invocation(CALLER, "iris", Call(body, "text/csv", None), **more))

    def listeners(self) -> int:
        return len(self.predictor.settling.taps)

    def dropped(self) -> int:
        found = self.calls.take()
        self.calls.put_back(found)
        return found["iris"].dropped if "iris" in found else 0

    def tally(self) -> LiveTally:
        """What was found out so far, kept for the next look."""
        found = self.calls.take()
        self.calls.put_back(found)
        return found["iris"].tally(_PAIR) if "iris" in found else LiveTally()

    def requests(self) -> dict[str, int]:
        counts = self.here.registry.snapshot().counts.invocations
        return {variant: counter.requests for (_, variant), counter in counts.items()}


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - it is what others do that is waited for
            await asyncio.sleep(0.01)


def _with(world: Open, act: Callable[[Shadowed], Awaitable[None]], *, asks: bool = True) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_FILE)
            await here.settle()
            shadowed = Shadowed(here)
            asking = asyncio.create_task(shadowed.calls.run() if asks else asyncio.sleep(0))
            try:
                await act(shadowed)
            finally:
                asking.cancel()
                with suppress(asyncio.CancelledError):
                    await asking

    asyncio.run(run())


def test_a_call_is_asked_of_the_other_variant_and_counted_nowhere_else(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(100)
        await shadowed.ask(inference_id="id-1")
        await shadowed.ask(b"5.1,3.5,1.4,0.2\n6.7,3.1,5.6,2.4")
        await until(lambda: shadowed.tally().rows == 3)
        assert shadowed.requests() == {"logistic": 2}
        assert shadowed.tally().differing == len(shadowed.tally().examples) == 0

    _with(world, act)


class Overheard:
    """A replica whose calls are noted."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._replica, name)

    async def invoke(self, call: Call, watch: Stopwatch | None = None) -> Answer | StreamedAnswer:
        self.calls.append(call)
        return await self._replica.invoke(call, watch)


def test_what_the_other_variant_prints_is_not_told_as_printed_for_the_caller(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(100)
        directory = shadowed.here.follower.directory
        route = directory.routes["iris"]
        other = Overheard(route.named["forest"].replica)
        named = {**route.named, "forest": replace(route.named["forest"], replica=cast("Replica", other))}
        routes = {**directory.routes, "iris": replace(route, named=named)}
        shadowed.follow = lambda: replace(directory, routes=routes)
        call = Call(
            ROW, "text/csv", None, "attribute", log_place="that of logistic", request_id="its caller's"
        )
        asked = Invocation(CALLER, "iris", call)
        shadowed.calls.note(Settled(asked, "logistic", Answer(b"[0]", "application/json"), 0.0, 0.0))
        await until(lambda: shadowed.tally().rows == 1)
        assert other.calls == [Call(ROW, "text/csv", None, "attribute")]

    _with(world, act)


def test_nothing_is_asked_twice_unless_somebody_wants_it(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        shadowed.calls.follow()
        await shadowed.ask()
        assert shadowed.listeners() == 0
        await shadowed.want(100)
        assert shadowed.listeners() == 1
        await shadowed.want(0)
        assert shadowed.listeners() == 0
        assert shadowed.calls.take() == {}

    _with(world, act)


def test_a_share_is_asked_and_neither_who_names_a_variant_nor_who_has_a_session(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(50)
        shadowed.drawn = 0.5
        await shadowed.ask()
        shadowed.drawn = 0.25
        await shadowed.ask(target_variant="logistic")
        session = Call(ROW, "text/csv", None, session_id="s")
        await shadowed.predictor.predict(Invocation(CALLER, "iris", session))
        await shadowed.ask(inference_id="this one")
        await until(lambda: shadowed.tally().rows == 1)

    _with(world, act)


def test_what_cannot_be_asked_in_time_is_counted_as_dropped(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(100)
        row = ROW + b"\n"
        await shadowed.ask(row * (MOST_BYTES // len(row) + 1))
        for _ in range(MOST_WAITING + 3):
            await shadowed.ask()
        found = shadowed.calls.take()["iris"]
        assert found.dropped == 4
        assert found.tallies == {}

    _with(world, act, asks=False)


def test_while_somebody_is_served_nothing_is_asked_and_then_it_is_dropped(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(100)
        shadowed.in_flight = 1
        await shadowed.ask()
        await until(lambda: shadowed.dropped() == 1)
        assert shadowed.tally().rows == 0

    _with(world, act)


def test_other_models_end_it_and_so_does_a_second_variant_that_is_not_there(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(100)
        swapped = _FILE.replace("iris-forest", "x").replace(
            "iris-logistic, weight: 1", "iris-forest, weight: 1"
        )
        shadowed.here.declare(swapped.replace("{model: x, weight: 0}", "{model: iris-logistic, weight: 0}"))
        await shadowed.here.settle()
        await shadowed.ask()
        assert shadowed.calls.take() == {}

    _with(world, act)


def test_a_variant_that_fails_is_counted_and_harms_nobody(world: Open) -> None:
    async def act(shadowed: Shadowed) -> None:
        await shadowed.want(100)
        await shadowed.ask()
        await until(lambda: shadowed.tally().rows == 1)
        folder = shadowed.here.models / "iris-forest"
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        shadowed.here.host.let_go(
            shadowed.here.follower.directory.routes["iris"].named["forest"].variant.source
        )
        await shadowed.ask()
        await until(lambda: shadowed.tally().failed == 1)
        assert shadowed.requests() == {"logistic": 2}

    _with(world, act)


@pytest.mark.parametrize(
    "document", [{}, [], {"ask_both": "5"}, {"ask_both": 101}, {"ask_both": True}, {"x": 1}]
)
def test_what_asks_for_nothing_that_can_be_done_is_refused(world: Open, document: object) -> None:
    async def act(shadowed: Shadowed) -> None:
        for name, asked in (("iris", document), ("alone", {"ask_both": 5})):
            with shadowed.here.store.change() as change, pytest.raises(ValidationFault):
                ask_both(Resources(change, CONTEXT), name, asked)

    _with(world, act)
