"""The only place that builds and joins objects; one function per role."""

import asyncio
import os
import random
import socket
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from service.control.declared import DeclaredFile, apply_declaration
from service.control.reconcile import reconciling
from service.faces.assembly import server_door
from service.faces.container_door import container_door
from service.hosting.artifacts.artifact import open_artifacts
from service.hosting.inline import HostLimits, InlineHost, names_of_models
from service.invoke.follow import Follower
from service.invoke.predict import Predictor
from service.invoke.registered import RegisteredModels
from service.invoke.round import Round
from service.observe.counts import Gauges, Registry
from service.processes.child import reopen
from service.processes.container import container_declaration
from service.processes.control_plane import ControlPlane, context_of, drop_orders, load_control_plane
from service.processes.events import ModelEvents
from service.processes.family import Lives, Shared, run_family
from service.processes.gateway import GatewayParts, run_gateway
from service.processes.keeper import KeeperParts, run_keeper, series_looks
from service.processes.logs import failure_log, logs_look, open_logs
from service.processes.model_host import (
    containers_beside,
    environments_look,
    family_containers,
    run_model_host,
)
from service.processes.ready import Welcome
from service.processes.startup import (
    address,
    begin,
    begin_beside,
    install_listed,
    listen,
    only_one,
    prepare_state,
    reachable,
    say_where,
)
from service.processes.worker import WorkerParts, run_worker
from service.settings import Settings
from service.store.store import Store

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
    install_listed(settings)
    with only_one(settings.data), listen(settings.host, settings.port) as listener:
        prepare_state(settings, lambda store: build_declared_file(settings, store).begin())
        announce(address(listener))
        with say_where(settings, address(listener)):
            return _run(settings, listener, load_control_plane())


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
        declaration = container_declaration(settings, environment, multi_model)
        with listen(settings.host, settings.port) as listener:
            context = context_of(settings)
            prepare_state(settings, lambda store: apply_declaration(declaration, store, context))
            announce(address(listener))
            return _run(settings, listener, None)


def work(settings: Settings) -> int:
    """A worker beside a server that has the same state: does jobs until SIGTERM or Ctrl-C.

    Raises:
        StartupError: it can never start so.
    """
    begin_beside(settings)
    with containers_beside(settings) as containers:
        return run_worker(settings, lambda: build_worker(Store(settings.state), settings), None, containers)


def _run(settings: Settings, listener: socket.socket, control: ControlPlane | None) -> int:
    """Fork the family and keep it alive; without `control` a container's."""
    parent = os.getpid()
    url = None if control is None else settings.public_url or reachable(address(listener))
    further = [_SAGEMAKER_MODELS] if control is None else []
    with family_containers(settings, further) as containers:
        shared = Shared(uuid.uuid4().hex, control, containers)

        def worker() -> int:
            return run_worker(settings, lambda: build_worker(reopen(settings), settings), parent, containers)

        lives = Lives(
            gateway=lambda place: run_gateway(
                settings, place, parent, partial(build_gateway, settings, shared, place.slot)
            ),
            keeper=lambda: run_keeper(partial(build_keeper, settings, shared, url), parent),
            model_host=lambda: run_model_host(
                containers.folder,
                parent,
                images=containers.images is not None,
                logs=None if control is None else open_logs(settings),
            ),
            worker=None if control is None else worker,
        )
        return run_family(settings, listener, lives)


def build_declared_file(settings: Settings, store: Store) -> DeclaredFile:
    """The endpoints file, joined to the store."""
    names = (
        None if settings.endpoints else partial(names_of_models, open_artifacts(settings), settings.models)
    )
    file, context = settings.endpoints_file, context_of(settings)
    return DeclaredFile(file, settings.models, store, context, names, settle_s=_SETTLE_S)


def build_keeper(settings: Settings, shared: Shared, url: str | None) -> KeeperParts:
    """What follows the declarations of a server at `url` and settles endpoints.

    With a control plane it answers what is handed in at the desk, too.
    """
    store = reopen(settings)
    context = context_of(settings)
    looks: list[Callable[[], object]] = [reconciling(store, context)]
    if url is not None:
        welcome = Welcome(store, url, settings.gateways, open_artifacts(settings))
        looks = [build_declared_file(settings, store).look, *looks, welcome.look, environments_look(settings)]
        cards = shared.containers.cards
        looks += [*series_looks(settings, store, context.clock, shared.family, cards), logs_look(settings)]
    desk = None if shared.control is None else shared.control.open_desk(settings, store)
    if desk is not None:
        looks += desk.looks
    return KeeperParts(f"{shared.family}/keeper", context.clock, store, looks, desk)


def build_worker(store: Store, settings: Settings) -> WorkerParts:
    """What does batch jobs and takes files that are dropped."""
    return WorkerParts(store, open_artifacts(settings), drop_orders(store, context_of(settings)))


def build_gateway(settings: Settings, shared: Shared, slot: str) -> GatewayParts:
    """Build one gateway's parts and join them. Must be called on its event loop.

    The container role has no control plane.
    """
    store, control = reopen(settings), shared.control
    registry = Registry(settings.data / "metrics", slot)
    context = context_of(settings)
    host = _build_host(settings, shared, registry, lambda: follower)
    follower = Follower(store, host, registry, f"{shared.family}/{slot}", shared.newest)
    failures = None if control is None else failure_log(settings, lambda: follower.directory)
    predictor = Predictor(
        lambda: follower.directory,
        random.Random().random,  # noqa: S311 - shares traffic out, keeps no secret
        registry,
        follower.catch_up,
        keep_up=follower.keep_up,
        failures=failures,
    )
    rounds = Round(asyncio.get_running_loop())
    answering = (predictor, rounds, RegisteredModels(store, host), follower)
    if control is None:
        door = container_door(settings, context.caller, *answering)
        return GatewayParts(store, registry, host, follower, door, rounds)
    face, s3 = control.face(settings, store, hands_in=True), control.s3_face(settings)
    post = control.post(settings, lambda: follower.directory)
    post.shadow(lambda: follower.directory, lambda: host.cache.in_use, predictor.settling)
    counts, recorder = shared.counts.begin(slot), post.recorder
    door = server_door(
        settings, context.caller, *answering, host, store, registry, face, s3, counts, recorder, post
    )
    return GatewayParts(store, registry, host, follower, door, rounds, post, predictor.failures)


def _build_host(
    settings: Settings, shared: Shared, registry: Registry, follower: Callable[[], Follower]
) -> InlineHost:
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
        open_artifacts(settings, [_SAGEMAKER_MODELS] if shared.control is None else []),
        limits,
        context_of(settings).clock,
        observer,
        settings.pinned_models,
        observer.compiled,
        containers=shared.containers,
        log_places=lambda source: follower().log_places(source),
    )
    registry.watch_gauges(lambda: _gauges(host, limits))
    return host


def _gauges(host: InlineHost, limits: HostLimits) -> Gauges:
    return Gauges(host.cache.held_bytes, limits.budget_bytes, len(host.cache.loaded), host.cache.in_use)
