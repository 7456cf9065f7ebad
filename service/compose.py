"""The only place that builds and joins objects; one function per role."""

import asyncio
import os
import random
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service import log
from service.accepting import Balance
from service.arn import Arns
from service.asgi import App
from service.clock import SystemClock
from service.container.app import create_app
from service.container.face import InvocationsFace
from service.container.management import create_router
from service.control.declaration import Declaration, DeclaredVariant
from service.control.declared import DeclaredFile, apply_declaration
from service.control.reconcile import reconcile
from service.errors import ModelFault, SagebirdError, StartupError
from service.fastpath import fast_protocol
from service.hosting.artifact import ArtifactStore, Limits
from service.hosting.compiled import Verdict
from service.hosting.flavours.preload import preload, reseed
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.memory import keep_big_arrays_apart
from service.hosting.model import LoadedModel
from service.hosting.source import ModelKey
from service.invoke.catalogue import Catalogue
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.registered import RegisteredModels
from service.observe.counts import Gauges, Registry
from service.observe.exposition import CONTENT_TYPE, render
from service.server import Server
from service.settings import Settings
from service.startup import address, check_folders, listen, only_one
from service.store.store import Store
from service.supervisor import Role, Supervisor
from service.web.control import ControlFace
from service.web.cors import allow_origins
from service.web.gateway import Gateway
from service.web.pages import create_pages
from service.web.runtime import RuntimeFace

CONTAINER_ENDPOINT = "model"
"""The endpoint that the container role serves its one model behind."""

_KEEPER_LOOK_S = 0.2
_FLUSH_S = 0.5
# How long a thread that burns CPU in Python (a model being loaded, user code) may keep the event loop
# waiting. Each system call of a request waits anew: with Python's own 5 ms a request takes tens of them.
_SWITCH_S = 0.0005
_SAGEMAKER_MODELS = Path("/opt/ml/models")


def serve(settings: Settings, announce: Callable[[str], None]) -> int:
    """The server: gateways and a keeper, until SIGTERM; returns the exit code.

    `announce` is told the address.

    Raises:
        StartupError: it can never start so.
    """
    check_folders(settings)
    with only_one(settings.data), listen(settings.host, settings.port) as listener:
        _prepare_state(settings, lambda store: declared_file(settings, store).apply())
        announce(address(listener))
        return _supervise(settings, listener, container=False)


def contain(
    settings: Settings, environment: dict[str, str], multi_model: bool, announce: Callable[[str], None]
) -> int:
    """The SageMaker container contract alone, over `settings.models`.

    Its state lives no longer than the process.

    Raises:
        StartupError: it can never start so.
    """
    with tempfile.TemporaryDirectory(prefix="sagebird-") as data:
        settings = settings.model_copy(update={"data": Path(data)})
        check_folders(settings)
        declaration = Declaration({}) if multi_model else _container_declaration(settings.models, environment)
        with listen(settings.host, settings.port) as listener:
            arns, clock = Arns(settings.account, settings.region), SystemClock()
            _prepare_state(settings, lambda store: apply_declaration(declaration, store, arns, clock))
            announce(address(listener))
            return _supervise(settings, listener, container=True)


def work(settings: Settings) -> int:
    """The batch worker: waits for jobs until SIGTERM. There are none yet."""
    del settings
    stop = _stop_event()
    log.get_logger("sagebird.worker").info("worker is idle: batch transform jobs are not served yet")
    stop.wait()
    return 0


def declared_file(settings: Settings, store: Store) -> DeclaredFile:
    """The endpoints file, joined to the store."""
    arns = Arns(settings.account, settings.region)
    return DeclaredFile(settings.endpoints_file, settings.models, store, arns, SystemClock())


def run_keeper(settings: Settings, parent_pid: int, watch_file: bool) -> int:
    """Follow the endpoints file and settle endpoints until SIGTERM, or until the parent is gone."""
    stop = _stop_event()
    store = Store(settings.data / "state.db")
    arns, clock = Arns(settings.account, settings.region), SystemClock()
    declared = declared_file(settings, store)
    logger = log.get_logger("sagebird.keeper")
    while not stop.wait(_KEEPER_LOOK_S) and os.getppid() == parent_pid:
        try:
            if watch_file:
                declared.look()
            reconcile(store, arns, clock, _is_alive)
        except Exception:  # the edge of a loop that must outlive one bad look
            logger.exception("keeper could not do its round")
    store.close()
    return 0


@dataclass(frozen=True, slots=True)
class GatewayPlace:
    """What tells one gateway process from the others of its family, and what it shares with them."""

    listener: socket.socket
    balance: Balance
    number: int
    parent_pid: int
    container: bool

    @property
    def slot(self) -> str:
        """Its name."""
        return f"gateway-{self.number}"


def run_gateway(settings: Settings, place: GatewayPlace) -> int:
    """One gateway process, until SIGTERM or until the parent is gone."""
    keep_big_arrays_apart()
    reseed()
    sys.setswitchinterval(_SWITCH_S)
    try:
        import uvloop  # not on every platform

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_gateway(settings, place))


async def _gateway(settings: Settings, place: GatewayPlace) -> int:
    parts = build_gateway(settings, place.slot, place.container)
    protocol = fast_protocol(parts.gateway, settings.max_body_bytes) if settings.fast_path else None
    balance = (place.balance, place.number) if settings.gateways > 1 else None
    server = Server(parts.app, settings.drain_s, parts.begin_draining, protocol, balance=balance)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.stop)
    await parts.follower.look()
    tasks = [
        asyncio.create_task(parts.follower.run()),
        asyncio.create_task(_flush_metrics(parts.registry)),
        asyncio.create_task(_leave_with_parent(place.parent_pid, server)),
    ]
    with_grace = asyncio.wait([asyncio.create_task(parts.follower.warm())], timeout=settings.warmup_grace_s)
    await with_grace  # calls wait in the socket's queue meanwhile, instead of on a model
    await server.serve([place.listener])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await parts.follower.close()
    await asyncio.to_thread(parts.registry.flush)
    await parts.host.close()
    parts.store.close()
    return 0


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What one gateway process is made of."""

    store: Store
    registry: Registry
    host: InlineHost
    follower: Follower
    gateway: Gateway
    app: App

    def begin_draining(self) -> None:
        """Have every answer close its connection."""
        self.gateway.draining = True


def build_gateway(settings: Settings, slot: str, container: bool) -> GatewayParts:
    """Build one gateway's parts and join them. Must be called on its event loop."""
    store = Store(settings.data / "state.db")
    registry = Registry(settings.data / "metrics", slot)
    limits = HostLimits(
        settings.gateway_memory_bytes,
        settings.model_timeout_s,
        settings.model_concurrency,
        settings.model_queue,
        settings.model_idle_s,
        settings.compile,
    )
    observer = _HostObserver(registry)
    host = InlineHost(
        _artifacts(settings), limits, SystemClock(), observer, settings.pinned_models, observer.compiled
    )
    registry.watch_gauges(lambda: _gauges(host, limits))
    follower = Follower(store, host, registry, os.getpid())
    predictor = Predictor(
        lambda: follower.directory,
        random.Random().random,  # noqa: S311 - shares traffic out, keeps no secret
        registry,
        Arns(settings.account, settings.region),
        follower.catch_up,
    )
    gateway = _faces(settings, store, registry, host, follower, predictor, container)
    app = allow_origins(gateway, settings.cors_origins) if settings.cors_origins else gateway
    return GatewayParts(store, registry, host, follower, gateway, app)


def _faces(
    settings: Settings,
    store: Store,
    registry: Registry,
    host: InlineHost,
    follower: Follower,
    predictor: Predictor,
    container: bool,
) -> Gateway:
    registered = RegisteredModels(store, host, lambda: follower.directory)
    router = create_router(registered, follower.default_problems, settings.max_body_bytes)
    invocations = InvocationsFace(predictor, settings.max_body_bytes)
    if container:
        pages: App = create_app(router)
        return Gateway(pages, invocations, pages, pages, answer_now=invocations.answer_now)
    catalogue = Catalogue(store, host, settings.models)
    people = create_pages(
        lambda: catalogue.endpoints(follower.directory),
        catalogue.models,
        follower.problems,
        lambda: (render(settings.data / "metrics", registry), CONTENT_TYPE),
    )
    people.include_router(router)
    runtime = RuntimeFace(predictor, settings.max_body_bytes)
    return Gateway(
        runtime,
        invocations,
        ControlFace(),
        people,
        invoke_now=runtime.invoke_now,
        answer_now=invocations.answer_now,
    )


class _HostObserver:
    """Tells the metrics and the log what happens to models."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._log = log.get_logger("sagebird.models")

    def loaded(self, key: ModelKey, seconds: float, model: LoadedModel) -> None:
        self._registry.count_load(key.name, "loaded", seconds)
        self._log.info("model loaded", model=key.name, ms=round(seconds * 1e3), bytes=model.size_bytes)
        for warning in model.warnings:
            self._log.warning("model may be off", model=key.name, reason=warning)

    def compiled(self, key: ModelKey, verdict: Verdict) -> None:
        self._log.info(
            "model compiled" if verdict.compiled else "model not compiled", model=key.name, **_speeds(verdict)
        )

    def failed(self, key: ModelKey, seconds: float, fault: ModelFault) -> None:
        self._registry.count_load(key.name, "failed", seconds)
        self._log.warning("model not loaded", model=key.name, reason=fault.message[:1000])

    def evicted(self, key: ModelKey, reason: str) -> None:
        self._registry.count_eviction(key.name, reason)
        self._log.info("model unloaded", model=key.name, reason=reason)


def _speeds(verdict: Verdict) -> dict[str, str]:
    """What came of compiling, and microseconds per row before and after, one row at a time."""
    fields = {
        f"{method}_us": f"{measured[0][1] * 1e6:.0f} -> {measured[0][2] * 1e6:.0f}"
        for method, measured in verdict.speeds.items()
    }
    return fields | ({"reason": "; ".join(verdict.reasons)} if verdict.reasons else {})


def _gauges(host: InlineHost, limits: HostLimits) -> Gauges:
    return Gauges(host.cache.held_bytes, limits.budget_bytes, len(host.cache.loaded), host.cache.in_use)


def _artifacts(settings: Settings) -> ArtifactStore:
    roots = [settings.models, settings.data, *([_SAGEMAKER_MODELS] if _SAGEMAKER_MODELS.is_dir() else [])]
    limits = Limits(settings.archive_max_bytes, settings.archive_max_members, settings.archive_max_ratio)
    return ArtifactStore(roots, settings.data / "unpacked", limits)


async def _flush_metrics(registry: Registry) -> None:
    logger = log.get_logger("sagebird.gateway")
    while True:
        await asyncio.sleep(_FLUSH_S)
        try:
            await asyncio.to_thread(registry.flush)
        except OSError as error:
            logger.warning("metrics not written", reason=str(error))


async def _leave_with_parent(parent_pid: int, server: Server) -> None:
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing tells a process that its parent went
        await asyncio.sleep(1.0)
    server.stop()


def _supervise(settings: Settings, listener: socket.socket, *, container: bool) -> int:
    """Fork the family and keep it alive."""
    preload()
    parent = os.getpid()

    balance = Balance(settings.gateways)

    def gateway(number: int) -> Role:
        place = GatewayPlace(listener, balance, number, parent, container)
        return Role(place.slot, lambda: run_gateway(settings, place))

    def keeper() -> int:
        listener.close()  # it takes no calls, and must not hold the port when the others are gone
        return run_keeper(settings, parent, watch_file=not container)

    roles = [gateway(number) for number in range(settings.gateways)]
    roles.append(Role("keeper", keeper))
    # Closed here too, or clients that connect while the gateways drain would wait for nobody.
    return Supervisor(roles, settings.drain_s, listener.close).run()


def _prepare_state(settings: Settings, declare: Callable[[Store], object]) -> None:
    """Start from a clean slate where one is due, then declare.

    The store is closed again: children open their own.
    """
    for file in (settings.data / "metrics").glob("*"):
        file.unlink()
    store = Store(settings.data / "state.db")
    try:
        for gateway in store.gateways():
            store.forget_gateway(gateway.pid)
        declare(store)
    except SagebirdError as error:
        raise StartupError(error.message) from None
    finally:
        store.close()


def _container_declaration(model_dir: Path, environment: dict[str, str]) -> Declaration:
    variant = DeclaredVariant("AllTraffic", model_dir, False, 1.0, False, False, environment)
    return Declaration({CONTAINER_ENDPOINT: (variant,)}, CONTAINER_ENDPOINT)


def _stop_event() -> threading.Event:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    return stop


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
