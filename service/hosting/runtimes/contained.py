"""Models with code of their own: each in a container, a process that this one only calls."""

import weakref

from service.errors import ModelFailure
from service.hosting.artifacts.requirements import missing_requirements
from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.lease import Lease
from service.hosting.containers.line import CallLine
from service.hosting.containers.opener import Containers
from service.hosting.footprint import SMALLEST_BYTES
from service.hosting.host import Answer, Call, Interface, Traits
from service.hosting.runtimes.interface import interface_of
from service.hosting.runtimes.runtime import Contents
from service.media.tables import HeaderUse


class _OtherProcess:
    """A container, as the event loop sees it."""

    def __init__(self, lease: Lease, sharers: int) -> None:
        self._lease = lease
        self._sharers = sharers
        self._line = CallLine(lease.address, lease.workers)

    async def ask(self, call: Call) -> Answer:
        """Answer one call. Raises ModelUnreachable, ModelFault."""
        return await self._line.ask(call)

    def look(self) -> int | None:
        """Memory that counts for this process by now; None once the container is gone."""
        return max(self._lease.size_bytes // self._sharers, SMALLEST_BYTES) if self._lease.look() else None


class ContainedModel:
    """A model in a container. It stands as long as this object is alive."""

    def __init__(
        self, contents: Contents, containers: Containers, lease: Lease, warnings: tuple[str, ...]
    ) -> None:
        self._address = lease.address
        self._timeout_s = containers.timeout_s
        self._interface = interface_of(lease.loaded.interface, scripted=True)
        loaded = lease.loaded
        headers = _headers(frozenset(loaded.functions))
        columns = tuple(column.name for column in self._interface.columns) or None
        name = loaded.kind if contents.script is None else contents.script.name
        self.traits = Traits(
            f"{name}: {', '.join(loaded.functions)}" if loaded.functions else name,
            max(lease.size_bytes // containers.sharers, SMALLEST_BYTES),
            scripted=True,
            warnings=(*warnings, *loaded.warnings),
            default_accept=contents.default_accept,
            headers=headers,
            columns=columns if headers is HeaderUse.KNOWN else None,
            elsewhere=_OtherProcess(lease, containers.sharers),
        )
        weakref.finalize(self, lease.close)

    def answer(self, call: Call) -> Answer:
        """Have it answer a call, which this thread waits for. Raises ModelFault."""
        return ask_blocking(self._address, call, self._timeout_s)

    def interface(self) -> Interface:
        """What the object takes and gives that was loaded, as far as it is an estimator."""
        return self._interface


def load(contents: Contents) -> ContainedModel:
    """Have the model's container stand. Raises ModelFault."""
    containers = contents.containers
    if containers is None:
        raise ModelFailure("this model has code of its own, and nothing here runs such code")
    warnings = missing_requirements(contents.code_dirs)
    lease = containers.open(
        contents.folder, contents.version, contents.environment, contents.script, contents.code_dirs
    )
    return ContainedModel(contents, containers, lease, warnings)


def _headers(functions: frozenset[str]) -> HeaderUse:
    """Who reads the header line of a CSV: built-in code, by names, only for a model that it asks itself."""
    own = functions & {"input_fn", "predict_fn", "transform_fn"}
    return HeaderUse.GIVEN if own else HeaderUse.KNOWN
