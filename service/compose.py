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
from functools import partial
from pathlib import Path

from service.arn import Arns
from service.clock import SystemClock
from service.control.declaration import Declaration, DeclaredVariant
from service.control.declared import DeclaredFile, apply_declaration
from service.control.reconcile import reconcile
from service.control.registry import SERVED
from service.control.resources import Resources
from service.control.transform_jobs import create_drop_job
from service.domain.transform.job import Drop
from service.errors import SagebirdError, StartupError, StateDamaged, StateUnreadable, Unavailable
from service.faces.aws.runtime import RuntimeFace
from service.faces.container.app import create_app
from service.faces.container.face import InvocationsFace
from service.faces.container.management import create_router
from service.faces.container.strays import answer_strays
from service.faces.front_door import Gateway
from service.faces.people.pages import create_pages
from service.hosting.artifacts.artifact import open_artifacts
from service.hosting.inline import HostLimits, InlineHost
from service.hosting.memory import importing, keep_big_arrays_apart, keep_trimmed, set_apart
from service.hosting.runtimes.preload import preload, reseed
from service.http.accepting import Balance, Place
from service.http.asgi import App, made_when_called
from service.http.door import keep_from_beginning
from service.http.edge import speaker
from service.http.guard import guard_of
from service.http.server import Server, behind_proxies
from service.invoke.catalogue import Catalogue
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.registered import RegisteredModels
from service.observe.counts import Gauges, Registry
from service.observe.exposition import CONTENT_TYPE, render
from service.observe.flushing import keep_flushed
from service.processes.control_plane import ControlPlane, context_of
from service.processes.desk import Desk
from service.processes.events import ModelEvents
from service.processes.keeper import Keeper
from service.processes.ready import Welcome
from service.processes.startup import address, begin, listen, only_one, reachable, say_where
from service.processes.supervisor import Role, Supervisor, is_alive
from service.settings import Settings
from service.store.migrate import check_whole, upgrade_tables
from service.store.store import Store
from service.wire.json_rpc import JsonRpcService
from service.wire.spec import load_service

CONTAINER_ENDPOINT = "model"
"""The endpoint that the container role serves its one model behind."""

_WORKER_DELAY_S = 1.0  # jobs can wait while gateways, which callers wait for, need the processors
# How long a thread that burns CPU in Python (a model being loaded, user code) may hold up the event loop.
# Each system call of a request waits anew: with Python's own 5 ms a request takes tens of them.
_SWITCH_S = 0.0005
_SAGEMAKER_MODELS = Path("/opt/ml/models")

# How long an endpoints file must be left alone before what it says counts.
_SETTLE_S = 0.25


def serve(settings: Settings, announce: Callable[[str], None]) -> int:
    """The server: gateways and a keeper, until SIGTERM; returns the exit code.

    `announce` is told the address.

    Raises:
        StartupError: it can never start so.
    """
    begin(settings)
    with only_one(settings.data), listen(settings.host, settings.port) as listener:
        _prepare_state(settings, lambda store: declared_file(settings, store).begin())
        announce(address(listener))
        with say_where(settings, address(listener)):
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
        settings = settings.model_copy(update={"data": Path(data), "database": ""})
        begin(settings)
        declaration = Declaration({}) if multi_model else _container_declaration(settings.models, environment)
        with listen(settings.host, settings.port) as listener:
            context = context_of(settings)
            _prepare_state(settings, lambda store: apply_declaration(declaration, store, context))
            announce(address(listener))
            return _supervise(settings, listener, container=True)


def work(settings: Settings) -> int:
    """A worker beside a server that has the same state: does jobs until SIGTERM or Ctrl-C.

    Raises:
        StartupError: it can never start so.
    """
    begin(settings)
    check_whole(settings.state)
    return run_worker(settings, None)


def declared_file(settings: Settings, store: Store) -> DeclaredFile:
    """The endpoints file, joined to the store."""
    names = None if settings.endpoints else partial(open_artifacts(settings).list_models, settings.models)
    file, context = settings.endpoints_file, context_of(settings)
    return DeclaredFile(file, settings.models, store, context, names, settle_s=_SETTLE_S)


def run_keeper(settings: Settings, parent_pid: int, url: str | None, control: ControlPlane | None) -> int:
    """Follow what a server at `url` declares and settle endpoints, until SIGTERM or the parent is gone.

    It answers what is handed in at the desk meanwhile.
    """
    stop = _stop_event()
    store = _reopen(settings)
    context = context_of(settings)
    looks: list[Callable[[], object]] = [partial(reconcile, store, context, is_alive)]
    if url is not None:
        welcome = Welcome(store, url, settings.gateways, open_artifacts(settings))
        looks = [declared_file(settings, store).look, *looks, welcome.look]
    if control is not None:
        face = control.face(settings, store, hands_in=False)
        control.desk.open(lambda asked: asyncio.run(face.answer(asked)))
    Keeper(store, looks).run(lambda seconds: stop.wait(seconds) or os.getppid() != parent_pid)
    if control is not None:
        control.desk.close()
    store.close()
    return 0


def run_worker(settings: Settings, parent_pid: int | None) -> int:
    """Do batch jobs until SIGTERM, or until the parent is gone; without a family Ctrl-C ends it too."""
    stop = _stop_event()
    if parent_pid is None:
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    store = Store(settings.state) if parent_pid is None else _reopen(settings)
    context = context_of(settings)

    def order(drop: Drop) -> None:
        with store.change() as change:
            create_drop_job(Resources(change, context), drop)

    def orphaned() -> bool:
        return parent_pid is not None and os.getppid() != parent_pid

    from service.jobs.role import do_jobs  # nobody else needs what it imports

    do_jobs(settings, store, open_artifacts(settings), order, stop, orphaned, parent_pid is None)
    store.close()
    return 0


def run_gateway(settings: Settings, place: Place, parent_pid: int, control: ControlPlane | None) -> int:
    """One gateway process, until SIGTERM or until the parent is gone; without `control` a container's."""
    keep_big_arrays_apart()
    reseed()
    sys.setswitchinterval(_SWITCH_S)
    try:
        import uvloop  # not on every platform

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_gateway(settings, place, parent_pid, control))


async def _gateway(settings: Settings, place: Place, parent_pid: int, control: ControlPlane | None) -> int:
    parts = build_gateway(settings, place.slot, control)
    set_apart()  # before models are loaded: they come and go
    speaks = speaker(settings, parts.gateway)
    server = Server(parts.gateway, settings.drain_s, parts.begin_draining, speaks, place)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.stop)
    parts.host.compiler.pause()  # the processors are for what callers wait for
    await parts.follower.begin()
    tasks = [
        asyncio.create_task(parts.follower.run()),
        asyncio.create_task(keep_flushed(parts.registry)),
        asyncio.create_task(keep_trimmed()),
        asyncio.create_task(server.leave_with(parent_pid)),
    ]
    settled = asyncio.create_task(parts.follower.settle())
    await asyncio.wait([settled], timeout=settings.warmup_grace_s)
    settled.cancel()  # calls waited in the socket's queue meanwhile, instead of on a model
    parts.host.compiler.resume()
    # What was settled before the keeper heard of this gateway must not be missed by its first call.
    await parts.follower.catch_up()
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

    def begin_draining(self) -> None:
        """Have every answer close its connection."""
        self.gateway.draining = True


def build_gateway(settings: Settings, slot: str, control: ControlPlane | None) -> GatewayParts:
    """Build one gateway's parts and join them. Must be called on its event loop.

    The container role has no control plane.
    """
    store = _reopen(settings)
    registry = Registry(settings.data / "metrics", slot)
    limits = HostLimits(
        settings.gateway_memory_bytes,
        settings.model_timeout_s,
        settings.model_concurrency,
        settings.model_queue,
        settings.model_idle_s,
        settings.compile,
    )
    observer = ModelEvents(registry)
    host = InlineHost(
        open_artifacts(settings, [_SAGEMAKER_MODELS] if control is None else []),
        limits,
        SystemClock(),
        observer,
        settings.pinned_models,
        observer.compiled,
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
    gateway = _faces(settings, store, registry, host, follower, predictor, control)
    return GatewayParts(store, registry, host, follower, gateway)


def _faces(
    settings: Settings,
    store: Store,
    registry: Registry,
    host: InlineHost,
    follower: Follower,
    predictor: Predictor,
    control: ControlPlane | None,
) -> Gateway:
    registered = RegisteredModels(store, host, lambda: follower.directory)
    router = partial(create_router, registered, follower.default_problems, settings.max_body_bytes)
    invocations = InvocationsFace(predictor, settings.max_body_bytes)
    if control is None:
        pages = made_when_called(lambda: behind_proxies(create_app(router())))
        guard = guard_of(settings, contains=True)
        limit, hot = settings.max_body_bytes, invocations.prepare
        return Gateway(pages, invocations, pages, pages, guard, limit, prepare_default=hot)
    catalogue = Catalogue(store, host, settings.models, lambda: follower.directory)

    def people() -> App:
        found = create_pages(
            catalogue,
            follower.pending,
            follower.problems,
            lambda: (render(settings.data / "metrics", registry, follower.statuses()), CONTENT_TYPE),
        )
        found.include_router(router())
        answer_strays(found)
        return found

    runtime = RuntimeFace(predictor, settings.max_body_bytes)
    return Gateway(
        runtime,
        invocations,
        control.face(settings, store, hands_in=True),
        made_when_called(lambda: behind_proxies(people())),
        guard_of(settings),
        settings.max_body_bytes,
        prepare_endpoint=runtime.prepare,
        prepare_default=invocations.prepare,
    )


def _reopen(settings: Settings) -> Store:
    """The store in a child of the family: it was sound when that started, so what is wrong now may pass.

    Raises:
        Unavailable: it cannot be opened for now; who says so is started again.
        StateDamaged: it cannot be read any more.
    """
    try:
        return Store(settings.state)
    except StateUnreadable as error:
        raise StateDamaged(error.message) from None
    except StartupError as error:
        raise Unavailable(error.message) from None


def _gauges(host: InlineHost, limits: HostLimits) -> Gauges:
    return Gauges(host.cache.held_bytes, limits.budget_bytes, len(host.cache.loaded), host.cache.in_use)


def _supervise(settings: Settings, listener: socket.socket, *, container: bool) -> int:
    """Fork the family and keep it alive."""
    with importing():  # before preload(), which sets apart what all processes share: the model is 11 MB
        control = None if container else ControlPlane(JsonRpcService(load_service("sagemaker")), Desk())
        if control is not None:
            control.sagemaker.prepare(SERVED)
    preload()
    parent = os.getpid()
    balance = Balance(settings.gateways)

    def gateway(number: int) -> Role:
        place = Place(listener, balance, number)
        return Role(place.slot, lambda: run_gateway(settings, place, parent, control), serves=True)

    def keeper() -> int:
        url = None if container else settings.public_url or reachable(address(listener))
        listener.close()  # it takes no calls, and must not hold the port when the others are gone
        return run_keeper(settings, parent, url, control)

    def worker() -> int:
        listener.close()
        return run_worker(settings, parent)

    roles = [gateway(number) for number in range(settings.gateways)]
    roles.append(Role("keeper", keeper))
    if not container:
        roles += [Role(f"worker-{number}", worker, _WORKER_DELAY_S) for number in range(settings.workers)]

    def begin_stop() -> None:
        balance.stop()
        keep_from_beginning(listener)

    return Supervisor(roles, settings.drain_s, begin_stop).run()


def _prepare_state(settings: Settings, declare: Callable[[Store], object]) -> None:
    """Start from a clean slate and with the tables of this version, then declare.

    The store is closed again: children open their own.
    """
    for file in (settings.data / "metrics").glob("*"):
        file.unlink()
    check_whole(settings.state)
    upgrade_tables(settings.state)
    store = Store(settings.state)
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
