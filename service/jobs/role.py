"""A worker's parts, joined: jobs in the main thread, the drop folder in one beside it."""

import threading
from collections.abc import Callable

from service.clock import SystemClock
from service.domain.transform.job import Drop
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.containers.opener import Containers
from service.jobs.data_log import NO_DATA_LOG, DataLog
from service.jobs.inbox import Inbox
from service.jobs.place import Places
from service.jobs.worker import JobParts, Worker
from service.log import get_logger
from service.objects.resolver import open_resolver
from service.settings import Settings
from service.store.log_writer import LogWriter
from service.store.logs import LogStore
from service.store.store import Store


def do_jobs(
    settings: Settings,
    store: Store,
    artifacts: ArtifactStore,
    order: Callable[[Drop], None],
    stop: threading.Event,
    orphaned: Callable[[], bool],
    alone: bool,
    containers: Containers,
) -> None:
    """Do batch jobs and watch the drop folder until `stop` is set or the process is `orphaned`.

    `order` makes the job of a dropped file; `alone` says that no server has this worker; models with code of
    their own are in `containers`.
    """

    def leaving() -> bool:
        return stop.is_set() or orphaned()

    writer = LogWriter(LogStore(settings.log_file)) if settings.logs_max_bytes else None
    log = NO_DATA_LOG if writer is None else DataLog(writer.add)
    places = Places(open_resolver(settings), settings.inbox, settings.outbox, log)
    parts = JobParts(
        places, artifacts, settings.models, settings.worker_processes, settings.model_memory, containers
    )
    inbox = Inbox(settings.inbox, settings.outbox, store, order)
    watcher = threading.Thread(
        target=inbox.run, args=(lambda seconds: stop.wait(seconds) or leaving(),), name="inbox", daemon=True
    )
    watcher.start()
    # A server's own workers come after the line that says it is ready, which should be the last one.
    say = get_logger("sagebird.worker").info if alone else get_logger("sagebird.worker").debug
    say("worker waits for jobs", processes=settings.worker_processes)
    Worker(store, parts, SystemClock(), leaving).run(stop.wait)
    stop.set()
    watcher.join()
    if writer is not None:
        writer.close()
