"""Rounds: what is asked together is answered together, and each of it whatever becomes of the others."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from service.faces import identity
from service.faces.aws.runtime import RuntimeFace
from service.faces.container.face import InvocationsFace
from service.hosting.host import Answer
from service.http.asgi import Headers, Message, Scope
from service.http.phase import OVER, ROUND
from service.http.reply import Answered, Answering, Reply, Written, whole
from service.invoke.directory import Route
from service.invoke.predict import Predictor
from service.invoke.round import Round
from service.invoke.settling import Settled
from tests.invoke.conftest import CALLER, ROW, Open, World

_OTHER = b"6.7,3.1,5.6,2.4"
_FILE = """
default_endpoint: iris
endpoints:
  iris: {variants: {a: {model: iris-logistic}, b: {model: iris-forest, weight: 0}}}
  all: {variants: {v: {models: ./}}}
"""
_VARYING = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}")


class Label:
    """What a classifier answers; `cursed` ones cannot be written."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        if self.name == "cursed":
            raise ArithmeticError("This label cannot be written.")
        return self.name


class Asked(NamedTuple):
    """One request for a prediction."""

    endpoint: str
    body: bytes
    variant: str | None = None
    model: str | None = None
    accept: bytes = b"application/json"

    @property
    def headers(self) -> Headers:
        headers = [(b"content-type", b"text/csv"), (b"content-length", b"%d" % len(self.body))]
        headers.append((b"accept", self.accept))
        if self.variant is not None:
            headers.append((b"x-amzn-sagemaker-target-variant", self.variant.encode()))
        if self.model is not None:
            headers.append((b"x-amzn-sagemaker-target-model", self.model.encode()))
        return headers


@dataclass
class Waiting:
    """Waits as a connection does."""

    trap: "Trap"
    answer: Answered | None = None
    state: int = ROUND

    def take(self, answer: Answered) -> None:
        self.answer = answer
        self.trap.at("take")


class Trap:
    """Raises when a step is taken for so many times, once."""

    def __init__(self) -> None:
        self.step, self.left, self.error = "", 0, Exception()
        self.sprung = False

    def set(self, step: str, left: int, error: Exception) -> None:
        self.step, self.left, self.error, self.sprung = step, left, error, False

    def at(self, step: str) -> None:
        if step == self.step:
            self.left -= 1
            if self.left == 0:
                self.sprung = True
                raise self.error


class Trapped:
    """Something else, whose named functions run into the trap."""

    def __init__(self, inner: Any, trap: Trap, steps: tuple[str, ...]) -> None:
        self.inner, self.trap, self.steps = inner, trap, steps

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        return self._guarded(name, found) if name in self.steps else found

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.trap.at(name)
            found = function(*args, **options)
            return Trapped(found, self.trap, _LANE) if name == "short_way" and found is not None else found

        return call


_LANE = ("answer", "answer_rows", "takes_rows")
_REPLICA = ("short_way", "invoke", "note_cost")
_COUNTER = ("count", "count_error")
_STEPS = (
    *("directory", "draw", "catch_up", "tap", "count_refusal", "take"),
    *(*_LANE, *_REPLICA, *_COUNTER),
)
_HARMLESS = ("take", "tap", "count_refusal", "note_cost", *_COUNTER)


class Rig:
    """A gateway's parts from the faces inwards, with a trap at each step."""

    def __init__(self, world: World) -> None:
        self.trap = Trap()
        self.settled: list[Settled] = []
        directory = world.follower.directory
        self.entries = world.host.cache
        routes = {name: self._trapped(route) for name, route in directory.routes.items()}
        trapped = replace(directory, routes=routes)

        def look() -> Any:
            self.trap.at("directory")
            return trapped

        def draw() -> float:
            self.trap.at("draw")
            return 0.0

        async def catch_up() -> None:
            self.trap.at("catch_up")

        def tap(settled: Settled) -> None:
            self.trap.at("tap")
            self.settled.append(settled)

        registry: Any = Trapped(world.registry, self.trap, ("count_refusal",))
        self.rounds = Round(asyncio.get_running_loop())
        predictor = Predictor(look, draw, registry, catch_up, [tap])
        self.runtime = RuntimeFace(predictor, self.rounds, 1 << 20)
        self.container = InvocationsFace(predictor, self.rounds, 1 << 20)
        self._answerings: dict[Any, Answering] = {}

    def _trapped(self, route: Route) -> Route:
        named = {
            name: replace(
                target,
                replica=Trapped(target.replica, self.trap, _REPLICA),
                counter=Trapped(target.counter, self.trap, _COUNTER),  # type: ignore[arg-type]  # as good
            )
            for name, target in route.named.items()
        }
        return replace(route, targets={key: named[key[1]] for key in route.targets}, named=named)

    def measure(self, quick: bool) -> None:
        """Let all models be known as quick, or as nothing."""
        for entry in self.entries.loaded:
            entry.forget_costs()
            for length in range(1, 100) if quick else ():
                entry.note_cost(length, 1e-6)

    async def ask(self, door: str, asked: Sequence[Asked]) -> list[tuple[int, bytes] | None]:
        """Status and body of each, of one round; None of what got no answer."""
        found = await (self._by_fast(asked) if door == "fast" else self._by_asgi(asked))
        return [None if one is None else (one[0], _VARYING.sub(b"ID", one[1])) for one in found]

    async def _by_fast(self, asked: Sequence[Asked]) -> list[tuple[int, bytes] | None]:
        waiters = [Waiting(self.trap) for _ in asked]
        for waiter, one in zip(waiters, asked, strict=True):
            key = one._replace(body=b"")
            if key not in self._answerings:
                self._answerings[key] = self.runtime.prepare(one.endpoint, CALLER, one.headers)
            self.rounds.add(waiter, self._answerings[key], b"head" + one.body, 4)
        self.rounds.finish()
        return [await _read(waiter.answer) for waiter in waiters]

    async def _by_asgi(self, asked: Sequence[Asked]) -> list[tuple[int, bytes] | None]:
        return list(await asyncio.gather(*(self._converse(one) for one in asked)))

    async def _converse(self, one: Asked) -> tuple[int, bytes] | None:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": one.body}

        async def send(message: Message) -> None:
            sent.append(message)

        path = f"/endpoints/{one.endpoint}/invocations"
        scope: Scope = {"type": "http", "method": "POST", "path": path, "headers": one.headers}
        scope[identity.PASSAGE] = identity.Passage(CALLER, self.runtime)
        await self.runtime(scope, receive, send)
        return (sent[0]["status"], sent[1]["body"]) if sent else None


async def _read(answer: Answered | None) -> tuple[int, bytes] | None:
    if answer is None:
        return None
    reply = await whole(answer)
    return reply.status, reply.body


def _run(world: Open, act: Callable[[Rig], Awaitable[None]], prepare: Callable[[World], None]) -> None:
    async def run() -> None:
        async with world() as here:
            prepare(here)
            here.declare(_FILE)
            await here.settle()
            await act(Rig(here))
            assert here.host.cache.in_use == 0

    asyncio.run(run())


_MANY = (
    Asked("iris", ROW),
    Asked("iris", _OTHER),
    Asked("iris", b"junk"),
    Asked("iris", ROW, "a"),
    Asked("iris", ROW, "b"),
    Asked("nobody", ROW),
    Asked("all", _OTHER, model="iris-logistic"),
    Asked("all", ROW, model="iris-logistic"),
    Asked("all", ROW, model="nobody"),
)


def _faults() -> Iterator[tuple[str, bool, str, int, Exception]]:
    for door, quick, step in product(("fast", "asgi"), (True, False), _STEPS):
        for number in (1, 2, 5):
            yield door, quick, step, number, (MemoryError if number % 2 else ZeroDivisionError)()


def test_a_fault_at_any_step_is_the_matter_of_one_request(world: Open) -> None:
    async def act(rig: Rig) -> None:
        for _ in range(2):
            right = await rig.ask("fast", _MANY)
        assert [one[0] for one in right if one] == [200, 200, 424, 200, 200, 400, 200, 200, 400]
        sprung: set[str] = set()
        for door, quick, step, number, error in _faults():
            rig.measure(quick)
            rig.trap.set(step, number, error)
            for asked, expected in ((_MANY, right), (_MANY[:1], right[:1])):
                found = await rig.ask(door, asked)
                wrong = [one for one, other in zip(found, expected, strict=True) if one != other]
                assert len(wrong) <= (0 if step in _HARMLESS else 1), (door, quick, step, number, wrong)
                assert all(one is not None and one[0] == 500 for one in wrong)
            sprung |= {step} if rig.trap.sprung else set()
        assert sprung == set(_STEPS)

    _run(world, act, lambda here: None)


def _put_cursed(here: World) -> None:
    model = DecisionTreeClassifier(random_state=0).fit([[1.0, 0.0], [2.0, 0.0]] * 4, [0, 1] * 4)
    model.classes_ = np.array([Label("fine"), Label("cursed")], dtype=object)
    (here.models / "cursed").mkdir()
    joblib.dump(model, here.models / "cursed" / "model.joblib")


@pytest.mark.parametrize("door", ["fast", "asgi"])
@pytest.mark.parametrize("quick", [True, False])
def test_a_label_that_cannot_be_written_fails_its_own_request_only(
    world: Open, door: str, quick: bool
) -> None:
    fine, cursed = (
        Asked("all", body, model="cursed", accept=b"text/csv") for body in (b"1.0,0.0", b"2.0,0.0")
    )
    other = Asked("all", ROW, model="iris-logistic")

    async def act(rig: Rig) -> None:
        await rig.ask("asgi", [fine, other])
        for asked in ([fine, cursed, other, fine, cursed], [fine, cursed], [cursed]):
            rig.measure(quick)
            rig.settled.clear()
            found = await rig.ask(door, asked)
            good = {fine: b"fine\n", other: b"[0]"}
            for one, answer in zip(asked, found, strict=True):
                assert answer is not None
                assert answer[0] == 500 if one is cursed else answer == (200, good[one])
            failed = [settled for settled in rig.settled if not isinstance(settled.outcome, Answer)]
            assert [settled.invocation.call.body for settled in failed] == [cursed.body] * asked.count(cursed)
            assert len(rig.settled) == len(asked)

    _run(world, act, _put_cursed)


def test_taps_are_told_of_every_invocation_of_a_variant(world: Open) -> None:
    async def act(rig: Rig) -> None:
        for door, quick in product(("fast", "asgi"), (False, True)):
            rig.measure(quick)
            rig.settled.clear()
            await rig.ask(door, _MANY)
            told = {_told(one) for one in rig.settled}
            asked = [one for one in _MANY if one.endpoint != "nobody"]
            assert told == {(one.endpoint, one.variant or _main(one), one.model, one.body) for one in asked}
            assert len(rig.settled) == len(asked)
            assert all(0 <= one.model_s <= one.duration_s for one in rig.settled)

    _run(world, act, lambda here: None)


def test_the_models_own_seconds_grow_by_its_work_through_every_door(world: Open) -> None:
    calls, seconds = 4, 0.02

    def put(here: World) -> None:
        code = here.models / "sleepy" / "code"
        code.mkdir(parents=True)
        answer = (
            f"def transform_fn(model, body, kind, to):\n    time.sleep({seconds})\n    return '1', kind\n"
        )
        (code / "inference.py").write_text(f"import time\ndef model_fn(_):\n    return 1\n{answer}")

    async def act(rig: Rig) -> None:
        asked = [Asked("all", ROW, model="sleepy")] * calls
        for door in ("fast", "asgi"):
            rig.settled.clear()
            assert await rig.ask(door, asked) == [(200, b"1")] * calls
            model_s = sum(one.model_s for one in rig.settled)
            assert calls * seconds <= model_s <= sum(one.duration_s for one in rig.settled)
        for quick in (False, True):
            rig.measure(quick)
            answering = rig.container.prepare(CALLER, [(b"content-type", b"text/csv")])
            assert await _read(rig.rounds.answer(answering, ROW)) == (200, b"[0]")
            assert 0 < rig.settled[-1].model_s <= rig.settled[-1].duration_s

    _run(world, act, put)


def _told(one: Settled) -> tuple[str | None, str, str | None, bytes]:
    endpoint, call = one.invocation.endpoint, one.invocation.call
    return endpoint, one.variant, call.target_model, call.body


def _main(one: Asked) -> str:
    return "a" if one.endpoint == "iris" else "v"


def _round(answer_all: Callable[[Any], list[list[Answered]]]) -> list[Answered | None]:
    """What three waiters get of such a face, and a fourth that is gone."""

    async def run() -> list[Answered | None]:
        trap, rounds = Trap(), Round(asyncio.get_running_loop())
        waiters = [Waiting(trap) for _ in range(3)]
        one, two = Answering(1, answer_all), Answering(2, answer_all)
        for waiter, answering, body in zip(waiters, (one, one, two), (b"a", b"b", b"c"), strict=True):
            rounds.add(waiter, answering, body)
        gone = Waiting(trap, state=OVER)
        rounds.add(gone, two, b"never")
        left = rounds.ask(one, b"never")
        left.cancel()
        last = rounds.ask(two, b"d")
        assert await last is not None
        return [*(waiter.answer for waiter in waiters), gone.answer]

    return asyncio.run(run())


def _echo(asked: Sequence[tuple[int, Sequence[bytes]]]) -> list[list[Answered]]:
    assert all(b"never" not in bodies for _, bodies in asked)
    return [[Written(b"%d" % head, body) for body in bodies] for head, bodies in asked]


def test_each_waiter_gets_the_answer_to_its_body_and_who_is_gone_is_not_asked_for() -> None:
    assert _round(_echo) == [Written(b"1", b"a"), Written(b"1", b"b"), Written(b"2", b"c"), None]


@pytest.mark.parametrize("short", [False, True])
def test_a_face_that_fails_is_asked_for_each_by_itself(short: bool) -> None:
    def answer_all(asked: Sequence[tuple[int, Sequence[bytes]]]) -> list[list[Answered]]:
        if any(b"b" in bodies for _, bodies in asked):
            if short:
                return []
            raise MemoryError
        return _echo(asked)

    found = _round(answer_all)
    assert found[0::2] == [Written(b"1", b"a"), Written(b"2", b"c")]
    assert isinstance(found[1], Reply)
    assert (found[1].status, found[1].body) == (500, b"Internal Server Error")
