"""The life of one worker process: batch jobs until it is told to stop, in a family or alone."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from service.domain.transform.job import Drop
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.containers.opener import Containers
from service.jobs.role import do_jobs
from service.processes.child import is_orphaned, stop_event
from service.settings import Settings
from service.store.store import Store


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker process is made of; `order` makes the job of a dropped file."""

    store: Store
    artifacts: ArtifactStore
    order: Callable[[Drop], None]


def run_worker(
    settings: Settings, build: Callable[[], WorkerParts], parent_pid: int | None, containers: Containers
) -> int:
    """Do batch jobs until SIGTERM, or until the parent is gone; without a family Ctrl-C ends it too."""
    stop = stop_event()
    if parent_pid is None:
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    parts = build()

    def orphaned() -> bool:
        return parent_pid is not None and is_orphaned(parent_pid)

    alone = parent_pid is None
    do_jobs(settings, parts.store, parts.artifacts, parts.order, stop, orphaned, alone, containers)
    parts.store.close()
    return 0
