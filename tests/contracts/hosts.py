"""The hosts that the contract suite runs on: each opened over a folder of models, closed at the end."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from service.clock import SystemClock
from service.errors import ModelFault
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.cache.source import ModelKey
from service.hosting.containers.opener import Containers
from service.hosting.host import Host, Model
from service.hosting.inline import HostLimits, InlineHost


@dataclass(frozen=True)
class Bounds:
    """What a host of the suite may use, in words that any host understands."""

    models_bytes: int = 2**30
    timeout_s: float = 60.0
    concurrency: int = 4
    queue: int = 1000
    containers: Containers | None = None


class _Nobody:
    def loaded(self, key: ModelKey, seconds: float, model: Model) -> None:
        """Nobody is told."""

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        """Nobody is told."""

    def evicted(self, key: ModelKey, reason: str) -> None:
        """Nobody is told."""


@asynccontextmanager
async def inline(models: Path, bounds: Bounds) -> AsyncIterator[Host]:
    """The host that runs models in the process of the tests."""
    artifacts = ArtifactStore([models], models.parent / "unpacked", Limits(2**30, 1000, 100.0))
    limits = HostLimits(bounds.models_bytes, bounds.timeout_s, bounds.concurrency, bounds.queue)
    containers = None if bounds.containers is None else replace(bounds.containers, timeout_s=bounds.timeout_s)
    host = InlineHost(artifacts, limits, SystemClock(), _Nobody(), containers=containers)
    try:
        yield host
    finally:
        await host.close()


OpenHost = Callable[[Path, Bounds], AbstractAsyncContextManager[Host]]

HOSTS: Mapping[str, OpenHost] = MappingProxyType({"inline": inline})
