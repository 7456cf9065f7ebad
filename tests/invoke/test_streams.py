"""Answers that come in parts: every door gives them in one piece, as if they had come so."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.domain.endpoint import ModelSource, Variant
from service.domain.traffic import Traffic
from service.errors import BadPayload
from service.hosting.host import Answer, Call, StreamedAnswer
from service.hosting.stopwatch import Stopwatch
from service.invoke.directory import Directory, Route, Target
from service.observe.counts import Registry
from tests.contracts.http_server import Talk
from tests.invoke.door import Door, ask

_PATHS = ("/endpoints/e/invocations", "/invocations")


class Streaming:
    """A replica that gives a request's words back one by one; `bad` and `bug` are such."""

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> None:
        """It never answers at once."""

    def begin(self, call: Call, watch: Stopwatch) -> None:
        """Nor without a task."""

    async def invoke(self, call: Call, watch: Stopwatch) -> StreamedAnswer:
        return StreamedAnswer(self._parts(call.body, watch), "text/plain", "mine")

    async def _parts(self, body: bytes, watch: Stopwatch) -> AsyncIterator[bytes]:
        watch.start()
        try:
            for word in body.split():
                await asyncio.sleep(0)
                if word == b"bad":
                    raise BadPayload("It is bad.")
                if word == b"bug":
                    raise ZeroDivisionError
                yield word
        finally:
            watch.stop()


def _directory(registry: Registry) -> Directory:
    """One endpoint, whose only variant streams."""
    streaming: Any = Streaming()  # as much of a replica as is asked
    target = Target(Variant("v", 1.0, ModelSource("/m")), streaming, registry.invocation("e", "v"))
    route = Route("e", {(1, "v"): target}, {"v": target}, Traffic([((1, "v"), 1.0)]), multi=False)
    return Directory(1, {}, {"e": route}, "e")


@pytest.mark.parametrize("fast", [True, False])
def test_an_answer_in_parts_is_given_in_one_piece_by_every_door(tmp_path: Path, fast: bool) -> None:
    registry, door = Registry(tmp_path, "test"), Door()

    def act(talk: Talk) -> None:
        for path in _PATHS:
            assert ask(talk, path, "alice", b"one two three") == (200, b"onetwothree")
            assert ask(talk, path, "alice", b"") == (200, b"")
            assert [one.outcome for one in door.settled] == [
                Answer(body, "text/plain", "mine") for body in (b"onetwothree", b"")
            ]
            assert 0 < door.settled[0].model_s <= door.settled[0].duration_s
            door.settled.clear()

    asyncio.run(door.serve(_directory(registry), registry, fast, act))
    counter = registry.invocation("e", "v")
    assert (counter.requests, counter.errors) == (4, {})


@pytest.mark.parametrize("fast", [True, False])
def test_an_answer_that_breaks_off_is_a_failure_of_which_no_part_is_sent(tmp_path: Path, fast: bool) -> None:
    registry, door = Registry(tmp_path, "test"), Door()

    def act(talk: Talk) -> None:
        for path, status in zip(_PATHS, (424, 400), strict=True):
            assert _failed(talk, path, b"one bad") == (status, True)
            assert _failed(talk, path, b"one bug") == (500, False)
            assert ask(talk, path, "alice", b"one two") == (200, b"onetwo")

    asyncio.run(door.serve(_directory(registry), registry, fast, act))
    counter = registry.invocation("e", "v")
    assert (counter.requests, counter.errors) == (6, {("ModelError", 4): 2, ("InternalFailure", 5): 2})


def _failed(talk: Talk, path: str, body: bytes) -> tuple[int, bool]:
    """The status, and whether the model's reason is told."""
    status, told = ask(talk, path, "alice", body)
    assert b"one" not in told
    return status, b"It is bad." in told
