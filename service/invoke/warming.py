"""What endpoints need of the host: models warmed up, pinned and let go; and how each warm-up went."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from service.domain.endpoint import Endpoint, ModelSource, Variant, WarmReport, WarmState
from service.errors import ModelFault
from service.hosting.host import Host
from service.invoke.directory import fleets_of
from service.log import get_logger

_MAX_REASON_CHARS = 1000
_Key = tuple[int, str]
EndpointChange = tuple[str, Endpoint | None, Endpoint | None]
"""An endpoint's name, what it was, and what it is; None where there is none."""


@dataclass(slots=True, eq=False)
class _Warmth:
    """How warm one eager variant of one generation of an endpoint is."""

    endpoint: str
    generation: int
    variant: str
    source: ModelSource
    state: WarmState = WarmState.LOADING
    reason: str = "being loaded"

    def report(self) -> WarmReport:
        return WarmReport(self.endpoint, self.generation, self.variant, self.state, self.reason)


class Warming:
    """Has one host follow the endpoints; a change costs as much as the endpoints that it touches.

    Variants with the same source share one model and so one warm-up. `news` is set whenever one has ended.
    """

    def __init__(self, host: Host) -> None:
        self.news = asyncio.Event()
        self._host = host
        self._warmths: dict[str, dict[_Key, _Warmth]] = {}
        self._cold: set[_Warmth] = set()
        self._sharers: dict[ModelSource, set[_Warmth]] = {}
        self._tasks: dict[ModelSource, asyncio.Task[None]] = {}
        self._users: Counter[ModelSource] = Counter()
        self._pinned: dict[str, list[ModelSource]] = {}
        self._log = get_logger("sagebird.gateway")

    def follow(self, changes: Iterable[EndpointChange]) -> None:
        """Do what the host has to do for endpoints that changed.

        Models that no endpoint names any more are unloaded once nobody uses them.
        """
        changes = list(changes)
        gone = Counter(part for _, before, _ in changes for part in _parts(before))
        self._users.update(part for _, _, after in changes for part in _parts(after))
        self._users.subtract(gone)
        for name, _, after in changes:
            self._warm(name, after)
        self._pin(changes)
        for source in gone:
            if self._users[source] == 0:
                del self._users[source]
                self.let_go(source)

    def let_go(self, source: ModelSource) -> None:
        """Unload a model once nobody uses it, unless an endpoint names it."""
        if not source.multi and source not in self._users:
            self._host.let_go(source)

    def reports(self, endpoints: Iterable[Endpoint]) -> Iterator[WarmReport]:
        """How warm the eager variants of these endpoints are."""
        for endpoint in endpoints:
            for warmth in self._warmths.get(endpoint.name, {}).values():
                yield warmth.report()

    def cold_endpoints(self) -> set[str]:
        """Names of the endpoints that have a variant which is not warm."""
        return {warmth.endpoint for warmth in self._cold}

    def retry_failed(self) -> None:
        """Try again whatever failed, and say meanwhile that it did."""
        for source in {warmth.source for warmth in self._cold if warmth.state is WarmState.FAILED}:
            self._begin(source)

    async def wait(self) -> None:
        """Wait until everything that is being warmed up has answered or failed."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Stop warming up; replicas that are warm stay."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _warm(self, name: str, endpoint: Endpoint | None) -> None:
        wanted = {
            (fleet.generation, variant.name): variant.source
            for fleet in fleets_of(endpoint)
            for variant in fleet.variants
            if variant.eager
        }
        known = self._warmths.pop(name, {})
        kept = {key: warmth for key, warmth in known.items() if wanted.get(key) == warmth.source}
        new = {key: _Warmth(name, *key, source) for key, source in wanted.items() if key not in kept}
        for warmth in new.values():
            self._add(warmth)
        for key, warmth in known.items():
            if key not in kept:
                self._drop(warmth)
        if wanted:
            self._warmths[name] = kept | new

    def _add(self, warmth: _Warmth) -> None:
        self._sharers.setdefault(warmth.source, set()).add(warmth)
        self._cold.add(warmth)
        self._begin(warmth.source)

    def _drop(self, warmth: _Warmth) -> None:
        source = warmth.source
        self._cold.discard(warmth)
        self._sharers[source].discard(warmth)
        if not self._sharers[source]:
            del self._sharers[source]
            if source in self._tasks:
                self._tasks.pop(source).cancel()

    def _pin(self, changes: Iterable[EndpointChange]) -> None:
        touched = False
        for name, _, endpoint in changes:
            had = self._pinned.pop(name, None)
            pinned = [
                part
                for variant in _variants(endpoint)
                if variant.pin
                for part in variant.source.parts
                if not part.multi
            ]
            if pinned:
                self._pinned[name] = pinned
            touched |= bool(pinned or had)
        if touched:
            self._host.pin_models(chain.from_iterable(self._pinned.values()))

    def _begin(self, source: ModelSource) -> None:
        if source not in self._tasks:
            task = self._tasks[source] = asyncio.create_task(self._warm_up(source))
            task.add_done_callback(lambda done: self._end(source, done))

    def _end(self, source: ModelSource, task: asyncio.Task[None]) -> None:
        if self._tasks.get(source) is task:
            del self._tasks[source]

    async def _warm_up(self, source: ModelSource) -> None:
        state, reason = WarmState.WARM, ""
        try:
            await self._host.warm_up(source)
        except ModelFault as fault:
            said_of = f"{fault.container}: " if fault.container else ""
            state, reason = WarmState.FAILED, said_of + fault.message
        except Exception as error:  # the edge to a model's own code
            self._log.exception("warm-up failed", model=source.label)
            state, reason = WarmState.FAILED, repr(error)
        for warmth in self._sharers.get(source, ()):
            warmth.state, warmth.reason = state, reason[:_MAX_REASON_CHARS]
            if state is WarmState.WARM:
                self._cold.discard(warmth)
            else:
                self._cold.add(warmth)
        self.news.set()


def _parts(endpoint: Endpoint | None) -> list[ModelSource]:
    """What an endpoint has to have loaded, container by container."""
    return [part for variant in _variants(endpoint) for part in variant.source.parts]


def _variants(endpoint: Endpoint | None) -> list[Variant]:
    return [variant for fleet in fleets_of(endpoint) for variant in fleet.variants]
