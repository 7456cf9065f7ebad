"""Calls that say for whom they are, or what they are called, are recorded; their answers name them."""

import asyncio
import re

import pytest

from service.domain.caller import Caller
from service.faces.recorded import Recording
from service.hosting.host import Call
from service.invoke.directory import Directory
from service.invoke.invocation import Invocation
from service.invoke.recording import MOST_ANSWER_BYTES, Recorder, Which
from service.store.outcome_tables import Predicted
from tests.contracts.http_server import Talk, request
from tests.invoke.conftest import ROW, Open, World
from tests.invoke.door import Door

_FILE = """
default_endpoint: iris
endpoints:
  iris: {variants: {a: {model: iris-logistic, weight: 3}, b: {model: iris-forest, weight: 1}}}
"""
_PATHS = ("/endpoints/iris/invocations", "/invocations")
_ID = re.compile(rb"x-amzn-sagemaker-inference-id: ([^\r]+)", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"x-amzn-requestid: ([^\r]+)", re.IGNORECASE)


def recorded(
    world: Open, which: Which, fast: bool, *asked: tuple[str, bytes, tuple[bytes, ...]]
) -> tuple[list[bytes], list[Predicted]]:
    """The heads of the answers to (path, body, header lines), and what was recorded of them."""
    heads: list[bytes] = []
    found: list[Predicted] = []

    def act(talk: Talk) -> None:
        for path, body, lines in asked:
            talk.send(request(body, b"Content-Type: text/csv", b"X-Who: me", *lines, path=path))
            heads.append(talk.answer()[1])

    async def run() -> None:
        async with world() as here:
            here.declare(_FILE)
            await here.settle()
            recorder = Recorder(lambda: here.follower.directory, lambda: 5.0, which)
            door = Door(recording=Recording(recorder))
            await door.serve(here.follower.directory, here.registry, fast, act)
            found.extend(recorder.take()[0])

    asyncio.run(run())
    return heads, found


def _said(pattern: re.Pattern[bytes], head: bytes) -> str | None:
    found = pattern.search(head)
    return None if found is None else found[1].decode()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("path", _PATHS)
def test_an_answer_names_the_id_by_which_it_is_recorded(world: Open, fast: bool, path: str) -> None:
    named, user = b"X-Amzn-SageMaker-Inference-Id: one", b"X-Sagebird-User: anna"

    heads, found = recorded(
        world, "asked", fast, *((path, ROW, lines) for lines in ((named,), (user,), (named, user), ()))
    )

    ids = [_said(_ID, head) for head in heads]
    assert ids == ["one", _said(_REQUEST_ID, heads[1]), "one", None]
    assert [(each.inference_id, each.user) for each in found] == [
        ("one", None),
        (ids[1], "anna"),
        ("one", "anna"),
    ]
    assert {
        (each.arm.endpoint, each.arm.weights, each.arm.drawn, each.at_s, each.answer) for each in found
    } == {("iris", (("a", 3.0), ("b", 1.0)), True, 5.0, "[0]")}


@pytest.mark.parametrize("fast", [True, False])
def test_a_refused_call_is_not_recorded_and_a_named_variant_is_noted_as_such(world: Open, fast: bool) -> None:
    named = b"X-Amzn-SageMaker-Target-Variant: b"

    heads, found = recorded(world, "all", fast, (_PATHS[0], b"junk", ()), (_PATHS[0], ROW, (named,)))

    assert [_said(_ID, head) for head in heads] == [None, _said(_REQUEST_ID, heads[1])]
    assert [(each.arm.variant, each.arm.drawn) for each in found] == [("b", False)]


@pytest.mark.parametrize(("which", "number"), [("off", 0), ("asked", 1), ("all", 2)])
def test_the_setting_says_which_calls_are_recorded(world: Open, which: Which, number: int) -> None:
    user = b"X-Sagebird-User: anna"

    _, found = recorded(world, which, True, (_PATHS[0], ROW, ()), (_PATHS[0], ROW, (user,)))

    assert len(found) == number


def test_what_is_too_much_is_dropped_and_counted(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(_FILE)
            await here.settle()
            _check(here)

    def _check(here: World) -> None:
        directory = here.follower.directory
        recorder = Recorder(lambda: directory, lambda: 5.0, "all", most=2)
        asked = Invocation(Caller("1" * 12, "us-east-1"), "iris", Call(ROW, "text/csv", None))
        answers = (b"\xff", b"x" * (MOST_ANSWER_BYTES + 1), b"[0]")
        for number, answer in enumerate(answers):
            recorder.note(directory.routes["iris"], asked, "a", str(number), answer)
        recorder.note(directory.routes["iris"], asked, "gone", "4", b"[0]")

        (first,), dropped = recorder.take(1)
        (second,), nothing = recorder.take(1)

        assert [(each.inference_id, each.answer) for each in (first, second)] == [("0", None), ("1", None)]
        assert (dropped, nothing) == ({"iris": 1}, {})
        assert recorder.take() == ([], {})

    asyncio.run(run())


def test_a_call_that_the_directory_of_the_moment_led_is_recorded_by_it() -> None:
    recorder = Recorder(lambda: Directory(1, {}, {}), lambda: 5.0, "all")
    asked = Invocation(Caller("1" * 12, "us-east-1"), "gone", Call(ROW, "text/csv", None))

    recorder.note(None, asked, "a", "1", b"[0]")
    recorder.note(None, asked._replace(endpoint=None), "a", "1", b"[0]")

    assert recorder.take() == ([], {})
