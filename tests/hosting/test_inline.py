"""Real folders and archives, real models: what is found, loaded, shared, kept and let go."""

import asyncio
import json
import os
import shutil
import socket
import sys
import tarfile
import zlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from service.clock import ManualClock
from service.domain.endpoint import ModelSource
from service.errors import BadPayload, ModelFailure, ModelFault, ModelNotFound, Unavailable
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.unpacked import estimate_bytes
from service.hosting.cache.source import ModelKey
from service.hosting.containers.container_host import DOOR
from service.hosting.containers.opener import Containers
from service.hosting.footprint import SMALLEST_BYTES
from service.hosting.host import Answer, Call, Model
from service.hosting.inline import HostLimits, InlineHost
from tests.conftest import wait_until
from tests.harness.containers import model_host

HANG_S = 60.0
ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 5.0]])
TWO_ROWS = Call(b"1.0,2.0\n4.0,0.5\n", "text/csv", "application/json")


class Observer:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        self.events.append(("loaded", key.path.name))

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        self.events.append(("failed", key.path.name))

    def evicted(self, key: ModelKey, reason: str) -> None:
        self.events.append((reason, key.path.name))


class House:
    """A folder of models and a host over it."""

    def __init__(
        self, folder: Path, limits: HostLimits, pinned: tuple[str, ...], containers: Containers | None
    ) -> None:
        self.models = folder / "models"
        self.models.mkdir(exist_ok=True)
        self.observer = Observer()
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        artifacts = ArtifactStore([self.models], folder / "unpacked", Limits(2**30, 1000, 100.0))
        self.host = InlineHost(artifacts, limits, self.clock, self.observer, pinned, containers=containers)

    async def ask(self, source: ModelSource, target_model: str | None = None) -> Answer:
        call = Call(TWO_ROWS.body, TWO_ROWS.content_type, TWO_ROWS.accept, target_model=target_model)
        return await self.host.single(source).invoke(call)

    def loaded(self) -> list[str]:
        return [entry.key.path.name for entry in self.host.cache.loaded]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, HANG_S))


@asynccontextmanager
async def house(
    folder: Path,
    limits: HostLimits | None = None,
    pinned: tuple[str, ...] = (),
    containers: Containers | None = None,
) -> AsyncIterator[House]:
    made = House(folder, limits or HostLimits(2**30), pinned, containers)
    try:
        yield made
    finally:
        await made.host.close()
    assert made.host.cache.held_bytes == 0


def put_model(folder: Path, slope: float = 1.0, file: str = "model.joblib", **options: Any) -> Any:
    """A regression of that slope over the sum of two columns."""
    model = LinearRegression().fit(ROWS, slope * ROWS.sum(axis=1))
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / file, **options)
    return model


def put_archive(archive: Path, slope: float = 1.0) -> None:
    content = archive.parent / ".content"
    put_model(content, slope)
    with tarfile.open(archive, "w:gz") as writer:
        writer.add(content / "model.joblib", "model.joblib")
    shutil.rmtree(content)


def is_answer(answer: Answer, slope: float) -> bool:
    return bool(np.allclose(json.loads(answer.body), [3.0 * slope, 4.5 * slope]))


# ---- answers


def test_a_folder_and_an_archive_answer_as_scikit_learn_does(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "folder", 1.0)
            put_archive(it.models / "packed.tar.gz", 2.0)
            assert is_answer(await it.ask(ModelSource("folder")), 1.0)
            assert is_answer(await it.ask(ModelSource("packed.tar.gz")), 2.0)
            assert is_answer(await it.ask(ModelSource("packed")), 2.0)
            assert sorted(it.loaded()) == ["folder", "packed.tar.gz"]

    run(test())


def test_two_sources_of_the_same_files_share_one_model(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            await it.ask(ModelSource("a"))
            await it.ask(ModelSource(str(it.models / "a")))
            assert it.observer.events == [("loaded", "a")]
            assert len(it.host.cache.loaded) == 1

    run(test())


def test_the_same_files_in_another_environment_are_loaded_for_themselves(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            await it.ask(ModelSource("a"))
            await it.ask(ModelSource("a", environment=(("COLOUR", "red"),)))
            assert it.loaded() == ["a", "a"]

    run(test())


def test_a_folder_of_models_serves_each_by_its_name(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "team" / "a", 1.0)
            put_archive(it.models / "team" / "b.tar.gz", 2.0)
            team = ModelSource("team", multi=True)
            assert is_answer(await it.ask(team, "a"), 1.0)
            assert is_answer(await it.ask(team, "b.tar.gz"), 2.0)
            folder = it.host.path_of(team)
            assert it.host.names_below(folder) == ["a", "b.tar.gz"]
            assert it.host.path_below(folder, "b") == folder / "b.tar.gz"
            assert it.host.path_below(folder, "c") is None

    run(test())


@pytest.mark.parametrize(
    "target",
    [None, "", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "missing", "%2e%2e/secret", "\0"],
)
def test_a_target_that_leads_nowhere_or_out_of_the_folder_is_not_found(
    tmp_path: Path, target: str | None
) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "secret")
            put_model(it.models / "team" / "a")
            with pytest.raises(ModelNotFound):
                await it.ask(ModelSource("team", multi=True), target)
            assert it.loaded() == []

    run(test())


# ---- files that change


def test_a_model_keeps_answering_after_its_archive_was_deleted(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            (it.models / "team").mkdir()
            put_archive(it.models / "team" / "a.tar.gz", 2.0)
            team = ModelSource("team", multi=True)
            await it.ask(team, "a.tar.gz")
            (it.models / "team" / "a.tar.gz").unlink()
            assert is_answer(await it.ask(team, "a.tar.gz"), 2.0)
            it.host.cache.drop(it.host.cache.loaded[0].key)
            with pytest.raises(ModelNotFound):
                await it.ask(team, "a.tar.gz")

    run(test())


def test_a_changed_folder_is_picked_up_on_the_next_load(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path, HostLimits(2**30, idle_s=60.0)) as it:
            put_model(it.models / "a", 1.0)
            source = ModelSource("a")
            await it.ask(source)
            put_model(it.models / "a", 2.0)
            assert is_answer(await it.ask(source), 1.0)
            it.clock.advance(61)
            it.host.sweep()
            assert it.loaded() == []
            assert is_answer(await it.ask(source), 2.0)

    run(test())


def test_a_folder_that_became_an_archive_is_picked_up_on_the_next_load(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a", 1.0)
            source = ModelSource("a")
            replica = it.host.single(source)
            await replica.invoke(TWO_ROWS)
            shutil.rmtree(it.models / "a")
            put_archive(it.models / "a.tar.gz", 2.0)
            assert is_answer(await replica.invoke(TWO_ROWS), 1.0)
            it.host.cache.drop(replica.key())
            assert is_answer(await replica.invoke(TWO_ROWS), 2.0)

    run(test())


def test_a_mended_model_answers_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            (it.models / "a").mkdir()
            (it.models / "a" / "model.joblib").write_bytes(b"\x80\x04 this is no model")
            for _ in range(3):
                with pytest.raises(ModelFailure):
                    await it.ask(ModelSource("a"))
            assert it.observer.events == [("failed", "a")]
            put_model(it.models / "a", 2.0)
            assert is_answer(await it.ask(ModelSource("a")), 2.0)

    run(test())


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that not even root can read")
def test_files_that_cannot_be_read_are_a_fault_of_the_model(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            (it.models / "a").mkdir()
            (it.models / "a" / "model.joblib").symlink_to(
                "/proc/self/mem"
            )  # which nobody can read from its start
            for _ in range(2):
                with pytest.raises(ModelFailure, match="The files of model a cannot be read"):
                    await it.ask(ModelSource("a"))
            assert it.observer.events == [("failed", "a")]

    run(test())


# ---- let go, pinned, idle


def test_a_source_that_was_let_go_is_unloaded_and_looked_for_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a", 1.0)
            source = ModelSource("a")
            it.host.let_go(source)  # never located: nothing to do
            await it.ask(source)
            it.host.let_go(source)
            assert it.loaded() == []
            put_model(it.models / "a", 2.0)
            assert is_answer(await it.ask(source), 2.0)

    run(test())


def test_models_pinned_by_name_or_by_source_stay_when_memory_is_short(tmp_path: Path) -> None:
    async def test() -> None:
        limits = HostLimits(4 * SMALLEST_BYTES)
        async with house(tmp_path, limits, pinned=("by-name",)) as it:
            for name in ("by-name", "by-source", "c", "d", "e", "f"):
                put_model(it.models / name)
            it.host.pin_models([ModelSource("by-source"), ModelSource("missing")])
            for name in ("by-name", "by-source", "c", "d", "e", "f"):
                await it.ask(ModelSource(name))
            assert it.loaded()[:2] == ["by-name", "by-source"]
            it.host.pin_models([])
            for name in ("c", "d", "e", "f"):
                await it.ask(ModelSource(name))
            assert "by-name" in it.loaded()
            assert "by-source" not in it.loaded()

    run(test())


def test_where_a_loaded_model_lies_is_remembered_for_the_latest_ten_thousand_targets(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            for number in range(10_001):
                source = ModelSource("a", environment=(("N", str(number)),))
                it.host.locate(source, None)
            assert len(it.host._located) == 10_000

    run(test())


# ---- warming up


def test_warming_up_sends_the_example_request(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            await it.host.warm_up(ModelSource("a"))
            assert it.loaded() == ["a"]
            (it.models / "a" / "example.csv").write_text("1,2,3\n")
            with pytest.raises(BadPayload, match="3 features"):
                await it.host.warm_up(ModelSource("a"))
            with pytest.raises(ModelNotFound):
                await it.host.warm_up(ModelSource("b"))

    run(test())


# ---- closing


def test_after_closing_nothing_is_loaded_any_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with house(tmp_path) as it:
            put_model(it.models / "a")
            await it.ask(ModelSource("a"))
            await it.host.close()
            assert it.loaded() == []
            with pytest.raises(Unavailable):
                await it.ask(ModelSource("a"))

    run(test())


def test_a_model_with_code_of_its_own_is_in_another_process_and_loaded_anew_when_that_is_gone(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        with model_host() as containers:
            async with house(tmp_path, containers=containers) as it:
                folder = it.models / "a"
                folder.mkdir()
                (folder / "inference.py").write_text(
                    "import os\n"
                    "def model_fn(model_dir): return os.getpid()\n"
                    "def predict_fn(data, model): return [model, os.getpid()]\n"
                )
                loader, worker = json.loads((await it.ask(ModelSource("a"))).body)
                assert os.getpid() not in (loader, worker)
                (entry,) = it.host.cache.loaded
                assert entry.size_bytes >= SMALLEST_BYTES
                fork_server = psutil.Process(loader).parent()
                assert fork_server is not None
                fork_server.kill()
                await asyncio.to_thread(wait_until, lambda: not psutil.pid_exists(loader))
                again, _ = json.loads((await it.ask(ModelSource("a"))).body)
                assert again != loader

    run(test())


AT_ONCE = """
import os, time
from pathlib import Path

def model_fn(model_dir): return Path(os.environ["MARKS"])
def predict_fn(data, model):
    if (model / "go").exists():
        (model / str(os.getpid())).touch()
        while len(list(model.iterdir())) < 6: time.sleep(0.01)
    return 1
"""


@pytest.mark.parametrize("multi", [False, True])
def test_a_model_with_code_of_its_own_takes_a_call_in_each_of_its_processes(
    tmp_path: Path, multi: bool
) -> None:
    """However few calls other models take at once."""

    async def test() -> None:
        with model_host(workers=5) as containers:
            async with house(tmp_path, HostLimits(2**30, concurrency=1), containers=containers) as it:
                (it.models / "team" / "a").mkdir(parents=True)
                (it.models / "team" / "a" / "inference.py").write_text(AT_ONCE)
                (tmp_path / "marks").mkdir()
                environment = (("MARKS", str(tmp_path / "marks")),)
                source = ModelSource("team" if multi else "team/a", multi, environment)
                replica = it.host.single(source)
                call = Call(b"1", "text/csv", None, target_model="a" if multi else None)
                await replica.invoke(call)
                (tmp_path / "marks" / "go").touch()
                await asyncio.gather(*(replica.invoke(call) for _ in range(5)))
                assert len(list((tmp_path / "marks").iterdir())) == 6

    run(test())


def test_models_that_load_for_ever_in_containers_hold_up_no_other_model(tmp_path: Path) -> None:
    async def test(door: socket.socket, containers: Containers) -> None:
        async with house(tmp_path, containers=containers) as it:
            put_model(it.models / "quick")
            asking, loading = [], []
            for number in range(40):
                folder = it.models / f"slow{number}"
                folder.mkdir()
                (folder / "inference.py").write_text("a host would run this")
                asking.append(asyncio.create_task(it.ask(ModelSource(folder.name))))
            for _ in asking:
                loading.append((await asyncio.to_thread(door.accept))[0])
            assert is_answer(await it.ask(ModelSource("quick")), 1.0)
            for connection in loading:
                connection.close()
            await asyncio.wait(asking)

    with TemporaryDirectory(prefix="sagebird-") as name, socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{name}/{DOOR}")
        door.listen(64)
        run(test(door, Containers(Path(name), 1, 60.0)))


# ---- estimates


def test_the_estimate_counts_model_files_as_large_as_they_are_unpacked(tmp_path: Path) -> None:
    model = LogisticRegression().fit(np.eye(400), np.arange(400) % 40)
    joblib.dump(model, tmp_path / "plain.joblib")
    joblib.dump(model, tmp_path / "packed.pkl", compress=3)
    (tmp_path / "notes.txt").write_bytes(b"x" * 2**20)
    (tmp_path / "folder.joblib").mkdir()
    plain, packed = (tmp_path / name for name in ("plain.joblib", "packed.pkl"))

    unpacked = len(zlib.decompress(packed.read_bytes()))
    assert estimate_bytes(tmp_path, 2**30, (".joblib", ".pkl")) == plain.stat().st_size + unpacked


def test_the_estimate_is_never_less_than_any_model_counts(tmp_path: Path) -> None:
    (tmp_path / "empty.pkl").touch()

    assert estimate_bytes(tmp_path, 2**30, (".joblib", ".pkl")) == SMALLEST_BYTES
