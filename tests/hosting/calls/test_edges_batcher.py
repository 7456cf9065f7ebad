"""The edges of joining: lines that empty at the gate, threads that are gone, models that cannot say."""

import asyncio
from typing import Any

import pytest

from service.errors import BadPayload, Unavailable
from service.hosting.calls.batcher import _answer
from service.hosting.host import Answer, Call
from service.hosting.programs.compiled import Joined
from service.hosting.runtimes.flavour import FlavourModel
from service.media.codec import Accept
from tests.hosting.calls.test_batcher import _Doubler, _rig, _run


class _Undecided(_Doubler):
    """A model that fails where it should say how calls are joined, and doubles otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer.set()

    def joined(self, accept: Accept) -> Joined:
        raise BadPayload("it depends")


def test_a_line_that_empties_while_it_waits_at_the_gate_predicts_nothing_and_leaves() -> None:
    async def run() -> None:
        async with _rig() as rig:
            rig.doubler.may_answer.set()
            await rig.gate.enter()
            await rig.gate.enter()
            leaving = rig.ask(b"1")
            while not rig.gate.waiting:  # noqa: ASYNC110  # it stands there after a step or two
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait((leaving,))
            rig.gate.leave()
            rig.gate.leave()
            while rig.gate.inside:  # noqa: ASYNC110  # and has gone after some more
                await asyncio.sleep(0)
            assert rig.doubler.sizes == []
            assert not rig.threads._threads  # none was asked for
            assert (await rig.ask(b"2")).body == b"4.0\n"

    _run(run)


def test_those_behind_a_call_that_finds_the_threads_gone_are_refused_with_it() -> None:
    async def run() -> None:
        async with _rig() as rig:
            rig.threads.shutdown()
            asked: list[asyncio.Task[Answer]] = [rig.ask(body) for body in (b"10", b"11", b"12")]
            found: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(each) for each in found] == [Unavailable] * 3
            assert "stopping" in str(found[2])
            with pytest.raises(Unavailable, match="stopping"):
                await rig.ask(b"1")  # and nobody is told twice

    _run(run)


def test_where_joining_itself_fails_each_call_is_answered_alone_and_one_alone_says_why() -> None:
    doubler = _Undecided()
    model = FlavourModel(doubler, 1, "text/csv", None)
    calls = [Call(body, "text/csv", None) for body in (b"1", b"13", b"3")]
    one, bad, three = _answer(model, calls)
    assert isinstance(one, Answer)
    assert isinstance(three, Answer)
    assert (one.body, three.body) == (b"2.0\n", b"6.0\n")
    assert isinstance(bad, BadPayload)
    assert doubler.sizes == [1, 1, 1]
    with pytest.raises(BadPayload, match="it depends"):
        _answer(model, calls[:1])
