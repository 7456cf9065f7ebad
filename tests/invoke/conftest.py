"""One gateway's parts over a real store and real files, without HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.control.declaration import read_declaration
from service.control.declared import apply_declaration
from service.control.reconcile import Reconciler
from service.control.resources import OperationContext
from service.domain.caller import Caller
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.cache.source import ModelKey
from service.hosting.containers.opener import Containers
from service.hosting.host import Model
from service.hosting.inline import HostLimits, InlineHost
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.observe.counts import Registry
from service.store.store import Store
from tests.conftest import copy_sample

CALLER = Caller("000000000000", "us-east-1")
CONTEXT = OperationContext(CALLER, SystemClock())
ROW = b"5.1,3.5,1.4,0.2"


class Quiet:
    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: Exception) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""


@dataclass
class World:
    """A gateway of pid 1 whose keeper settles when it is told to."""

    models: Path
    store: Store
    host: InlineHost
    registry: Registry
    follower: Follower
    draws: list[float]

    def declare(self, text: str) -> None:
        file = self.models / "endpoints.yaml"
        file.write_text(text)
        apply_declaration(read_declaration(file, self.models), self.store, CONTEXT)

    async def settle(self) -> None:
        """Until nothing moves any more: follow, warm up, report, reconcile."""
        for _ in range(3):
            await self.follower.look()
            await self.follower.warm()
            await self.follower.look()
            self.reconcile()
        await self.follower.look()

    def reconcile(self) -> None:
        """One round of the keeper."""
        Reconciler(self.store, CONTEXT, lambda member, beat: True).look()

    def predictor(self) -> Predictor:
        return Predictor(lambda: self.follower.directory, self.draws.pop, self.registry)


Open = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def world(tmp_path: Path, containers: Containers) -> Open:
    """Opens the world inside of a test's own event loop."""
    models = tmp_path / "models"
    for name in ("iris-logistic", "iris-forest"):
        copy_sample(name, models / name)
    (models / "broken").mkdir()
    (models / "broken" / "model.joblib").write_bytes(b"no model")

    @asynccontextmanager
    async def opened(store_class: type[Store] = Store) -> AsyncIterator[World]:
        store = store_class(tmp_path / "state.db")
        registry = Registry(tmp_path / "metrics", "gateway-0")
        artifacts = ArtifactStore([models], tmp_path / "unpacked", Limits(2**30, 1000, 100.0))
        host = InlineHost(artifacts, HostLimits(2**30), SystemClock(), Quiet(), containers=containers)
        follower = Follower(store, host, registry, "1")
        yield World(models, store, host, registry, follower, [])
        await follower.close()
        await host.close()
        store.close()

    return opened
