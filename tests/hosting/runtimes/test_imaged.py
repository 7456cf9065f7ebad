"""Models whose container is an image of somebody's, as gateways and batch jobs have them."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.domain.endpoint import ModelSource
from service.errors import ModelFailure, ModelUnreachable
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.containers.opener import Containers
from service.hosting.host import Answer, Call
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.runtimes import imaged
from service.hosting.runtimes.runtime import Contents
from service.hosting.runtimes.table import Loading, choose_runtime, load_model, read_contents
from tests.conftest import wait_until
from tests.harness.engine import StandIn, stand_in_engine
from tests.harness.image_host import image_host
from tests.invoke.conftest import Quiet

PATIENCE_S = 60.0
APP = "mine/app:1"
CALL = Call(b"abc", "text/csv", None)


@pytest.fixture
def engine() -> Iterator[StandIn]:
    with stand_in_engine() as one:
        yield one


@pytest.fixture
def containers(engine: StandIn) -> Iterator[Containers]:
    with image_host(engine.environ) as found:
        yield found
        gc.collect()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "weights"
    folder.mkdir(parents=True)
    (folder / "weights").touch()
    return folder


def test_its_files_mean_nothing_here(model: Path, containers: Containers, tmp_path: Path) -> None:
    (model / "inference.py").touch()
    (model / "code").mkdir()
    (model / "code" / "requirements.txt").write_text("nobody-has-this==1")
    environment = {"SAGEMAKER_PROGRAM": "theirs.py"}
    found = read_contents(model, environment, Loading(containers=containers), tmp_path, "1", APP)
    assert (found.script, found.requirements, found.code_dirs) == (None, None, (tmp_path,))
    assert found.lacking() is None
    assert choose_runtime(found, Loading().runtimes).name == "image"


def test_where_images_do_not_run_none_is_loaded(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFailure, match="no runtime of this server serves the image mine/app:1"):
        load_model(model, {}, Loading(containers=Containers(tmp_path, 1, 1.0)), image=APP)
    with pytest.raises(ModelFailure, match="nothing here runs images"):
        imaged.load(Contents(model, {}, image=APP))


def test_threads_call_it_and_it_ends_with_its_model(
    engine: StandIn, containers: Containers, model: Path
) -> None:
    engine.add(APP, parameters=b'{"MaxConcurrentTransforms": 3}')
    loaded = load_model(
        model, {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "a/b"}, Loading(0, 0, containers), image=APP
    )
    assert loaded.answer(CALL) == Answer(b"cba", "application/octet-stream")
    traits = loaded.traits
    assert traits.description == f"container of {APP}"
    assert (traits.scripted, traits.in_place, traits.default_accept) == (True, False, "a/b")
    assert loaded.interface() is None
    assert traits.ask_parameters is not None
    assert traits.ask_parameters() == {"MaxConcurrentTransforms": 3}
    assert traits.elsewhere is not None
    assert traits.elsewhere.look() == 40 << 20
    del loaded, traits
    wait_until(lambda: not engine.boxes, PATIENCE_S)


def test_threads_wait_while_it_is_made_anew(engine: StandIn, containers: Containers, model: Path) -> None:
    go_on = threading.Event()
    engine.add(APP, ping=lambda box: 200 if box is engine.made[0] or go_on.is_set() else 500)
    loaded = load_model(model, {}, Loading(0, 0, containers), image=APP)
    assert loaded.answer(CALL).body == b"cba"
    engine.box.end()
    wait_until(lambda: len(engine.made) == 2 and engine.made[1].pings, PATIENCE_S)
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(loaded.answer(CALL).body))
    asking.start()
    go_on.set()
    asking.join(PATIENCE_S)
    assert answers == [b"cba"]
    engine.images.clear()
    engine.box.end()
    elsewhere = loaded.traits.elsewhere
    assert elsewhere is not None
    wait_until(lambda: elsewhere.look() is None, PATIENCE_S)
    with pytest.raises(ModelUnreachable, match="does not have it"):
        loaded.answer(CALL)


def test_one_that_is_nowhere_for_too_long_is_told(engine: StandIn, model: Path) -> None:
    engine.add(APP, ping=lambda box: 200 if box is engine.made[0] else 500)
    with image_host(engine.environ, timeout_s=0.2) as containers:
        loaded = load_model(model, {}, Loading(0, 0, containers), image=APP)
        engine.box.end()
        wait_until(lambda: len(engine.made) == 2 and engine.made[1].pings, PATIENCE_S)
        with pytest.raises(ModelUnreachable, match="is being made anew"):
            loaded.answer(CALL)
        del loaded


def test_gateways_call_it_and_need_no_model_data(
    engine: StandIn, containers: Containers, model: Path, tmp_path: Path
) -> None:
    engine.add(APP)

    async def test() -> None:
        artifacts = ArtifactStore([model.parent], tmp_path / "unpacked", Limits(2**30, 1000, 100.0))
        limits = HostLimits(2**30)
        host = InlineHost(artifacts, limits, SystemClock(), Quiet(), containers=containers)
        try:
            for source in (ModelSource("weights", image=APP), ModelSource("", image=f"{APP}#sha256:0")):
                replica = host.replica(source)
                await host.warm_up(source)
                assert (await replica.invoke(CALL)) == Answer(b"cba", "application/octet-stream")
            told = {one.name: one.description for one in host.models()}
            assert told == {"weights": f"container of {APP}", APP: f"container of {APP}"}
            given = [box.config["HostConfig"]["Mounts"] for box in engine.made]
            assert [len(mounts) for mounts in given] == [1, 0]
            gone = engine.made[0]
            engine.images.clear()
            gone.end()
            elsewhere = host.cache.loaded[0].model.traits.elsewhere
            assert elsewhere is not None
            await asyncio.to_thread(wait_until, lambda: elsewhere.look() is None, PATIENCE_S)
            host.sweep()
            assert [one.name for one in host.models() if one.loaded] == [APP]
        finally:
            await host.close()

    asyncio.run(test())
