"""Keeps one gateway in step with the store: swaps its directory, has models warmed up, reports on it."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from service.domain.endpoint import Endpoint, EndpointStatus, ModelSource, WarmState
from service.domain.kinds import Kind
from service.errors import SagebirdError
from service.hosting.host import Host, HostedModel
from service.invoke.directory import EMPTY, Directory, next_directory
from service.invoke.newest import Newest
from service.invoke.variant_log import PrintingSources
from service.invoke.warming import Warming
from service.log import Trouble, get_logger
from service.observe.counts import Registry
from service.store.members import RENEW_S, GatewayReport, ModelReport
from service.store.store import Delta, Store

LOOK_S = 0.2
"""Seconds between two looks at the store while nothing happens; a change is everywhere within 1 s."""

QUICK_LOOK_S = 0.03
"""Seconds between two looks for a while after a change: one change seldom comes alone."""

QUICK_FOR_S = 3.0
_RECOGNIZED = 100  # so much of a reason is enough to know it again, where it was cut
_SETTLE_LOOK_S = 0.01
_RETRY_S = 1.0
_MOST_FAILED = 100  # models in a report
_MOST_NOTE_CHARS = 1000
_LONGEST_REST_S = 0.5
_BUSY_SHARE = 4  # a look is followed by a rest that many times as long, if the store is slow


@dataclass(frozen=True, slots=True)
class _Problem:
    """What does not answer as declared; a settled one has failed and waits for nothing but a new try."""

    sentence: str
    settled: bool


class Follower:
    """Follows the store on behalf of one gateway process."""

    def __init__(
        self, store: Store, host: Host, registry: Registry, member: str, newest: Newest | None = None
    ) -> None:
        """`member` is the name of the gateway in its family, which shares `newest`."""
        self.directory: Directory = EMPTY
        self._store = store
        self._host = host
        self._registry = registry
        self._member = member
        self._newest = Newest() if newest is None else newest
        self._blind_until_s = 0.0  # on the event loop's clock
        self._warming = Warming(host)
        self._reported: GatewayReport | None = None
        self._following = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._was_ready = False
        self._printing: tuple[Directory, PrintingSources] | None = None
        self._renew_at_s = 0.0  # on the event loop's clock
        self._quick_until_s = 0.0  # on the event loop's clock
        self._log = get_logger("sagebird.gateway")
        self._trouble = Trouble(self._log, "store cannot be followed, calls are answered as before")

    async def run(self) -> None:
        """Follow until cancelled; a look that fails is logged and tried again."""
        clock = asyncio.get_running_loop().time
        next_look_s = next_retry_s = clock()
        while True:
            begun_s = clock()
            try:
                await self.look(quick=begun_s < next_look_s)
                if begun_s >= next_retry_s:
                    next_retry_s = begun_s + _RETRY_S
                    self._warming.retry_failed()
                    self._host.sweep()
                    await self._host.look_at_files()
                self._trouble.end()
            except SagebirdError as error:  # the store is locked, full or away: it may come back
                self._trouble.meet(error.message)
            except Exception:  # the edge of a loop that must outlive one bad look
                self._log.exception("could not follow the store")
            if begun_s >= next_look_s:
                next_look_s = begun_s + LOOK_S
            await self._rest(clock() - begun_s)

    async def begin(self) -> None:
        """Read the endpoints, and report if that can be done: calls are answered either way."""
        await self.catch_up()
        try:
            await self.look()
        except SagebirdError as error:
            self._trouble.meet(error.message)

    async def look(self, *, quick: bool = False) -> None:
        """Look at the store once: follow a new revision, then report what changed.

        A `quick` look leaves out to see which models are loaded.
        """
        async with self._looking:  # reports must be written in the order in which they were made
            await self.catch_up()
            directory = self.directory
            models = self._reported.models if quick and self._reported is not None else self._models()
            states = tuple(self._warming.reports(directory.unsettled.values()))
            report = GatewayReport(self._member, directory.revision, states, models)
            if report != self._reported:
                await self._report(report)
            elif asyncio.get_running_loop().time() >= self._renew_at_s:
                await self._renew(report)

    async def _report(self, report: GatewayReport) -> None:
        await asyncio.to_thread(self._store.report, report)
        self._reported = report
        self._renew_at_s = asyncio.get_running_loop().time() + RENEW_S

    async def _renew(self, report: GatewayReport) -> None:
        """Show that this gateway lives; whoever thought that it did not has forgotten its report."""
        if not await asyncio.to_thread(self._store.renew, self._member):
            await asyncio.to_thread(self._store.report, report)
        self._renew_at_s = asyncio.get_running_loop().time() + RENEW_S

    async def catch_up(self) -> None:
        """Have the directory show at least what the store holds at this moment."""
        async with self._following:
            seen = self.directory.revision
            delta = await asyncio.to_thread(self._store.changes_since, seen, (Kind.ENDPOINT,))
            if self.directory.revision == seen != delta.revision:  # else `keep_up` has read it since
                self._follow(delta)

    def keep_up(self) -> None:
        """Be as new as every other gateway of the family; call it before answering.

        The store is read at once, as an exception: only another gateway that has just gone over is a reason.
        """
        if self._newest.revision <= self.directory.revision:
            return
        now_s = asyncio.get_running_loop().time()
        if now_s < self._blind_until_s:
            return
        try:
            delta = self._store.changes_since(self.directory.revision, (Kind.ENDPOINT,))
            if delta.revision != self.directory.revision:
                self._follow(delta)
        except SagebirdError:  # the store is away: the next look tells
            self._blind_until_s = now_s + LOOK_S

    async def warm(self) -> None:
        """Wait until everything that is being warmed up has answered or failed."""
        await self._warming.wait()

    async def settle(self) -> None:
        """Warm up, and wait until the keeper has noted it: calls must not meet what is declared but not up.

        An endpoint that the API makes is waited for by who makes it. The keeper notes nothing while the store
        cannot be written.
        """
        await self.warm()
        while not self._trouble.met and (
            self._reported is None
            or any(
                endpoint.heals and endpoint.status is EndpointStatus.CREATING
                for endpoint in self.directory.unsettled.values()
            )
        ):
            try:
                await self.look(quick=True)
            except SagebirdError as error:
                self._trouble.meet(error.message)
            except Exception:  # as in `run`: one bad look must not end it
                self._log.exception("could not follow the store")
            await asyncio.sleep(_SETTLE_LOOK_S)

    async def close(self) -> None:
        """Stop warming up; replicas that are warm stay."""
        await self._warming.close()

    def problems(self) -> list[str]:
        """What does not answer as declared, one sentence each; empty when all does."""
        return [problem.sentence for problem in self._problems_of_all()]

    def pending(self) -> list[str]:
        """What keeps this gateway from being ready: declared endpoints that are neither up nor failed yet.

        Once there was none, there is none any more: readiness is the server's, not that of each endpoint.
        """
        if not self._was_ready:
            found = [problem.sentence for problem in self._problems_of_all() if not problem.settled]
            if found:
                return found
            self._was_ready = True
        return []

    def default_problems(self) -> list[str]:
        """What keeps the default endpoint from answering, one sentence each; empty if there is none."""
        default = self.directory.endpoints.get(self.directory.default or "")
        return [problem.sentence for problem in self._problems([] if default is None else [default])]

    def statuses(self) -> dict[str, str]:
        """The status of every endpoint, by name."""
        return {name: str(endpoint.status) for name, endpoint in self.directory.endpoints.items()}

    def log_places(self, source: ModelSource) -> list[str]:
        """Where is kept what a source prints, for all endpoints that have it. From any thread."""
        directory = self.directory
        known = self._printing
        if known is None or known[0] is not directory:
            known = self._printing = (directory, PrintingSources(directory.endpoints.values()))
        return known[1].places(source)

    def _problems_of_all(self) -> list[_Problem]:
        names = self._warming.cold_endpoints() | self.directory.unsettled.keys()
        return self._problems(self.directory.endpoints[name] for name in sorted(names))

    def _problems(self, endpoints: Iterable[Endpoint]) -> list[_Problem]:
        if self.directory is EMPTY:
            return [_Problem("The endpoints are not read yet.", settled=False)]
        return [problem for endpoint in endpoints for problem in self._problems_of(endpoint)]

    def _problems_of(self, endpoint: Endpoint) -> Iterator[_Problem]:
        """A declared endpoint has to be there; one that was made by the API speaks for itself.

        Of the latter only what it served before a restart counts, until it was tried once.
        """
        told = ""
        if endpoint.heals and endpoint.status in (EndpointStatus.CREATING, EndpointStatus.FAILED):
            told = (endpoint.failure_reason or "").rstrip(".")
            sentence = f"Endpoint {endpoint.name} is {endpoint.status}{f': {told}' if told else ''}."
            yield _Problem(sentence, settled=endpoint.status is EndpointStatus.FAILED)
        # While an update is being prepared, the fleet that serves is the one that counts.
        fleet = endpoint.serving or (endpoint.pending if endpoint.heals else None)
        cold = (WarmState.LOADING, WarmState.FAILED) if endpoint.heals else (WarmState.LOADING,)
        for report in self._warming.reports([endpoint]):
            if fleet is not None and report.generation == fleet.generation and report.state in cold:
                variant = f"Variant {report.variant} of endpoint {endpoint.name}"
                failed = report.state is WarmState.FAILED
                if failed and report.reason[:_RECOGNIZED] in told:
                    continue
                yield _Problem(f"{variant} is {report.state}: {report.reason}", settled=failed)

    def _models(self) -> tuple[ModelReport, ...]:
        hosted = self._host.models()
        loaded = [_report(model) for model in hosted if model.loaded]
        failed = [_report(model) for model in hosted if not model.loaded]
        return tuple(sorted([*loaded, *failed[:_MOST_FAILED]], key=lambda report: report.name))

    def _follow(self, delta: Delta) -> None:
        before = self.directory
        after = self.directory = next_directory(before, delta, self._host.replica, self._registry)
        names = {resource.name for resource in delta.changed if resource.kind is Kind.ENDPOINT}
        names |= {name for kind, name in delta.removed if kind is Kind.ENDPOINT}
        if delta.complete:
            names |= before.endpoints.keys()
        if names:
            self._newest.note(after.revision)
        self._warming.follow(
            (name, before.endpoints.get(name), after.endpoints.get(name)) for name in sorted(names)
        )
        for name, location in before.registered.items():
            if after.registered.get(name) != location:
                self._warming.let_go(ModelSource(location))
        self._quick_until_s = asyncio.get_running_loop().time() + QUICK_FOR_S

    async def _rest(self, look_s: float) -> None:
        """Rest until the next look is due or a warm-up has ended, but leave a slow store in peace."""
        await asyncio.sleep(max(QUICK_LOOK_S, min(_BUSY_SHARE * look_s, _LONGEST_REST_S)))
        if asyncio.get_running_loop().time() >= self._quick_until_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S - QUICK_LOOK_S):
                    await self._warming.news.wait()
        self._warming.news.clear()


def _report(model: HostedModel) -> ModelReport:
    if model.loaded:
        return ModelReport(model.name, model.path, "loaded", model.size_bytes, model.description, model.notes)
    notes = tuple(note[:_MOST_NOTE_CHARS] for note in model.notes)
    return ModelReport(model.name, model.path, "loading" if model.loading else "failed", 0, "", notes)
