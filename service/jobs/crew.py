"""Who works on batches: processes with the model loaded in each, or threads that call a container.

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
from service.errors import BrokenOff, ModelFault
from service.hosting.runtimes.preload import limit_threads
from service.jobs.member import Batch, Profile, Recruit, Result, Spans, serve
from service.jobs.work import Failed

_PRELOADED: Final = ("service.jobs.member", "service.hosting.runtimes.sklearn", "sklearn.ensemble")
_SPARE: Final = 2
_LEAVE_S: Final = 5.0
_LOOK_S: Final = 0.25
_DIED: Final = (
    "the process that ran the model died (killed, out of memory, or crashed in native code); "
    "it was tried twice"
)


@dataclass(frozen=True, slots=True)
class Item:
    """A step of a job: a batch of a file, the end of one (`batch` and `fault` are None), or what broke it."""

    file: int
    batch: Batch | None = None
    fault: str | None = None
    number: int | None = None  # the bad record of a fault, from 1, counted from the file's next batch on


Results = Generator[tuple[Item, Result | None], None, None]


class Crew(Protocol):
    """Works on batches."""

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


class ThreadCrew:
    """Threads beside a container, which does the work."""

    def __init__(self, recruit: Recruit, options: TransformOptions) -> None:
        """Meet the container; as many threads as it and the options allow. Raises ModelFault."""
        self._work, self._closing, self.profile = recruit.enlist()
        self._count = options.concurrency(self.profile.parameters)
        self._pool = ThreadPoolExecutor(self._count)

    def results(self, items: Iterator[Item]) -> Results:
        """In order, at most twice as many ahead as there are threads."""
        waiting: deque[tuple[Item, Future[Result] | None]] = deque()
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


class ProcessCrew:
    """Processes with the model in each; one that dies is replaced, and its batch is tried once more."""

    def __init__(self, recruit: Recruit, count: int, broken_off: Callable[[], bool] = lambda: False) -> None:
        """Start them and wait until the model is loaded in each.

        `broken_off` is asked while a process is waited for. Raises ModelFault; BrokenOff once it says so.
        """
        limit_threads()
        self._recruit = recruit
        self._broken_off = broken_off
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(_PRELOADED))
        self._members: list[_Member] = []
        try:
            for _ in range(count):
                self._members.append(_Member(self._context, recruit))
            profiles = [self._ready(member) for member in self._members]
            self.profile = profiles[0]
        except BaseException:
            self.close()
            raise

    def results(self, items: Iterator[Item]) -> Results:
        """In order, a few ahead of the one that is waited for. Raises BrokenOff; close the crew then."""
        waiting: deque[_Waiting] = deque()
        window = 2 * len(self._members) + _SPARE
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
        for member in self._members:
            member.dismiss()
        self._members.clear()

    def _hand_out(self, item: Item, waiting: "deque[_Waiting]") -> bool:
        """Put an item in line, its batch with a member; False where no member can take it now."""
        member = min(self._members, key=lambda each: len(each.given))
        if item.batch is not None and not member.takes(item.batch):
            return False
        waiting.append(_Waiting(item))
        if item.batch is not None:
            member.give(waiting[-1])
        return True

    def _collect(self) -> None:
        """Wait for a result, and take all that are there."""
        busy = {member.connection: member for member in self._members if member.given}
        for connection in self._wait(list(busy)):
            member = busy[connection]
            try:
                member.take()
            except (EOFError, OSError):
                self._replace(member)

    def _ready(self, member: "_Member") -> Profile:
        self._wait([member.connection])
        return member.ready()

    def _wait(self, connections: list[Connection]) -> list[Connection]:
        while not (ready := wait(connections, _LOOK_S)):
            if self._broken_off():
                raise BrokenOff
        return ready  # type: ignore[return-value]  # wait returns what it was given

    def _replace(self, member: "_Member") -> None:
        member.dismiss()
        fresh = _Member(self._context, self._recruit)
        self._members[self._members.index(member)] = fresh
        self._ready(fresh)
        for position, waiting in enumerate(member.given):
            if position == 0 and waiting.tried:
                waiting.result = Failed(None, _DIED)
                continue
            waiting.tried = waiting.tried or position == 0
            fresh.give(waiting)


@dataclass(slots=True)
class _Waiting:
    """An item whose turn has not come."""

    item: Item
    result: Result | None = None
    tried: bool = False


class _Member:
    """One process, its connection, and the batches that it was given, oldest first."""

    def __init__(self, context: multiprocessing.context.ForkServerContext, recruit: Recruit) -> None:
        self.connection: Connection
        self.given: deque[_Waiting] = deque()
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, recruit), daemon=True)
        self._process.start()
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
        """Send a batch."""
        self.given.append(waiting)
        with suppress(OSError):  # it died: noticed when its result is awaited
            self.connection.send(waiting.item.batch)

    def take(self) -> None:
        """Receive the result of the oldest batch. Raises EOFError or OSError if the process died."""
        result = self.connection.recv()
        self.given.popleft().result = result

    def dismiss(self) -> None:
        """End the process."""
        self.connection.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join(_LEAVE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _resolved(item: Item, future: "Future[Result] | None") -> tuple[Item, Result | None]:
    return item, None if future is None else future.result()
