"""Models of the artifact store, made ready to be loaded."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore

from service.errors import ModelFailure
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.submitted import fingerprint, open_code
from service.hosting.artifacts.unpacked import estimate_bytes
from service.hosting.cache.freshness import version_to_load
from service.hosting.cache.source import ModelKey
from service.hosting.environments.asked import EnvironmentSpec
from service.hosting.environments.making import Making
from service.hosting.host import Model
from service.hosting.runtimes.runtime import Contents, Runtime
from service.hosting.runtimes.schema_file import with_schema
from service.hosting.runtimes.table import Loading, choose_runtime, endings_of, read_contents

_LOADS_HERE = 32  # at a time, in this process
_MOST_MEASURED = 10_000


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A model whose files lie there: what it is, how large, and what it needs before it is loaded."""

    name: str
    contents: Contents
    runtime: Runtime
    estimate_bytes: int
    asked: EnvironmentSpec | None
    making: Making | None
    end: Callable[[], object]
    few: AbstractContextManager[object]  # who loads in this process

    @property
    def version(self) -> str:
        """That of its files."""
        return self.contents.version

    async def get_ready(self) -> None:
        """Wait until there is an environment for it. Raises ModelFault."""
        if self.asked is None or self.making is None:
            return
        try:
            await self.making.wait_for(self.asked, self.contents.tell)
        except BaseException:
            self.end()
            raise

    def load(self) -> Model:
        """Load it, here or into its container. Raises ModelFault."""
        try:
            with read_faults(self.name), self.few:
                return with_schema(self.runtime.load(self.contents), self.contents.folder)
        finally:
            self.end()


class ArtifactSource:
    """Models from the artifact store."""

    def __init__(
        self, artifacts: ArtifactStore, loading: Loading, log_places: Callable[[ModelKey], Sequence[str]]
    ) -> None:
        self._artifacts = artifacts
        self._loading = loading
        self._log_places = log_places
        environments = None if loading.containers is None else loading.containers.environments
        self._making = None if environments is None else Making(environments)
        self._endings = endings_of(loading.runtimes)
        self._measured: dict[tuple[str, str], int] = {}
        self._few = BoundedSemaphore(_LOADS_HERE)
        self.notes: dict[ModelKey, str] = {}
        """How loads go that take long."""

    def prepare(self, key: ModelKey) -> PreparedModel:
        """Find and unpack its files, and choose its runtime. Raises ModelFault."""
        version = version_to_load(partial(self.version, key), key.version)
        with read_faults(key.name):
            folder = self._artifacts.open(key.path)
            environment = dict(key.environment)
            code = open_code(self._artifacts, environment)
            contents = replace(
                read_contents(folder, environment, self._loading, code, version, key.image, key.path),
                tell=partial(self.notes.__setitem__, key),
                startup_s=key.limits.startup_s,
                called=key.name,
            )
            if contents.containers is not None:
                places = partial(self._log_places, key)
                contents = replace(contents, containers=contents.containers.printing_at(places))
            runtime = choose_runtime(contents, self._loading.runtimes)
            size_bytes = self._estimate(folder, version, runtime)
            asked, making, end = contents.lacking(), self._making, partial(self.notes.pop, key, None)
            few = nullcontext() if runtime.shared else self._few
            return PreparedModel(key.name, contents, runtime, size_bytes, asked, making, end, few)

    def close(self) -> None:
        """Wait for no environment any more."""
        if self._making is not None:
            self._making.close()

    def _estimate(self, folder: Path, version: str, runtime: Runtime) -> int:
        """Measured once for each version: a model that was too large is not unpacked anew at each try."""
        known = self._measured.get((str(folder), version))
        if known is None:
            known = estimate_bytes(folder, self._loading.most_file_bytes, self._endings)
            if len(self._measured) >= _MOST_MEASURED:
                self._measured.clear()
            self._measured[str(folder), version] = known
        containers = self._loading.containers
        return known if containers is None else containers.part_of(known, contained=runtime.shared)

    def version(self, key: ModelKey) -> str:
        """What changes with the files of a model and its code."""
        return fingerprint(self._artifacts, key.path, dict(key.environment))


@contextmanager
def read_faults(name: str) -> Iterator[None]:
    """Word what the file system refuses, so that it is remembered like any other failed load."""
    try:
        yield
    except OSError as error:
        raise ModelFailure(f"The files of model {name} cannot be read: {error}.") from error
