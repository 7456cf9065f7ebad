"""Keeps one gateway in step with the store: swaps its directory, warms models up, reports how that went."""

import asyncio
from collections.abc import Iterable, Mapping

from service.domain.endpoint import Endpoint, EndpointStatus, ModelSource, WarmReport, WarmState
from service.errors import ModelFault
from service.hosting.inline import InlineHost
from service.invoke.directory import EMPTY, Directory, build_directory
from service.log import get_logger
from service.observe.counts import Registry
from service.store.store import GatewayReport, ModelReport, Store

LOOK_S = 0.2
"""Seconds between two looks at the store's revision; a change is everywhere within 1 s."""

_RETRY_LOOKS = 5
_WarmKey = tuple[str, int, str]


class Follower:
    """Follows the store on behalf of one gateway process."""

    def __init__(self, store: Store, host: InlineHost, registry: Registry, pid: int) -> None:
        self.directory: Directory = EMPTY
        self._store = store
        self._host = host
        self._registry = registry
        self._pid = pid
        self._sources: Mapping[_WarmKey, ModelSource] = {}
        self._states: dict[_WarmKey, WarmReport] = {}
        self._warming: dict[_WarmKey, asyncio.Task[None]] = {}
        self._reported: GatewayReport | None = None
        self._following = asyncio.Lock()
        self._log = get_logger("sagebird.gateway")

    async def run(self) -> None:
        """Follow until cancelled; a look that fails is logged and tried again."""
        looks = 0
        while True:
            try:
                await self.look()
                if looks % _RETRY_LOOKS == 0:
                    self._retry_failed()
                    self._host.sweep()
            except Exception:  # the edge of a loop that must outlive one bad look
                self._log.exception("could not follow the store")
            looks += 1
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look at the store once: follow a new revision, then report what changed."""
        await self.catch_up()
        states = tuple(self._states.values())
        report = GatewayReport(self._pid, self.directory.revision, states, self._models())
        if report != self._reported:
            await asyncio.to_thread(self._store.report, report)
            self._reported = report

    async def catch_up(self) -> None:
        """Have the directory show at least what the store holds at this moment."""
        async with self._following:
            revision = await asyncio.to_thread(self._store.revision)
            if revision != self.directory.revision:
                await self._follow()

    async def warm(self) -> None:
        """Wait until everything that is being warmed up has answered or failed."""
        while self._warming:
            await asyncio.wait(list(self._warming.values()))

    async def close(self) -> None:
        """Stop warming up."""
        for task in self._warming.values():
            task.cancel()
        await asyncio.gather(*self._warming.values(), return_exceptions=True)

    def problems(self) -> list[str]:
        """What keeps this gateway from being ready, one sentence each; empty when it is ready."""
        return self._problems(self.directory.endpoints.values())

    def default_problems(self) -> list[str]:
        """What keeps the default endpoint from answering, one sentence each; empty if there is none."""
        default = self.directory.endpoints.get(self.directory.default or "")
        return self._problems([] if default is None else [default])

    def _problems(self, endpoints: Iterable[Endpoint]) -> list[str]:
        if self.directory is EMPTY:
            return ["The endpoints are not read yet."]
        problems = []
        for endpoint in endpoints:
            if endpoint.status in (EndpointStatus.CREATING, EndpointStatus.FAILED):
                reason = f": {endpoint.failure_reason}" if endpoint.failure_reason else ""
                problems.append(f"Endpoint {endpoint.name} is {endpoint.status}{reason}.")
            # While an update is being prepared, the fleet that serves is the one that counts.
            fleet = endpoint.active or endpoint.pending
            for (name, generation, variant), report in self._states.items():
                counts = fleet is not None and (name, generation) == (endpoint.name, fleet.generation)
                if counts and report.state is not WarmState.WARM:
                    problems.append(
                        f"Variant {variant} of endpoint {name} is {report.state}: {report.reason}"
                    )
        return problems

    def _models(self) -> tuple[ModelReport, ...]:
        loaded = [
            ModelReport(
                entry.key.name,
                str(entry.key.path),
                "loaded",
                entry.size_bytes,
                entry.model.description,
                tuple(entry.model.warnings),
            )
            for entry in self._host.cache.loaded
        ]
        failed = [
            ModelReport(key.name, str(key.path), "failed", 0, "", (fault.message[:1000],))
            for key, fault in self._host.cache.failures()
        ]
        return tuple(sorted([*loaded, *failed[:100]], key=lambda report: report.name))

    async def _follow(self) -> None:
        snapshot = await asyncio.to_thread(self._store.snapshot)
        before = self.directory
        self.directory = build_directory(snapshot, self._host.replica, self._registry)
        wanted = self._sources = {
            (endpoint.name, fleet.generation, variant.name): variant.source
            for endpoint, fleet in self.directory.fleets()
            for variant in fleet.variants
            if variant.eager
        }
        for key in [key for key in self._states if key not in wanted]:
            del self._states[key]
            if key in self._warming:
                self._warming[key].cancel()
        for key in wanted:
            if key not in self._states:
                self._begin_warming(key)
        self._host.pin_models(
            variant.source
            for _, fleet in self.directory.fleets()
            for variant in fleet.variants
            if variant.pin and not variant.source.multi
        )
        self._let_go(before)

    def _let_go(self, before: Directory) -> None:
        """Unload, once nobody uses them, the models that no endpoint names any more."""
        still = {variant.source for _, fleet in self.directory.fleets() for variant in fleet.variants}
        gone = {variant.source for _, fleet in before.fleets() for variant in fleet.variants} - still
        gone |= {
            ModelSource(location)
            for name, location in before.registered.items()
            if self.directory.registered.get(name) != location
        }
        for source in gone:
            if not source.multi:
                self._host.let_go(source)

    def _begin_warming(self, key: _WarmKey) -> None:
        name, generation, variant = key
        self._states.setdefault(key, WarmReport(name, generation, variant, WarmState.LOADING, "being loaded"))
        task = asyncio.create_task(self._warm_up(key, self._sources[key]))
        self._warming[key] = task
        task.add_done_callback(lambda _: self._warming.pop(key, None))

    async def _warm_up(self, key: _WarmKey, source: ModelSource) -> None:
        name, generation, variant_name = key
        state, reason = WarmState.WARM, ""
        try:
            await self._host.warm_up(source)
        except ModelFault as fault:
            state, reason = WarmState.FAILED, fault.message
        except Exception as error:  # the edge to user code
            self._log.exception("warm-up failed", endpoint=name, variant=variant_name)
            state, reason = WarmState.FAILED, repr(error)
        if key in self._states:
            self._states[key] = WarmReport(name, generation, variant_name, state, reason[:1000])

    def _retry_failed(self) -> None:
        for key, report in self._states.items():
            if report.state is WarmState.FAILED and key not in self._warming:
                self._begin_warming(key)
