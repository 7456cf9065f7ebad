"""Answers that are promised, not awaited: every door gives, counts and tells them as any other."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.domain.endpoint import ModelSource, Variant
from service.domain.traffic import Traffic
from service.errors import BadPayload, Unavailable
from service.hosting.host import Answer, Call
from service.hosting.stopwatch import Stopwatch
from service.invoke.directory import Directory, Route, Target
from service.observe.counts import Registry
from service.promise import Promise
from tests.contracts.http_server import Talk
from tests.invoke.door import Door, ask

_PATHS = ("/endpoints/e/invocations", "/invocations")


class Promising:
    """A replica that promises to give each body back; `bad` and `bug` are such, `full` is refused at once."""

    def short_way(self, call: Call, bodies: Sequence[bytes]) -> None:
        """It never answers at once."""

    def begin(self, call: Call, watch: Stopwatch) -> Promise[Answer] | None:
        if call.body == b"full":
            raise Unavailable("It is full.")
        if call.body == b"task":
            return None
        promise: Promise[Answer] = Promise()
        if call.body != b"at once":
            watch.start()
        asyncio.get_running_loop().call_soon(self._keep, promise, call, watch)
        return promise

    async def invoke(self, call: Call, watch: Stopwatch) -> Answer:
        return Answer(b"by a task", "text/plain")

    def _keep(self, promise: Promise[Answer], call: Call, watch: Stopwatch) -> None:
        watch.stop()
        faults = {b"bad": BadPayload("It is bad."), b"bug": ZeroDivisionError("a secret")}
        promise.keep(faults.get(call.body) or Answer(call.body, "text/plain", "mine"))


def _directory(registry: Registry) -> Directory:
    """One endpoint, whose only variant promises."""
    promising: Any = Promising()  # as much of a replica as is asked
    target = Target(Variant("v", 1.0, ModelSource("/m")), promising, registry.invocation("e", "v"))
    route = Route("e", {(1, "v"): target}, {"v": target}, Traffic([((1, "v"), 1.0)]), multi=False)
    return Directory(1, {}, {"e": route}, "e")


@pytest.mark.parametrize("fast", [True, False])
def test_what_is_promised_is_given_by_every_door(tmp_path: Path, fast: bool) -> None:
    registry, door = Registry(tmp_path, "test"), Door()

    def act(talk: Talk) -> None:
        for path in _PATHS:
            for body in (b"one", b"two", b""):  # the first with its head, one of a known head, another
                assert ask(talk, path, "alice", body) == (200, body)
            assert [one.outcome for one in door.settled] == [
                Answer(body, "text/plain", "mine") for body in (b"one", b"two", b"")
            ]
            assert all(0 < one.model_s <= one.duration_s for one in door.settled)
            assert ask(talk, path, "alice", b"task") == (200, b"by a task")
            door.settled.clear()

    asyncio.run(door.serve(_directory(registry), registry, fast, act))
    counter = registry.invocation("e", "v")
    assert (counter.requests, counter.errors) == (8, {})


@pytest.mark.parametrize("fast", [True, False])
def test_a_promise_of_a_fault_is_that_fault(tmp_path: Path, fast: bool) -> None:
    registry, door = Registry(tmp_path, "test"), Door()

    def act(talk: Talk) -> None:
        for path, status in zip(_PATHS, (424, 400), strict=True):
            for _ in range(2):
                found, told = ask(talk, path, "alice", b"bad")
                assert (found, b"It is bad." in told) == (status, True)
                found, told = ask(talk, path, "alice", b"bug")
                assert (found, b"secret" in told) == (500, False)
                found, told = ask(talk, path, "alice", b"full")
                assert (found, b"It is full." in told) == (503, True)
            assert ask(talk, path, "alice", b"fine") == (200, b"fine")

    asyncio.run(door.serve(_directory(registry), registry, fast, act))
    counter = registry.invocation("e", "v")
    assert counter.requests == 14
    assert {code: number for (code, _), number in counter.errors.items()} == {
        "ModelError": 4,
        "InternalFailure": 4,
        Unavailable.code: 4,
    }
