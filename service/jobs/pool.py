"""Who works on batches: processes with the model or its container at hand, or threads that call one.

Both hand results back in the order of the batches, hold few of them at a time, and are closed at the end.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Final, Protocol

from service.domain.transform.options import TransformOptions
from service.errors import ModelFault, SagebirdError
from service.hosting.runtimes.preload import limit_threads
from service.jobs.process import DIED, Batch, BatchResult, ModelOpener, Profile, Spans, serve
from service.jobs.work import Failed

_PRELOADED: Final = ("service.jobs.process", "service.hosting.runtimes.sklearn", "sklearn.ensemble")
_SPARE: Final = 2
_LEAVE_S: Final = 5.0
_LOOK_S: Final = 0.25


class BrokenOff(SagebirdError):
    """Work was given up before its end, because somebody asked for that."""

    def __init__(self) -> None:
        super().__init__("The work was broken off.")


@dataclass(frozen=True, slots=True)
class Item:
    """A step of a job: a batch of a file, the end of one (`batch` and `fault` are None), or what broke it."""

    file: int
    batch: Batch | None = None
    fault: str | None = None
    number: int | None = None  # the bad record of a fault, from 1, counted from the file's next batch on


Results = Generator[tuple[Item, BatchResult | None], None, None]


class WorkerPool(Protocol):
    """Processes or threads that work on batches at the same time, each with the model at hand."""

    @property
    def profile(self) -> Profile:
        """What is known of the model."""
        ...

    def results(self, items: Iterator[Item]) -> Results:
        """Each item with what became of its batch, in order; takes items only a few ahead."""
        ...

    def close(self) -> None:
        """End all work at once."""
        ...


class ThreadPool:
    """Threads beside a container, which does the work."""

    def __init__(self, opener: ModelOpener, options: TransformOptions) -> None:
        """Meet the container; as many threads as it and the options allow. Raises ModelFault."""
        self._work, self._closing, self.profile = opener.open()
        self._count = options.concurrency(self.profile.parameters)
        self._pool = ThreadPoolExecutor(self._count)

    def results(self, items: Iterator[Item]) -> Results:
        """In order, at most twice as many ahead as there are threads."""
        waiting: deque[tuple[Item, Future[BatchResult] | None]] = deque()
        for item in items:
            future = None if item.batch is None else self._pool.submit(self._work, item.batch)
            waiting.append((item, future))
            if len(waiting) > 2 * self._count:
                yield _resolved(*waiting.popleft())
        while waiting:
            yield _resolved(*waiting.popleft())

    def close(self) -> None:
        """Wait for the calls under way and drop the others."""
        self._pool.shutdown(cancel_futures=True)
        self._closing()


class NoProcess(Exception):
    """No process can be started here now, whatever its model would be."""


class ProcessPool:
    """Processes with the model in each; one that dies is replaced, and its batch is tried once more."""

    def __init__(
        self, opener: ModelOpener, count: int, broken_off: Callable[[], bool] = lambda: False
    ) -> None:
        """Start them and wait until the model is loaded in each.

        `broken_off` is asked while a process is waited for. Raises ModelFault, NoProcess; BrokenOff once it
        says so.
        """
        limit_threads()
        self._opener = opener
        self._broken_off = broken_off
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        self._processes: list[_Process] = []
        try:
            for _ in range(count):
                self._processes.append(_Process(self._context, opener))
            profiles = [self._ready(process) for process in self._processes]
            self.profile = profiles[0]
        except BaseException:
            self.close()
            raise

    def results(self, items: Iterator[Item]) -> Results:
        """In order, a few ahead of the one that is waited for.

        Raises BrokenOff, NoProcess; close the pool then.
        """
        waiting: deque[_Waiting] = deque()
        window = 2 * len(self._processes) + _SPARE
        item = next(items, None)
        while item is not None or waiting:
            while item is not None and len(waiting) < window and self._hand_out(item, waiting):
                item = next(items, None)
            while waiting and (waiting[0].item.batch is None or waiting[0].result is not None):
                done = waiting.popleft()
                yield done.item, done.result
            if waiting:
                self._collect()

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for process in self._processes:
            process.dismiss()
        self._processes.clear()

    def _hand_out(self, item: Item, waiting: "deque[_Waiting]") -> bool:
        """Put an item in line, its batch with a process; False where no process can take it now."""
        process = min(self._processes, key=lambda each: len(each.given))
        if item.batch is not None and not process.takes(item.batch):
            return False
        waiting.append(_Waiting(item))
        if item.batch is not None:
            process.give(waiting[-1])
        return True

    def _collect(self) -> None:
        """Wait for a result, and take all that are there."""
        busy = {process.connection: process for process in self._processes if process.given}
        for connection in self._wait(list(busy)):
            process = busy[connection]
            try:
                process.take()
            except (EOFError, OSError):
                self._replace(process)

    def _ready(self, process: "_Process") -> Profile:
        self._wait([process.connection])
        return process.ready()

    def _wait(self, connections: list[Connection]) -> list[Connection]:
        while not (ready := wait(connections, _LOOK_S)):
            if self._broken_off():
                raise BrokenOff
        return ready  # type: ignore[return-value]  # wait returns what it was given

    def _replace(self, process: "_Process") -> None:
        process.dismiss()
        fresh = _Process(self._context, self._opener)
        self._processes[self._processes.index(process)] = fresh
        self._ready(fresh)
        for position, waiting in enumerate(process.given):
            if position == 0 and waiting.tried:
                waiting.result = Failed(None, DIED)
                continue
            waiting.tried = waiting.tried or position == 0
            fresh.give(waiting)


@dataclass(slots=True)
class _Waiting:
    """An item whose turn has not come."""

    item: Item
    result: BatchResult | None = None
    tried: bool = False


class _Process:
    """One process, its connection, and the batches that it was given, oldest first."""

    def __init__(self, context: multiprocessing.context.ForkServerContext, opener: ModelOpener) -> None:
        self.connection: Connection
        self.given: deque[_Waiting] = deque()
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, opener), daemon=True)
        try:
            self._process.start()
        except (OSError, EOFError) as error:  # the process that forks them cannot, or cannot even start
            self.connection.close()
            raise NoProcess(f"no process can be started here: {error}") from error
        finally:
            theirs.close()

    def takes(self, batch: Batch) -> bool:
        """Whether a batch can be sent without waiting.

        A second one only where both are small: two processes that each write more than a pipe holds to the
        other would wait for ever.
        """
        if not self.given:
            return True
        return (
            len(self.given) == 1 and isinstance(batch, Spans) and isinstance(self.given[0].item.batch, Spans)
        )

    def ready(self) -> Profile:
        """Wait until the model is loaded. Raises ModelFault."""
        try:
            found = self.connection.recv()
        except (EOFError, OSError):
            raise ModelFault("the process that loads the model died (killed, or out of memory)") from None
        if isinstance(found, ModelFault):
            raise found
        profile: Profile = found
        return profile

    def give(self, waiting: _Waiting) -> None:
        """Send a batch; one that cannot be sent is noticed when its result is awaited."""
        self.given.append(waiting)
        with suppress(OSError):  # it died: noticed when its result is awaited
            self.connection.send(waiting.item.batch)

    def take(self) -> None:
        """Receive the result of the oldest batch. Raises EOFError or OSError if the process died."""
        result = self.connection.recv()
        self.given.popleft().result = result

    def dismiss(self) -> None:
        """End the process, by force if it does not go."""
        self.connection.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join(_LEAVE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _resolved(item: Item, future: "Future[BatchResult] | None") -> tuple[Item, BatchResult | None]:
    return item, None if future is None else future.result()
