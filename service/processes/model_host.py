"""The model host's life: the process that owns the containers, which all others of the family share."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from service.hosting.calls.serial import MOST_HOP_BYTES
from service.hosting.containers.container_host import ContainerHost
from service.hosting.containers.forks import ForkServer, machine_environment
from service.hosting.containers.opener import Containers, Images
from service.hosting.containers.orphans import adopt, end_adopted
from service.hosting.engines.engine import DockerEngine
from service.hosting.engines.household import Household
from service.hosting.environments.environments import Environments
from service.hosting.environments.keeping import Clearing
from service.hosting.sharing import ArrayStore
from service.machine import count_cpus
from service.objects.resolver import Resolver
from service.processes.child import is_orphaned
from service.processes.logs import open_logs
from service.processes.private import private_folder
from service.settings import DEPLOYMENTS, Settings
from service.store.log_writer import LogWriter
from service.store.logs import LogStore

_LOOK_S = 0.5
_END_LOOK_S = 0.02  # whoever has asked for the end waits for it
_DAY_S = 86_400.0
_HANDLED = (signal.SIGTERM, signal.SIGINT)


def run_model_host(
    folder: Path, parent_pid: int, *, images: bool = False, logs: LogStore | None = None
) -> int:
    """Own the containers of `folder`, until SIGTERM and the last lease is back, or the parent is gone.

    Where `images` run, containers of families that were killed are looked for at once. What containers print
    is kept in the `logs`.
    """
    asyncio.run(_live(folder, parent_pid, images, logs))
    return 0


@contextmanager
def family_containers(settings: Settings, further: Sequence[Path] = ()) -> Iterator[Containers]:
    """Those of a family, one process of which is to be their host; its gateways share them.

    Models below the folders `further` are as good as those of the models folder.
    """
    with private_folder(settings.data) as folder:
        yield _containers(settings, folder, settings.gateways, further)


@contextmanager
def containers_beside(settings: Settings, further: Sequence[Path] = ()) -> Iterator[Containers]:
    """Containers for a process that has no family; call it while that has one thread."""
    with private_folder(settings.data if settings.data.is_dir() else None) as folder:
        pid = _fork_host(folder, images=settings.images != "off", logs=open_logs(settings))
        try:
            yield _containers(settings, folder, 1, further)
        finally:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _containers(settings: Settings, folder: Path, sharers: int, further: Sequence[Path]) -> Containers:
    """The containers whose host is in `folder`, for so many processes that share them."""
    return Containers(
        folder,
        count_cpus(),
        settings.model_timeout_s,
        settings.container_memory,
        sharers,
        environments=_environments(settings, further),
        arrays=ArrayStore(folder / "arrays", settings.shared_model_mb << 20, sharers),
        images=_images(settings),
        most_answer_bytes=max(settings.max_body_bytes, MOST_HOP_BYTES),
    )


def _images(settings: Settings) -> Images | None:
    if settings.images == "off":
        return None
    return Images(count_cpus(), settings.images == "pull", settings.region)


def _environments(settings: Settings, further: Sequence[Path]) -> Environments | None:
    """Where environments are made for models that ask for one; None where they have to do without."""
    if settings.environments == "off":
        return None
    deployments = Resolver(settings.buckets).folder(DEPLOYMENTS)
    own = (settings.models, deployments, *further)
    everywhere = settings.environments == "all"
    return Environments(settings.data / "environments", own, everywhere, settings.wheels)


def environments_look(settings: Settings) -> Callable[[], None]:
    """What now and then clears environments that no model was loaded in for long."""
    return Clearing(settings.data / "environments", settings.environments_keep_days * _DAY_S).look


def _fork_host(folder: Path, *, images: bool, logs: LogStore | None) -> int:
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)  # the parent's handlers are not for the child
    try:
        pid = os.fork()
        if not pid:
            _be_child(folder, parent, mask, images=images, logs=logs)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _be_child(
    folder: Path, parent_pid: int, mask: Iterable[int], *, images: bool, logs: LogStore | None
) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the other one decides
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = run_model_host(folder, parent_pid, images=images, logs=logs)
    finally:
        os._exit(code)


async def _live(folder: Path, parent_pid: int, images: bool, logs: LogStore | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    environment = machine_environment()
    adopt()
    household = Household(DockerEngine(os.environ), folder) if images else None
    writer = None if logs is None else LogWriter(logs)
    keep = None if writer is None else writer.add
    host = ContainerHost(folder, ForkServer(environment, end_adopted), environment, household, keep)
    await host.open()
    measuring = loop.create_task(host.measure())
    while not is_orphaned(parent_pid) and (host.is_needed or not stop.is_set()):
        await _rest(stop)
    measuring.cancel()
    await host.close()
    if writer is not None:
        writer.close()


async def _rest(stop: asyncio.Event) -> None:
    """Rest until it is time to see whether there is an end: soon once somebody asked for it."""
    if stop.is_set():
        await asyncio.sleep(_END_LOOK_S)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_S):
            await stop.wait()
