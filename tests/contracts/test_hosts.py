"""What every host keeps to, whatever runs its models; a new one is a row of hosts.HOSTS."""

import asyncio
import json
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LinearRegression

from service.domain.endpoint import ModelSource
from service.errors import BadPayload, ModelFailure, ModelNotFound, ModelTimeout, Unavailable
from service.hosting.containers.opener import WORKERS, Containers
from service.hosting.host import Answer, Call, Host, invoke_whole
from tests.contracts.hosts import HOSTS, Bounds, OpenHost

HANG_S = 120.0
SMALLEST_BYTES = 64 * 1024  # what every model counts at least
# Tells the file `begun` that it answers, and goes on once `go` is written: both are pipes.
WAITING = """
def model_fn(model_dir):
    return model_dir

def transform_fn(model, data, content_type, accept):
    open(model + "/begun", "w").close()
    open(model + "/go").close()
    return "went on", "text/plain"
"""
ECHO = """
def model_fn(model_dir):
    return "echo"

def transform_fn(model, data, content_type, accept, context):
    context.set_response_header("X-Amzn-SageMaker-Custom-Attributes", "seen")
    return data, content_type
"""

Opened = Callable[..., AbstractAsyncContextManager["Served"]]


class Served:
    """A host over a folder of models."""

    def __init__(self, host: Host, models: Path) -> None:
        self.host = host
        self.models = models

    async def ask(self, name: str, row: str = "1.0", **more: Any) -> Answer:
        replica = self.host.replica(ModelSource(name))
        return await invoke_whole(replica, Call(row.encode(), "text/csv", None, **more))

    def loaded(self) -> list[str]:
        return [model.name for model in self.host.models() if model.loaded]

    def put(self, name: str, slope: float = 1.0) -> None:
        """A model of one column that multiplies by `slope`."""
        folder = self.models / name
        folder.mkdir(exist_ok=True)
        joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, slope]), folder / "model.joblib")

    def put_script(self, name: str, text: str) -> Path:
        folder = self.models / name
        folder.mkdir()
        (folder / "inference.py").write_text(text)
        return folder

    def put_waiting(self, name: str) -> "Waiting":
        folder = self.put_script(name, WAITING)
        os.mkfifo(folder / "begun")
        os.mkfifo(folder / "go")
        return Waiting(folder)


class Waiting:
    """A model that says when it is at a call, and waits until it may go on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def begun(self) -> None:
        await asyncio.to_thread(lambda: (self._folder / "begun").open().close())

    async def go(self) -> None:
        await asyncio.to_thread(lambda: (self._folder / "go").open("w").close())


@pytest.fixture(params=HOSTS)
def opened(request: pytest.FixtureRequest, tmp_path: Path, containers: Containers) -> Opened:
    """Opens a host, within bounds, inside of a test's own event loop."""
    open_host: OpenHost = HOSTS[request.param]

    @asynccontextmanager
    async def open_served(**bounds: Any) -> AsyncIterator[Served]:
        models = tmp_path / "models"
        models.mkdir(exist_ok=True)
        async with (
            asyncio.timeout(HANG_S),
            open_host(models, Bounds(containers=containers, **bounds)) as host,
        ):
            yield Served(host, models)

    return open_served


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def value(answer: Answer) -> float:
    (found,) = json.loads(answer.body)
    return round(float(found), 6)


# ---- load and answer


def test_a_folder_is_loaded_by_its_first_call_and_answers(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            replica = it.host.replica(ModelSource("double"))
            assert it.loaded() == []

            answer = await invoke_whole(replica, Call(b"3.0", "text/csv", None))

            assert (value(answer), answer.content_type) == (6.0, "application/json")
            assert it.loaded() == ["double"]
            (told,) = it.host.models()
            assert told.size_bytes >= SMALLEST_BYTES
            assert told.description.startswith("LinearRegression")

    run(test)


def test_an_archive_answers_as_its_folder_does(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            with tarfile.open(it.models / "packed.tar.gz", "w:gz") as archive:
                archive.add(it.models / "double" / "model.joblib", "model.joblib")
            assert await it.ask("packed.tar.gz") == await it.ask("double")

    run(test)


def test_a_script_answers_with_what_it_says_beside_the_body(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put_script("echo", ECHO)
            assert await it.ask("echo", "as it is") == Answer(b"as it is", "text/csv", "seen")

    run(test)


def test_a_body_that_the_model_cannot_take_is_the_callers_fault(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double")
            with pytest.raises(BadPayload):
                await it.ask("double", "1,2,3")
            assert value(await it.ask("double")) == 1.0

    run(test)


def test_warming_up_loads_and_keeps_the_answer_to_the_example(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            (it.models / "double" / "example.csv").write_text("4.0\n")
            assert it.host.interface_of(ModelSource("double")) is None

            await it.host.warm_up(ModelSource("double"))

            found = it.host.interface_of(ModelSource("double"))
            assert found is not None
            assert (found.width, found.numbers, found.scripted) == (1, True, False)
            assert found.shown is not None
            assert value(found.shown) == 8.0

    run(test)


def test_one_source_of_many_models_answers_by_target(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            (it.models / "many").mkdir()
            it.put("many/one")
            it.put("many/two", 2.0)
            replica = it.host.replica(ModelSource("many", multi=True))

            async def ask(target: str) -> Answer:
                return await invoke_whole(replica, Call(b"1.0", "text/csv", None, target_model=target))

            assert [value(await ask(name)) for name in ("one", "two")] == [1.0, 2.0]
            assert it.host.names_below(it.host.path_of(ModelSource("many"))) == ["one", "two"]
            for nothing in ("three", "../../etc"):
                with pytest.raises(ModelNotFound):
                    await ask(nothing)

    run(test)


# ---- join


def test_calls_at_once_get_each_its_own_answer(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            answers = await asyncio.gather(*(it.ask("double", f"{row}.0") for row in range(50)))
            assert [value(answer) for answer in answers] == [2.0 * row for row in range(50)]

    run(test)


def test_a_bad_body_among_others_is_the_matter_of_its_own_call(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            bodies = ["1.0", "oops", "3.0", "4.0,5.0", "5.0"]
            found = await asyncio.gather(*(it.ask("double", body) for body in bodies), return_exceptions=True)
            assert [value(each) if isinstance(each, Answer) else type(each) for each in found] == [
                2.0, BadPayload, 6.0, BadPayload, 10.0,
            ]  # fmt: skip

    run(test)


def test_what_is_answered_at_once_is_what_a_call_alone_gets(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            replica, bodies = it.host.replica(ModelSource("double")), [b"1.0", b"oops", b"3.0"]
            call = Call(b"", "text/csv", None)
            assert replica.short_way(call, bodies) is None  # not loaded
            await it.ask("double")
            way = replica.short_way(call, bodies)
            if way is not None:  # a host need not have one
                found = way.answer(bodies)
                assert [type(each) for each in found] == [Answer, BadPayload, Answer]
                assert [value(each) for each in found if isinstance(each, Answer)] == [2.0, 6.0]

    run(test)


# ---- come and go


def test_the_least_recently_used_model_goes_when_memory_is_short(opened: Opened) -> None:
    async def test() -> None:
        async with opened(models_bytes=2 * SMALLEST_BYTES) as it:
            for name in ("a", "b", "c"):
                it.put(name)
            await it.ask("a")
            await it.ask("b")
            await it.ask("a")
            await it.ask("c")
            assert sorted(it.loaded()) == ["a", "c"]
            assert value(await it.ask("b")) == 1.0

    run(test)


def test_pinned_models_stay_when_memory_is_short(opened: Opened) -> None:
    async def test() -> None:
        async with opened(models_bytes=2 * SMALLEST_BYTES) as it:
            for name in ("a", "b", "c"):
                it.put(name)
            await it.ask("a")
            it.host.pin_models([ModelSource("a")])
            await it.ask("b")
            await it.ask("c")
            assert sorted(it.loaded()) == ["a", "c"]

    run(test)


def test_a_model_in_use_answers_although_it_was_let_go(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            waiting = it.put_waiting("waits")
            call = asyncio.create_task(it.ask("waits"))
            await waiting.begun()
            it.host.let_go(ModelSource("waits"))
            assert it.loaded() == []
            await waiting.go()
            assert (await call).body == b"went on"

    run(test)


def test_after_it_was_let_go_a_model_is_loaded_as_its_files_are_now(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double", 2.0)
            assert value(await it.ask("double")) == 2.0
            it.put("double", 3.0)
            assert value(await it.ask("double")) == 2.0
            it.host.let_go(ModelSource("double"))
            assert value(await it.ask("double")) == 3.0

    run(test)


# ---- fail


def test_a_model_that_fails_to_load_says_why_until_it_is_mended(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put_script("script", "import module_that_is_not_there\n")
            for _ in range(2):
                with pytest.raises(ModelFailure, match="module_that_is_not_there"):
                    await it.ask("script")
            (told,) = it.host.models()
            assert (told.name, told.loaded) == ("script", False)
            assert "module_that_is_not_there" in told.notes[0]

            (it.models / "script" / "inference.py").write_text(ECHO)
            assert (await it.ask("script", "mended")).body == b"mended"
            assert it.loaded() == ["script"]

    run(test)


def test_a_model_that_is_not_there_is_not_found(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            for name in ("nothing", "../models/../../etc"):
                with pytest.raises(ModelNotFound):
                    await it.ask(name)
            assert it.host.models() == []

    run(test)


def test_calls_beyond_the_line_are_refused_at_once(opened: Opened) -> None:
    async def test() -> None:
        async with opened(concurrency=1, queue=1) as it:
            waiting = it.put_waiting("waits")
            # Its one worker takes two calls, that which it is at and the next one; a third stands in line.
            source = ModelSource("waits", environment=((WORKERS, "1"),))
            replica, call = it.host.replica(source), Call(b"", "text/csv", None)
            runs = asyncio.create_task(invoke_whole(replica, call))
            await waiting.begun()
            found = [asyncio.create_task(invoke_whole(replica, call)) for _ in range(3)]
            done, stand = await asyncio.wait(found, return_when=asyncio.FIRST_COMPLETED)
            assert [type(each.exception()) for each in done] == [Unavailable]
            for _ in stand:
                await waiting.go()
                await waiting.begun()
            await waiting.go()
            assert [(await each).body for each in (runs, *stand)] == [b"went on"] * 3

    run(test)


def test_a_call_that_takes_too_long_is_told_so_while_others_are_answered(opened: Opened) -> None:
    async def test() -> None:
        async with opened(timeout_s=1.0) as it:
            waiting = it.put_waiting("waits")
            it.put("double")
            await it.host.warm_up(ModelSource("double"))
            await it.host.warm_up(ModelSource("waits"))
            call = asyncio.create_task(it.ask("waits"))
            await waiting.begun()
            assert value(await it.ask("double")) == 1.0
            with pytest.raises(ModelTimeout):
                await call
            await waiting.go()

    run(test)


# ---- close


def test_after_closing_nothing_is_loaded_and_calls_are_refused(opened: Opened) -> None:
    async def test() -> None:
        async with opened() as it:
            it.put("double")
            it.put("other")
            await it.ask("double")
            await it.host.close()
            assert it.loaded() == []
            with pytest.raises(Unavailable):
                await it.ask("other")

    run(test)
