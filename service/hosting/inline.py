"""The host that runs models inside the process that takes the calls."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from service.clock import Clock
from service.domain.endpoint import ModelSource
from service.domain.image import named_image
from service.errors import ModelFault
from service.hosting.artifact_loads import ArtifactSource
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.examples import example_call
from service.hosting.cache.cache import ModelCache
from service.hosting.cache.compiler import Compiler, CompilingObserver
from service.hosting.cache.entry import Entry
from service.hosting.cache.freshness import Freshness
from service.hosting.cache.source import ModelKey, Observer
from service.hosting.calls.replica import CallLimits, InlineReplica
from service.hosting.calls.serial import SerialReplica, said_of
from service.hosting.container_card import ContainerCard
from service.hosting.containers.opener import Containers
from service.hosting.host import Call, HostedModel, Interface, Model, Replica, joined_interface
from service.hosting.programs.compiled import Verdict
from service.hosting.runtimes.runtime import Runtime
from service.hosting.runtimes.table import RUNTIMES, Loading, endings_of
from service.s3uri import parse_s3_uri

_LOAD_THREADS = 512  # most wait for containers that load, which may take minutes
_CALL_THREADS = 256
_MAX_LOCATED = 10_000
_MAX_NAME_CHARS = 1024  # of a TargetModel. Source: the shape of the API
# The programs of one model may hold so much of the memory for models: they are copies of its trees.
_PROGRAMS_PART = 8


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What one host may use: bytes of models, seconds per call, calls at once and in line per model."""

    budget_bytes: int
    timeout_s: float = 60.0
    concurrency: int = 4
    queue: int = 1000
    idle_s: float = 0.0
    compile: bool = False


class InlineHost:
    """Gives out replicas that share one cache of models, and keeps house. Belongs to one event loop."""

    def __init__(
        self,
        artifacts: ArtifactStore,
        limits: HostLimits,
        clock: Clock,
        observer: Observer,
        pinned: Iterable[str] = (),
        compiled: Callable[[ModelKey, Verdict], None] = lambda _key, _verdict: None,
        runtimes: Sequence[Runtime] = RUNTIMES,
        containers: Containers | None = None,
        log_places: Callable[[ModelSource], Sequence[str]] = lambda _source: (),
    ) -> None:
        """`pinned` names models that are never evicted; `compiled` is told what came of compiling each.

        `runtimes` are those that may load a model; `containers` run what has code of its own, and what a
        source prints is kept at its `log_places`.
        """
        self._log_places = log_places
        self._artifacts = artifacts
        self._endings = endings_of(runtimes)
        self._call_limits = CallLimits(limits.timeout_s, limits.concurrency, limits.queue)
        self._pinned_names = frozenset(pinned)
        self._pinned_keys: set[ModelKey] = set()
        self._located: OrderedDict[tuple[ModelSource, str | None], ModelKey] = OrderedDict()
        self._loaders = ThreadPoolExecutor(_LOAD_THREADS, thread_name_prefix="load")
        self._callers = ThreadPoolExecutor(_CALL_THREADS, thread_name_prefix="call")
        self.compiler = Compiler(self._example, compiled)
        most_program_bytes = limits.budget_bytes // _PROGRAMS_PART if limits.compile else 0
        self._loading = Loading(limits.budget_bytes, most_program_bytes, containers, runtimes)
        source = self._source = ArtifactSource(artifacts, self._loading, self._places_of)
        self.freshness = Freshness(source.version)
        self.cache = ModelCache(
            source,
            limits.budget_bytes,
            self._loaders,
            clock,
            CompilingObserver(observer, self._consider),
            idle_s=limits.idle_s,
            keep=self._keeps,
            concurrency=limits.concurrency,
            queue=limits.queue,
        )

    def replica(self, source: ModelSource) -> Replica:
        """A replica of this source; cheap, loads nothing."""
        if source.stages:
            return SerialReplica(source, list(map(self.single, source.parts)), self._call_limits.timeout_s)
        return self.single(source)

    def single(self, source: ModelSource) -> InlineReplica:
        """A replica of a source that is no pipeline."""
        afar = self._artifacts.is_afar(source.location)
        return InlineReplica(source, self.locate, self.cache, self._callers, self._call_limits, afar=afar)

    def locate(self, source: ModelSource, target_model: str | None, *, asking: bool = True) -> ModelKey:
        """The files that a call uses; see ArtifactStore.resolve.

        They are not looked up again while their model is loaded: it keeps answering when its archive is
        deleted, as SageMaker's does (contract A.7).

        Raises:
            ModelNotFound: nothing there, or a name that leads out of the folder.
        """
        known = self._located.get((source, target_model))
        if known is not None and self.cache.is_loaded(known):
            self._located.move_to_end((source, target_model))
            return known
        key = ModelKey(
            self._path_of(source, target_model, asking=asking),
            source.environment,
            source.version,
            self._loading.image_that_counts(source.image),
            _address(source, target_model),
            source.limits,
        )
        if target_model is not None and len(target_model) > _MAX_NAME_CHARS:
            return key
        self._located[source, target_model] = key
        if len(self._located) > _MAX_LOCATED:
            self._located.popitem(last=False)
        return key

    def interface_of(self, source: ModelSource, target_model: str | None = None) -> Interface | None:
        """What a source's model takes and gives, while it is loaded; any thread may ask."""
        if source.stages:
            stages = [self.interface_of(part, target_model if part.multi else None) for part in source.parts]
            return None if source.direct else joined_interface(stages[0], stages[-1])
        key = self._located.get((source, target_model))
        entry = None if key is None else self.cache.peek(key)
        model = None if entry is None else entry.peek()
        found = None if model is None else model.interface()
        return None if entry is None or found is None else replace(found, shown=entry.shown)

    def containers(self) -> list[ContainerCard]:
        """See Host."""
        there = self._loading.containers
        return [] if there is None else there.cards()

    def models(self) -> list[HostedModel]:
        """The models that are loaded, least recently used first, that load for long, or whose load failed."""
        loaded = [
            HostedModel(
                entry.key.name,
                str(entry.key.path),
                True,
                entry.size_bytes,
                entry.model.traits.description,
                (*entry.notes, *self.freshness.notes(entry.key, entry.version)),
            )
            for entry in self.cache.loaded
        ]
        notes = dict(self._source.notes)
        loading = [
            HostedModel(key.name, str(key.path), False, notes=(note,), loading=True)
            for key, note in notes.items()
        ]
        failed = [
            HostedModel(key.name, str(key.path), False, notes=(fault.message,))
            for key, fault in self.cache.failures()
            if key not in notes
        ]
        return [*loaded, *loading, *failed]

    def path_of(self, source: ModelSource, *, asking: bool = False) -> Path:
        """The folder or archive of a source, an empty one where it has none. Raises ModelNotFound."""
        if not source.location:
            return self._artifacts.nothing()
        return self._artifacts.resolve(source.location, asking=asking)

    def _path_of(self, source: ModelSource, target_model: str | None, *, asking: bool) -> Path:
        # AWS's notebooks write /one.tar.gz as well: the name follows the prefix.
        name = (target_model or "").lstrip("/")
        if source.multi and name and self._artifacts.is_afar(source.location):  # of thousands this one alone
            return self._artifacts.resolve(f"{source.location.rstrip('/')}/{name}", asking=asking)
        folder = self.path_of(source, asking=asking)
        return self._artifacts.resolve(name, within=folder) if source.multi else folder

    def path_below(self, folder: Path, name: str) -> Path | None:
        """The folder or archive that a target name stands for, None if there is none."""
        try:
            return self._artifacts.resolve(name, within=folder)
        except ModelFault:
            return None

    def names_below(self, folder: Path) -> list[str]:
        """The models that can be called below a folder, scanned now."""
        return self._artifacts.list_models(folder, self._endings)

    def pin_models(self, sources: Iterable[ModelSource]) -> None:
        """Keep exactly the models of these sources loaded, besides those pinned by name."""
        keys = set()
        for source in sources:
            try:
                keys.add(self.locate(source, None, asking=False))
            except ModelFault:
                continue  # it answers for itself when it is called
        self._pinned_keys = keys

    def let_go(self, source: ModelSource) -> None:
        """Unload a source's model once nobody uses it; the next call looks for its files anew."""
        key = self._located.pop((source, None), None)
        if key is not None:
            self.cache.drop(key)

    async def warm_up(self, source: ModelSource) -> None:
        """Load a source's model and have it answer its example request, if it has one. Raises ModelFault."""
        if not source.stages:
            await self._warm_up(source)
        for stage in source.stages:
            if not stage.source.multi:
                try:
                    await self._warm_up(stage.source)
                except ModelFault as fault:
                    raise said_of(stage.name, fault) from fault.__cause__

    async def _warm_up(self, source: ModelSource) -> None:
        replica = self.single(source)
        path = (await replica.found()).path
        call = await asyncio.get_running_loop().run_in_executor(self._loaders, example_call, path)
        await replica.warm_up(call)

    def sweep(self) -> None:
        """Keep house; call it about once a second."""
        for entry in self.cache.loaded:
            self._look_at_process(entry)
        self.cache.sweep()

    async def look_at_files(self) -> None:
        """See whether the files of some loaded models were changed."""
        loaded = [(entry.key, entry.version) for entry in self.cache.loaded]
        await asyncio.to_thread(self.freshness.look, sorted(loaded, key=lambda each: str(each[0].path)))

    async def close(self) -> None:
        """Unload everything. Threads in which a model still answers are left to the end of the process."""
        await self.compiler.close()
        await self.cache.close()
        self._source.close()
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._callers.shutdown(wait=False, cancel_futures=True)

    def _look_at_process(self, entry: Entry) -> None:
        """Take in what a model holds that is in another process, or that it is gone."""
        model = entry.peek()
        elsewhere = None if model is None else model.traits.elsewhere
        if elsewhere is None:
            return
        size_bytes = elsewhere.look()
        if size_bytes is None:
            self.cache.drop(entry.key, "gone")
        else:
            self.cache.resize(entry, size_bytes)

    def _consider(self, key: ModelKey, model: Model) -> None:
        self.compiler.consider(self.cache, key, model)

    def _example(self, key: ModelKey) -> Call | None:
        try:
            return example_call(self._artifacts.open(key.path))
        except (ModelFault, OSError):  # it was there when the model was loaded
            return None

    def _places_of(self, key: ModelKey) -> list[str]:
        sources = {source for (source, _), known in [*self._located.items()] if known == key}
        return [place for source in sources for place in self._log_places(source)]

    def _keeps(self, key: ModelKey) -> bool:
        return key in self._pinned_keys or key.name in self._pinned_names


def _address(source: ModelSource, target_model: str | None) -> str:
    """What a model in a bucket or in an image is called by, "" for one below the models folder."""
    if not source.location:
        return named_image(source.image)
    if parse_s3_uri(source.location) is None:
        return ""
    below = f"{source.location.rstrip('/')}/{(target_model or '').lstrip('/')}"
    return below if source.multi else source.location


def names_of_models(
    artifacts: ArtifactStore, folder: Path, runtimes: Sequence[Runtime] = RUNTIMES
) -> list[str]:
    """The models below a folder that the runtimes load, scanned now. Raises ModelNotFound, ModelFailure."""
    return artifacts.list_models(folder, endings_of(runtimes))
