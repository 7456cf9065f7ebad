"""Pipelines over real models and containers: what each stage gets, limits, names, what is kept loaded."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.endpoint import ModelSource, Stage
from service.errors import AnswerTooLarge, HopTooLarge, ModelFault, ModelTimeout
from service.hosting.calls.serial import MOST_HOP_BYTES, Chain
from service.hosting.containers.opener import Containers
from service.hosting.host import Answer, Call, Interface, invoke_whole, joined_interface
from service.hosting.inline import HostLimits
from service.hosting.stopwatch import Stopwatch
from tests.hosting.test_inline import House, house, put_model

CALL = Call(b"1", "text/csv", "text/plain", "mine", "one.tar.gz", "session")
# Never answers `wait`.
_ECHO = """
import signal

def model_fn(model_dir):
    return None

def transform_fn(model, data, content_type, accept):
    while data == "wait":
        signal.pause()
    return data, content_type
"""


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def pipeline(*names: str, **more: Any) -> ModelSource:
    """Containers called by the names of their models."""
    return ModelSource("", stages=tuple(Stage(name, ModelSource(name)) for name in names), **more)


def put_echo(it: House, name: str) -> None:
    (it.models / name).mkdir()
    (it.models / name / "inference.py").write_text(_ECHO)


@pytest.mark.provenance("documented")
def test_body_and_type_are_handed_on_and_accept_is_for_the_last_one() -> None:
    chain = Chain(["a", "b", "c"], multi=["a"])
    answer = Answer(b"2", "application/json", "theirs", 201, "new")

    assert chain.call_at(0, CALL, None) == Call(b"1", "text/csv", None, "mine", "one.tar.gz", "session")
    assert chain.call_at(1, CALL, answer) == Call(b"2", "application/json", None, "mine", None, "session")
    assert chain.call_at(2, CALL, answer) == Call(
        b"2", "application/json", "text/plain", "mine", None, "session"
    )


@pytest.mark.provenance("documented")
def test_five_megabytes_go_between_two_containers_and_no_byte_more() -> None:
    chain = Chain(["a", "b"])

    most = Answer(b"x" * MOST_HOP_BYTES, "text/csv")
    assert len(chain.call_at(1, CALL, most).body) == 5_242_880
    with pytest.raises(HopTooLarge, match="from a to b is 5242881 bytes") as caught:
        chain.call_at(1, CALL, Answer(most.body + b"x", "text/csv"))
    assert caught.value.status == 413


@pytest.mark.provenance("documented")
def test_more_than_a_server_takes_is_refused_between_containers_in_the_same_words(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        few = replace(containers, most_answer_bytes=1000)
        async with house(tmp_path, HostLimits(2**30), containers=few) as it:
            put_echo(it, "first")
            put_echo(it, "second")
            await it.host.warm_up(pipeline("first", "second"))
            replica = it.host.replica(pipeline("first", "second"))
            assert (await invoke_whole(replica, Call(b"x" * 1000, "text/csv", None))).body == b"x" * 1000
            with pytest.raises(HopTooLarge, match="from first to second is 1001 bytes"):
                await replica.invoke(Call(b"x" * 1001, "text/csv", None))
            with pytest.raises(AnswerTooLarge) as caught:
                await it.host.replica(ModelSource("second")).invoke(Call(b"x" * 1001, "text/csv", None))
            assert caught.value.size_bytes == 1001

    run(test())


def test_a_call_has_one_time_limit_and_the_container_that_it_was_at_is_named(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        async with house(tmp_path, HostLimits(2**30, timeout_s=1.5), containers=containers) as it:
            put_echo(it, "first")
            put_echo(it, "second")
            await it.host.warm_up(pipeline("first", "second"))
            replica = it.host.replica(pipeline("first", "second"))
            watch = Stopwatch()
            answer = await invoke_whole(replica, Call(b"1", "text/csv", None), watch)
            assert answer[:2] == (b"1", "text/csv")
            assert watch.seconds > 0
            with pytest.raises(ModelTimeout) as caught:
                await replica.invoke(Call(b"wait", "text/csv", None))
            assert caught.value.container == "first"

    run(test())


def test_stages_are_warmed_up_in_order_and_the_one_that_fails_is_named(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            for name in ("b", "a"):
                put_model(it.models / name)
            (it.models / "broken").mkdir()
            (it.models / "broken" / "model.joblib").write_bytes(b"nothing")
            await it.host.warm_up(pipeline("b", "a"))
            assert it.loaded() == ["b", "a"]
            with pytest.raises(ModelFault) as caught:
                await it.host.warm_up(pipeline("a", "broken"))
            assert caught.value.container == "broken"
            with pytest.raises(ModelFault) as caught:
                await it.host.replica(pipeline("a", "missing")).invoke(Call(b"1,2\n", "text/csv", None))
            assert (caught.value.container, caught.value.status) == ("missing", 404)

    run(test())


def test_a_pipeline_takes_what_its_first_model_does_and_gives_what_its_last_one_does(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            put_model(it.models / "b")
            assert it.host.interface_of(pipeline("a", "b")) is None
            await it.host.warm_up(pipeline("a", "b"))
            found = it.host.interface_of(pipeline("a", "b"))
            assert found is not None
            assert (found.width, found.numbers, found.scripted) == (2, True, False)
            assert it.host.interface_of(pipeline("a", "b", direct=True)) is None

    run(test())


def test_of_a_last_model_that_tells_nothing_nothing_is_promised() -> None:
    first = Interface(False, 2, (), ("a", "b"), False, Answer(b"", "text/csv"))

    assert joined_interface(first, None) == Interface(True, 2, (), (), False, None)
    assert joined_interface(None, first) is None
