"""Calls that a replica answers at once, on the event loop: which, how many together, and by what."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.domain.endpoint import ModelSource
from service.errors import ModelNotFound, NotAcceptable
from service.hosting.calls.joining import Lane
from service.hosting.calls.replica import CallLimits, InlineReplica
from service.hosting.host import Answer, Call, Outcome
from service.hosting.inline import HostLimits
from service.hosting.programs.compiled import Verdict
from service.hosting.runtimes.flavour import FlavourModel
from tests.hosting.test_inline import House, house, put_model, run

_BODY = b"1.0,2.0"
_CALL = Call(b"", "text/csv", None)
_COMPILE = HostLimits(2**30, compile=True)


async def _ready(it: House) -> InlineReplica:
    """A replica whose model is loaded, compiled and measured."""
    put_model(it.models / "a")
    found = it.host.single(ModelSource("a"))
    await found.invoke(_CALL.with_body(_BODY))
    await it.host.compiler.settle()
    _measure(it)
    return found


def _measure(it: House) -> None:
    """Let calls of the size of _BODY be known as quick, also on a machine that is busy."""
    for entry in it.host.cache.loaded:
        entry.note_cost(len(_BODY), 1e-6)


def _now(replica: InlineReplica, call: Call, bodies: Sequence[bytes]) -> list[Outcome] | None:
    lane = replica.short_way(call, bodies)
    return None if lane is None else lane.answer(bodies)


def _values(outcomes: object) -> list[float]:
    assert isinstance(outcomes, list)
    assert all(isinstance(outcome, Answer) for outcome in outcomes)
    return [round(float(outcome.body.strip(b"[]")), 6) for outcome in outcomes]


def test_a_model_that_is_not_loaded_or_not_measured_has_to_be_invoked(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            found = it.host.single(ModelSource("a"))
            assert _now(found, _CALL, [_BODY]) is None
            await found.warm_up(None)
            assert _now(found, _CALL, [_BODY]) is None
            _measure(it)
            assert _values(_now(found, _CALL, [_BODY])) == [3.0]
            assert _now(found, _CALL, [_BODY, b"1,2\n" * 100]) is None  # of a size not seen yet
            assert it.host.cache.in_use == 0

    run(test())


def test_a_model_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            with pytest.raises(ModelNotFound):
                _now(it.host.single(ModelSource("nobody")), _CALL, [_BODY])

    run(test())


def test_each_of_several_calls_gets_its_own_answer_or_fault(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path, _COMPILE) as it:
            found = await _ready(it)
            assert _values(_now(found, _CALL, [b"1.0,2.0", b"4.0,0.5"])) == [3.0, 4.5]
            _measure(it)
            outcomes = _now(found, _CALL, [b"1.0,2.0", b"4.0,x.5", b"4.0,0.5"])
            assert outcomes is not None
            assert _values([outcomes[0], outcomes[2]]) == [3.0, 4.5]
            assert str(outcomes[1]) == "Row 1, column 2: 'x.5' is not a number."

    run(test())


def test_an_accept_that_cannot_be_is_each_calls_own_fault(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path, _COMPILE) as it:
            found = await _ready(it)
            outcomes = _now(found, Call(b"", "text/csv", "image/png"), [_BODY, _BODY])
            assert [type(outcome).__name__ for outcome in outcomes or ()] == ["NotAcceptable"] * 2

    run(test())


def test_a_lane_is_made_anew_when_its_model_was_compiled(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path, _COMPILE) as it:
            found = await _ready(it)
            (entry,) = it.host.cache.loaded
            before = found._lane(entry, _CALL)
            assert found._lane(entry, _CALL) is before
            assert isinstance(entry.model, FlavourModel)
            entry.model.traits.compiling.verdict = Verdict()
            assert found._lane(entry, _CALL) is not before

    run(test())


def test_lanes_of_long_headers_are_made_anew_and_none_keeps_its_first_caller(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path, _COMPILE) as it:
            found = await _ready(it)
            (entry,) = it.host.cache.loaded
            found._lane(entry, _CALL._replace(body=_BODY, custom_attributes="a" * 5000))
            kept = len(entry.lanes)
            long = Call(b"", "text/csv", "*/*," * 1000)
            assert isinstance(found._lane(entry, long).answer([_BODY])[0], NotAcceptable)
            assert len(entry.lanes) == kept
            lanes = [lane for lane in entry.lanes.values() if isinstance(lane, Lane)]
            assert {lane._call[3:] for lane in lanes} == {(None,) * 5}

    run(test())


def test_lanes_and_remembered_models_are_bounded(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path, _COMPILE) as it:
            for name in "abc":
                put_model(it.models / "team" / name, slope="abc".index(name) + 1.0)
            limits = CallLimits(60.0, targets=2, lanes=2)
            found = InlineReplica(
                ModelSource("team", multi=True), it.host.locate, it.host.cache, threads, limits
            )
            for _ in range(2):
                for name in "abc":
                    await found.invoke(Call(_BODY, "text/csv", None, target_model=name))
            await it.host.compiler.settle()
            _measure(it)
            for number, name in enumerate("abcba"):
                call = Call(
                    b"", "text/csv", ("*/*", "application/json", "application/*")[number % 3], None, name
                )
                assert _values(_now(found, call, [_BODY])) == [3.0 * ("abc".index(name) + 1)]
            assert len(found._entries) <= 2
            assert all(len(entry.lanes) <= 2 for entry in it.host.cache.loaded)

    with ThreadPoolExecutor(1) as threads:
        run(test())


def test_a_model_that_left_is_not_answered_by_its_memory(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            found = await _ready(it)
            assert _values(_now(found, _CALL, [_BODY])) == [3.0]
            put_model(it.models / "a", slope=2.0)
            it.host.cache.drop(it.host.cache.loaded[0].key)
            assert _now(found, _CALL, [_BODY]) is None
            await found.invoke(_CALL.with_body(_BODY))
            _measure(it)
            assert _values(_now(found, _CALL, [_BODY])) == [6.0]

    run(test())
