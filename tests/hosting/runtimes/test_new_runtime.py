"""A new runtime is one file (constant.py) and one row, here put before those of the table."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import joblib
import pytest
from sklearn.dummy import DummyRegressor
from typer import Exit

from service.cli.shipment import ship
from service.clock import SystemClock
from service.domain.endpoint import ModelSource
from service.errors import ModelFailure
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.unpacked import estimate_bytes
from service.hosting.containers.opener import Containers
from service.hosting.host import Answer, Call, Host, invoke_whole
from service.hosting.inline import HostLimits, InlineHost, names_of_models
from service.hosting.runtimes.runtime import Contents, Runtime
from service.hosting.runtimes.table import RUNTIMES, Loading, choose_runtime, endings_of, load_model
from tests.hosting.runtimes.constant import CONSTANT
from tests.invoke.conftest import Quiet

HERE = (CONSTANT, *RUNTIMES)
HELLO = Answer(b"hello", "text/plain")
CALL = Call(b"whatever", "text/csv", None)


@asynccontextmanager
async def opened(folder: Path, runtimes: Sequence[Runtime]) -> AsyncIterator[Host]:
    artifacts = ArtifactStore([folder], folder / "unpacked", Limits(2**30, 1000, 100.0))
    host = InlineHost(artifacts, HostLimits(2**30), SystemClock(), Quiet(), runtimes=runtimes)
    try:
        yield host
    finally:
        await host.close()


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "greeting.const").write_bytes(b"hello")
    return folder


def test_its_models_are_served_without_a_file_of_endpoints_and_can_be_deployed(tmp_path: Path) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    folder = str(put(models / "greeting"))
    artifacts = ArtifactStore([models], tmp_path / "unpacked", Limits(2**30, 1000, 100.0))

    assert names_of_models(artifacts, models, HERE) == ["greeting"]
    assert names_of_models(artifacts, models) == []
    copy = ship(folder, "greeting/AllTraffic", data, endings_of(HERE)).copy
    assert copy is not None
    assert (copy / "greeting" / "greeting.const").read_bytes() == b"hello"
    with pytest.raises(Exit):
        ship(folder, "other/AllTraffic", data)


def test_its_models_answer_beside_all_others(tmp_path: Path) -> None:
    put(tmp_path / "greeting")
    (tmp_path / "seven").mkdir()
    joblib.dump(DummyRegressor().fit([[0.0]], [7.0]), tmp_path / "seven" / "model.joblib")

    async def test() -> None:
        async with opened(tmp_path, HERE) as host:
            assert await host.replica(ModelSource("greeting")).invoke(CALL) == HELLO
            row = Call(b"1.0", "text/csv", None)
            assert (await invoke_whole(host.replica(ModelSource("seven")), row)).body == b"[7.0]"
            told = {model.name: model.description for model in host.models()}
            assert told == {"greeting": "a constant", "seven": "DummyRegressor (scikit-learn)"}
            assert host.interface_of(ModelSource("greeting")) is None
            assert host.names_below(tmp_path) == ["greeting", "seven"]

    asyncio.run(test())


def test_its_models_answer_on_the_event_loop_once_they_were_seen_to_be_quick(tmp_path: Path) -> None:
    put(tmp_path / "greeting")

    async def test() -> None:
        async with opened(tmp_path, HERE) as host:
            replica = host.replica(ModelSource("greeting"))
            assert replica.short_way(CALL, [CALL.body]) is None  # not loaded
            way = None
            for _ in range(100):  # until one was not held up by others
                await replica.invoke(CALL)
                way = replica.short_way(CALL, [CALL.body] * 3)
                if way is not None:
                    break
            assert way is not None
            assert way.answer([CALL.body] * 3) == [HELLO] * 3

    asyncio.run(test())


def test_without_its_row_nobody_serves_its_files(tmp_path: Path) -> None:
    put(tmp_path / "greeting")

    async def test() -> None:
        async with opened(tmp_path, RUNTIMES) as host:
            with pytest.raises(ModelFailure, match=r"no model found: .* here lie greeting\.const"):
                await host.replica(ModelSource("greeting")).invoke(CALL)

    asyncio.run(test())


def test_a_script_beside_its_file_comes_first_where_its_row_does(
    tmp_path: Path, containers: Containers
) -> None:
    folder = put(tmp_path / "greeting")
    (folder / "inference.py").write_text(
        "def model_fn(model_dir):\n    return 1\n"
        "def transform_fn(model, data, content_type, accept):\n    return 'script', content_type\n"
    )

    def answered_by(*runtimes: Runtime) -> bytes:
        return load_model(folder, {}, Loading(containers=containers, runtimes=runtimes)).answer(CALL).body

    assert answered_by(*HERE) == b"hello"
    assert answered_by(*RUNTIMES, CONSTANT) == b"script"


def test_its_model_files_count_when_memory_is_looked_for(tmp_path: Path) -> None:
    folder = put(tmp_path / "greeting")
    (folder / "large.const").write_bytes(b"\0" * 2**20)

    assert endings_of(HERE)[0] == ".const"
    assert {".joblib", ".pkl", ".onnx", "xgboost-model"} < {*endings_of(HERE)}
    assert estimate_bytes(folder, 2**30, endings_of(HERE)) == 2**20 + len(b"hello")


def test_a_runtime_may_stand_in_for_an_image_of_its_own(tmp_path: Path) -> None:
    folder = put(tmp_path / "greeting")
    theirs = Runtime("theirs", CONSTANT.serves, CONSTANT.load, runs=lambda image: image == "their/image:1")

    def chosen(image: str) -> str:
        return choose_runtime(Contents(folder, {}, image=image), (theirs, *RUNTIMES)).name

    assert chosen("their/image:1") == "theirs"
    assert chosen("sagebird/sklearn") == "scikit-learn"
    with pytest.raises(ModelFailure, match="no runtime of this server serves the image other/image"):
        chosen("other/image")
