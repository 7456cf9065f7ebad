import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.clock import ManualClock
from service.domain.endpoint import Endpoint, EndpointStatus, Fleet, ModelSource, Stage, Variant, WarmState
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.containers.opener import Containers
from service.hosting.inline import HostLimits, InlineHost
from service.invoke.warming import Warming
from tests.conftest import copy_sample
from tests.invoke.conftest import Quiet

# Loads when it is told to, and notes each time that it answers.
_PATIENT = """
import pathlib, time

def model_fn(folder):
    while not (pathlib.Path(folder) / "go").exists():
        time.sleep(0.01)
    return folder

def transform_fn(folder, body, content_type, accept):
    with open(pathlib.Path(folder).parent / "answers", "a") as file:
        file.write("x")
    return body, "text/csv"
"""


class House:
    """A host, what warms its models up, and a folder of models."""

    def __init__(self, folder: Path, containers: Containers) -> None:
        self.models = folder / "models"
        self.models.mkdir()
        for name in ("iris-logistic", "iris-forest"):
            copy_sample(name, self.models / name)
        (self.models / "broken").mkdir()
        (self.models / "broken" / "model.joblib").write_bytes(b"no model")
        (self.models / "patient").mkdir()
        (self.models / "patient" / "inference.py").write_text(_PATIENT)
        (self.models / "patient" / "example.csv").write_text("1")
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        artifacts = ArtifactStore([self.models], folder / "unpacked", Limits(2**30, 1000, 100.0))
        limits = HostLimits(2**30, idle_s=60.0)
        self.host = InlineHost(artifacts, limits, self.clock, Quiet(), containers=containers)
        self.warming = Warming(self.host)
        self.endpoints: dict[str, Endpoint] = {}

    def put(self, *endpoints: Endpoint) -> None:
        changes = [(endpoint.name, self.endpoints.get(endpoint.name), endpoint) for endpoint in endpoints]
        self.endpoints |= {endpoint.name: endpoint for endpoint in endpoints}
        self.warming.follow(changes)

    def remove(self, *names: str) -> None:
        self.warming.follow([(name, self.endpoints.pop(name), None) for name in names])

    def states(self) -> dict[tuple[str, int, str], WarmState]:
        return {
            (report.endpoint, report.generation, report.variant): report.state
            for report in self.warming.reports(self.endpoints.values())
        }

    def loaded(self) -> set[str]:
        return {entry.key.path.name for entry in self.host.cache.loaded}

    def variant(self, model: str, **options: Any) -> Variant:
        return Variant(model, 1.0, ModelSource((self.models / model).as_uri()), **options)

    def pipeline(self, name: str, *models: str, **options: Any) -> Variant:
        stages = (Stage(model, ModelSource((self.models / model).as_uri())) for model in models)
        return Variant(name, 1.0, ModelSource("", stages=tuple(stages)), **options)

    def answers(self) -> int:
        file = self.models / "answers"
        return len(file.read_text()) if file.exists() else 0


@asynccontextmanager
async def house(folder: Path, containers: Containers) -> AsyncIterator[House]:
    made = House(folder, containers)
    try:
        yield made
    finally:
        (made.models / "patient" / "go").touch()  # nothing waits for ever
        await made.warming.close()
        await made.host.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def endpoint(name: str, *variants: Variant, generation: int = 1) -> Endpoint:
    return Endpoint(
        name, EndpointStatus.IN_SERVICE, Fleet("config", generation, variants), generation=generation
    )


def test_each_eager_variant_is_warmed_up_and_reported(tmp_path: Path, containers: Containers) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            lazy, broken = it.variant("iris-forest", lazy=True), it.variant("broken")
            it.put(endpoint("one", it.variant("iris-logistic"), lazy), endpoint("two", broken))
            assert set(it.states().values()) == {WarmState.LOADING}
            assert it.warming.cold_endpoints() == {"one", "two"}
            await it.warming.wait()
            assert it.states() == {
                ("one", 1, "iris-logistic"): WarmState.WARM,
                ("two", 1, "broken"): WarmState.FAILED,
            }
            assert it.warming.cold_endpoints() == {"two"}
            (report,) = it.warming.reports([it.endpoints["two"]])
            assert "cannot be read" in report.reason
            assert it.loaded() == {"iris-logistic"}

    run(test())


def test_endpoints_with_the_same_model_share_one_warm_up(tmp_path: Path, containers: Containers) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(*(endpoint(f"e{number}", it.variant("patient")) for number in range(2000)))
            (it.models / "patient" / "go").touch()
            await it.warming.wait()
            assert set(it.states().values()) == {WarmState.WARM}
            assert len(it.states()) == 2000
            assert it.answers() == 1

    run(test())


def test_the_end_of_a_warm_up_is_news(tmp_path: Path, containers: Containers) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("patient")))
            assert not it.warming.news.is_set()
            (it.models / "patient" / "go").touch()
            await it.warming.news.wait()
            assert set(it.states().values()) == {WarmState.WARM}

    run(test())


def test_another_generation_is_warmed_up_anew_and_the_last_one_is_no_longer_spoken_of(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("iris-logistic")))
            await it.warming.wait()
            it.put(endpoint("one", it.variant("iris-logistic"), generation=2))
            assert it.states() == {("one", 2, "iris-logistic"): WarmState.LOADING}
            await it.warming.wait()
            assert it.states() == {("one", 2, "iris-logistic"): WarmState.WARM}

    run(test())


def test_the_same_fleet_again_is_not_warmed_up_again(tmp_path: Path, containers: Containers) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("iris-logistic")))
            await it.warming.wait()
            it.put(endpoint("one", it.variant("iris-logistic")))
            assert it.states() == {("one", 1, "iris-logistic"): WarmState.WARM}

    run(test())


def test_an_endpoint_that_goes_while_it_is_warmed_up_and_comes_back_gets_warm(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("patient")))
            await asyncio.sleep(0)
            it.remove("one")
            assert it.warming.cold_endpoints() == set()
            it.put(endpoint("one", it.variant("patient"), generation=2))
            for _ in range(20):  # the warm-up that was cancelled ends meanwhile
                await asyncio.sleep(0)
            (it.models / "patient" / "go").touch()
            await it.warming.wait()
            assert it.states() == {("one", 2, "patient"): WarmState.WARM}

    run(test())


def test_a_model_is_let_go_when_the_last_endpoint_that_names_it_is_gone(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            shared, own = it.variant("iris-logistic"), it.variant("iris-forest")
            it.put(endpoint("one", shared, own), endpoint("two", shared))
            await it.warming.wait()
            it.remove("one")
            assert it.loaded() == {"iris-logistic"}
            it.warming.let_go(shared.source)
            assert it.loaded() == {"iris-logistic"}
            it.put(endpoint("two", own, generation=2))
            await it.warming.wait()
            assert it.loaded() == {"iris-forest"}

    run(test())


def test_the_models_of_a_deleted_endpoint_are_let_go(tmp_path: Path, containers: Containers) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("iris-logistic")))
            await it.warming.wait()
            it.put(it.endpoints["one"].remove(5))
            assert (it.loaded(), it.states()) == (set(), {})
            it.remove("one")
            assert it.states() == {}

    run(test())


def test_pinned_models_stay_pinned_whatever_other_endpoints_do(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("iris-logistic", pin=True)))
            it.put(endpoint("two", it.variant("iris-forest", pin=True)))
            it.remove("two")
            it.put(endpoint("three", it.variant("iris-forest")))
            await it.warming.wait()
            assert it.loaded() == {"iris-logistic", "iris-forest"}
            it.clock.advance(120.0)
            it.host.sweep()
            assert it.loaded() == {"iris-logistic"}

    run(test())


def test_what_failed_says_so_until_it_was_mended(tmp_path: Path, containers: Containers) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            it.put(endpoint("one", it.variant("broken")))
            await it.warming.wait()
            shutil.copy(it.models / "iris-logistic" / "model.joblib", it.models / "broken" / "model.joblib")
            while it.warming.cold_endpoints():
                it.warming.retry_failed()
                assert set(it.states().values()) == {WarmState.FAILED}
                await it.warming.wait()
            assert set(it.states().values()) == {WarmState.WARM}

    run(test())


def test_a_pipeline_keeps_and_lets_go_each_of_its_models_and_names_the_one_that_failed(
    tmp_path: Path, containers: Containers
) -> None:
    async def test() -> None:
        async with house(tmp_path, containers) as it:
            both = it.pipeline("p", "iris-logistic", "iris-forest", pin=True)
            it.put(
                endpoint("line", both),
                endpoint("alone", it.variant("iris-forest")),
                endpoint("bad", it.pipeline("p", "iris-logistic", "broken")),
            )
            await it.warming.wait()
            assert it.states()["line", 1, "p"] is WarmState.WARM
            (report,) = it.warming.reports([it.endpoints["bad"]])
            assert report.reason.startswith("broken: ")
            it.clock.advance(1000.0)
            it.host.sweep()
            assert it.loaded() == {"iris-logistic", "iris-forest"}
            it.remove("line", "bad")
            assert it.loaded() == {"iris-forest"}

    run(test())
