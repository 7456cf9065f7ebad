"""Models compiled in the background of a host: when, how often, and what is served meanwhile and after."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from service.clock import ManualClock
from service.domain.endpoint import ModelSource
from service.errors import ModelFault
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.cache.source import ModelKey
from service.hosting.host import Call, Model
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.programs import table as programs
from service.hosting.programs.compiled import Verdict
from service.native import kernels

HANG_S = 60.0
_ROWS, _LABELS = make_classification(200, 4, random_state=0)
_BODY = "\n".join(",".join(map(str, row)) for row in _ROWS[:9].tolist()).encode()
_CALL = Call(_BODY, "text/csv", "application/json; output=predicted_label")


class _Observer:
    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""


class _House:
    def __init__(self, folder: Path, limits: HostLimits) -> None:
        self.models = folder / "models"
        self.told: list[tuple[str, Verdict]] = []
        artifacts = ArtifactStore([self.models], folder / "unpacked", Limits(2**30, 1000, 100.0))
        clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.host = InlineHost(artifacts, limits, clock, _Observer(), (), self._tell)

    def put(self, name: str, estimator: Any) -> ModelSource:
        folder = self.models / name
        folder.mkdir(parents=True, exist_ok=True)
        joblib.dump(estimator.fit(_ROWS, _LABELS), folder / "model.joblib")
        return ModelSource(str(folder))

    async def ask(self, source: ModelSource) -> bytes:
        return (await self.host.single(source).invoke(_CALL)).body

    def description(self, name: str) -> str:
        (entry,) = (entry for entry in self.host.cache.loaded if entry.key.name == name)
        return entry.model.traits.description

    def _tell(self, key: ModelKey, verdict: Verdict) -> None:
        self.told.append((key.name, verdict))


@asynccontextmanager
async def _house(folder: Path, limits: HostLimits) -> AsyncIterator[_House]:
    made = _House(folder, limits)
    try:
        yield made
    finally:
        await made.host.close()
    assert made.host.cache.held_bytes == 0


def _run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, HANG_S))


_LIMITS = HostLimits(2**30, compile=True)
_FOREST = RandomForestClassifier(20, random_state=0)


def test_a_model_answers_the_same_before_and_after_it_is_compiled(tmp_path: Path) -> None:
    async def run() -> None:
        async with _house(tmp_path, _LIMITS) as house:
            source = house.put("forest", _FOREST)
            before = await house.ask(source)
            await house.host.compiler.settle()
            assert [(name, verdict.compiled) for name, verdict in house.told] == [
                ("forest", ("predict", "predict_proba"))
            ]
            assert house.description("forest") == (
                "RandomForestClassifier (scikit-learn); compiled: predict, predict_proba"
            )
            assert await house.ask(source) == before
            assert house.host.cache.in_use == 0

    _run(run())


def test_nothing_is_compiled_while_the_host_has_other_things_to_do(tmp_path: Path) -> None:
    async def run() -> None:
        async with _house(tmp_path, _LIMITS) as house:
            house.host.compiler.pause()
            await house.ask(house.put("forest", _FOREST))
            settling = asyncio.create_task(house.host.compiler.settle())
            for _ in range(10):
                await asyncio.sleep(0)  # a turn of the loop: it takes two to have the model in use
            assert house.host.cache.in_use == 0
            assert not settling.done()
            house.host.compiler.resume()
            await settling
            assert len(house.told) == 1

    _run(run())


def test_what_a_model_costs_is_measured_anew_once_it_is_compiled(tmp_path: Path) -> None:
    async def run() -> None:
        async with _house(tmp_path, _LIMITS) as house:
            source = house.put("forest", _FOREST)
            await house.ask(source)
            await house.host.compiler.settle()
            (entry,) = house.host.cache.loaded
            assert not entry.is_measured(len(_BODY))
            await house.ask(source)
            assert entry.is_measured(len(_BODY))

    _run(run())


def test_a_model_without_a_program_says_so_and_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with _house(tmp_path, _LIMITS) as house:
            source = house.put("neighbours", KNeighborsClassifier())
            before = await house.ask(source)
            await house.host.compiler.settle()
            assert house.description("neighbours") == (
                "KNeighborsClassifier (scikit-learn); "
                "not compiled: there is no program for KNeighborsClassifier"
            )
            assert await house.ask(source) == before

    _run(run())


@pytest.mark.parametrize("how", ["host", "model"])
def test_it_can_be_switched_off_for_all_and_for_one(tmp_path: Path, how: str) -> None:
    async def run() -> None:
        async with _house(tmp_path, HostLimits(2**30) if how == "host" else _LIMITS) as house:
            source = house.put("forest", _FOREST)
            if how == "model":
                source = ModelSource(source.location, environment=(("SAGEBIRD_COMPILE", "off"),))
            await house.ask(source)
            await house.host.compiler.settle()
            assert house.told == []
            assert house.description("forest") == "RandomForestClassifier (scikit-learn)"

    _run(run())


def test_the_same_files_are_checked_once_however_often_they_are_loaded(tmp_path: Path) -> None:
    async def run() -> None:
        async with _house(tmp_path, _LIMITS) as house:
            source = house.put("forest", _FOREST)
            for _ in range(3):
                await house.ask(source)
                await house.host.compiler.settle()
                assert "; compiled: predict" in house.description("forest")
                house.host.let_go(source)
            assert len(house.told) == 1
            house.put("forest", RandomForestClassifier(21, random_state=0))
            await house.ask(source)
            await house.host.compiler.settle()
            assert len(house.told) == 2

    _run(run())


def test_programs_count_as_memory_of_their_model(tmp_path: Path) -> None:
    async def run() -> None:
        sizes = []
        for limits in (HostLimits(2**30), _LIMITS):
            async with _house(tmp_path, limits) as house:
                await house.ask(house.put("forest", _FOREST))
                sizes.append(house.host.cache.held_bytes)
        trees = [tree.tree_ for tree in _FOREST.estimators_]
        nodes = sum(tree.node_count for tree in trees)
        held = nodes * (16 + 8 * 2)
        if kernels is None:
            places = sum(2 ** max(tree.max_depth, 3) for tree in trees)  # of the tables for many rows
            held = nodes * (64 + 8 * 2) + places * (12 + 8 * 2)
        assert sizes[1] - sizes[0] == held

    _run(run())


def test_programs_that_could_not_be_made_count_no_longer(tmp_path: Path) -> None:
    async def run() -> None:
        sizes = []
        for limits in (HostLimits(2**30), _LIMITS):
            async with _house(tmp_path, limits) as house:
                await house.ask(house.put("boosted", AdaBoostClassifier(n_estimators=3, random_state=0)))
                await house.host.compiler.settle()
                sizes.append(house.host.cache.held_bytes)
                assert not any(verdict.compiled for _, verdict in house.told)
        assert sizes[0] == sizes[1]

    _run(run())


def test_programs_that_would_take_too_much_of_the_memory_are_not_made(tmp_path: Path) -> None:
    async def run() -> None:
        forest = RandomForestClassifier(60, random_state=0).fit(_ROWS, _LABELS)
        need_bytes = programs.size_bytes(forest)
        for budget_bytes, said in (
            (8 * need_bytes - 1, "its programs would hold"),
            (8 * need_bytes, "; compiled"),
        ):
            async with _house(tmp_path, HostLimits(budget_bytes, compile=True)) as house:
                await house.ask(house.put("forest", forest))
                await house.host.compiler.settle()
                assert said in house.description("forest")

    _run(run())


def test_many_calls_at_once_get_the_answers_that_each_would_get(tmp_path: Path) -> None:
    async def run() -> None:
        async with _house(tmp_path, _LIMITS) as house:
            source = house.put("neighbours", KNeighborsClassifier())
            replica = house.host.single(source)
            bodies = [",".join(map(str, row)).encode() for row in _ROWS[:60].tolist()]
            expected = KNeighborsClassifier().fit(_ROWS, _LABELS).predict(_ROWS[:60])
            for _ in range(2):
                answers = await asyncio.gather(*(replica.invoke(Call(b, "text/csv", None)) for b in bodies))
                found = np.array([int(answer.body[1:-1]) for answer in answers])
                np.testing.assert_array_equal(found, expected)
                await house.host.compiler.settle()
            assert house.host.cache.in_use == 0

    _run(run())
