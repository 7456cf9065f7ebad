"""The queue of tasks: what there is to do for jobs, who holds it on a lease, and what became of each input.

A lease is one claim, with an id of its own: no two workers, and no two claims of one worker, share one. It
lasts as long as it is renewed; what was silent for too long may be claimed by another, and whatever the first
one then writes here is refused.

Clocks of different machines need not agree, and any of them may be set: whoever wants to claim watches, by a
clock of its own that never goes back, whether the others' leases are renewed. A beat is a number that grows.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from service.errors import LeaseLost
from service.store.database import begin_read, begin_write, said_plainly
from service.store.results import (
    InputResult,
    JobTotals,
    forget_results,
    read_fault,
    read_results,
    read_tally,
    write_fault,
    write_result,
)
from service.store.tables import tasks

TaskKind = Literal["plan", "work", "settle"]

TRANSFORM: Final = "transform"
"""The kind of the jobs that are batch transforms."""

PLAN: Final = "plan"
WORK: Final = "work"
SETTLE: Final = "settle"

_PLAN_NUMBER: Final = 0
_SETTLE_NUMBER: Final = -1
_NEVER: Final = 0  # attempts of a task that nobody has claimed yet
_AMONG: Final = -1  # attempts of one that was claimed among others: it need not be what their holder died of
_SHARE: Final = 8  # who claims takes this part of what waits, so that little is left for the last one to do
_MOST_BYTES: Final = 2**28
_TICK_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class TaskInput:
    """One input: its name, the key of its object with the bucket before it, its size in bytes."""

    name: str
    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TaskLease:
    """Tasks of one job that somebody holds.

    `attempts` counts how often one was claimed by itself, this time too; it is 0 for several at once.
    `fresh` ones were never claimed before.
    """

    id: str
    job: str
    kind: TaskKind
    numbers: tuple[int, ...]
    inputs: tuple[TaskInput, ...]
    attempts: int
    fresh: bool
    queued_at: float
    stopping: bool
    job_kind: str = TRANSFORM


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a lease still holds, and whether its job is being stopped."""

    held: bool
    stopping: bool


class JobTasks:
    """Tasks within a transaction of the store that changes more than them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, job: str, now: datetime, job_kind: str = TRANSFORM) -> None:
        """Queue a new job: the first task is to plan it."""
        self._connection.execute(insert(tasks), _row(job, _PLAN_NUMBER, PLAN, now.timestamp(), job_kind))

    def stop(self, job: str, now: datetime, job_kind: str = TRANSFORM) -> None:
        """Drop what waits and have the holders of the rest told; with nothing left, settling is queued."""
        _drop_waiting(self._connection, job)
        self._connection.execute(update(tasks).where(tasks.c.job == job).values(stopping=True))
        _settle_if_done(self._connection, job, now.timestamp(), job_kind)

    def check(self, lease: TaskLease) -> None:
        """Raises LeaseLost unless the lease still holds."""
        mine = tasks.c.owner == lease.id
        found = self._connection.execute(select(tasks.c.number).where(mine).with_for_update()).all()
        if len(found) != len(lease.numbers):
            raise LeaseLost

    def plan(self, lease: TaskLease, groups: Iterable[Sequence[TaskInput]]) -> None:
        """Put a task for each group of inputs in the place of the planning task.

        Without any, or when the job is being stopped, what is queued is to settle it. Raises LeaseLost.
        """
        self.check(lease)
        stopping = self._connection.scalar(select(tasks.c.stopping).where(tasks.c.owner == lease.id))
        self._connection.execute(delete(tasks).where(tasks.c.owner == lease.id))
        rows = [
            _row(lease.job, number, WORK, lease.queued_at, lease.job_kind, group)
            for number, group in enumerate(groups, 1)
        ]
        if rows and not stopping:
            self._connection.execute(insert(tasks), rows)
        _settle_if_done(self._connection, lease.job, lease.queued_at, lease.job_kind)

    def forget(self, job: str) -> None:
        """Remove all tasks and results of a job."""
        self._connection.execute(delete(tasks).where(tasks.c.job == job))
        forget_results(self._connection, job)


class TaskQueue:
    """Tasks that workers claim, hold and finish. Every function raises Unavailable as the store's do.

    One object claims for one worker, from one thread.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._watched: dict[str, tuple[float, float]] = {}  # lease -> its last beat, and since when

    def claim(
        self,
        now: datetime,
        at_s: float,
        silent_s: float,
        *,
        least_bytes: int = 0,
        after: str | None = None,
        job_kind: str = TRANSFORM,
    ) -> TaskLease | None:
        """Take the oldest task that waits or whose holder was seen to be silent for `silent_s` seconds.

        `at_s` is this moment by a clock of the caller's that never goes back. None: there is no such task.
        An eighth of all that waits of its job comes with it, or as much as has `least_bytes`; what was tried
        before comes alone, so that its like is not blamed for it. Jobs other than `after` come first.
        """
        waiting = and_(tasks.c.owner == "", tasks.c.job_kind == job_kind)
        with self._glance() as connection:
            waits = connection.execute(select(tasks.c.job).where(waiting).limit(1)).first() is not None
        silent = self.watch(at_s, silent_s)
        if not (waits or silent):
            return None  # the usual case takes no write lock
        unrenewed = [and_(tasks.c.owner == owner, tasks.c.beat_at == beat) for owner, beat in silent]
        free = and_(tasks.c.job_kind == job_kind, or_(waiting, *unrenewed))
        with self._quick() as connection:
            first = connection.execute(_next_task(free, after)).mappings().first()
            if first is None:
                return None
            rows = [first]
            if first["kind"] == WORK and first["attempts"] == _NEVER:
                rows += _take_along(connection, first["job"], first["number"], least_bytes)
            lease = _lease(rows)
            connection.execute(
                update(tasks)
                .where(tasks.c.job == lease.job, tasks.c.number.in_(lease.numbers))
                .values(owner=lease.id, beat_at=now.timestamp(), attempts=lease.attempts or _AMONG)
            )
            return lease

    def watch(self, at_s: float, silent_s: float) -> list[tuple[str, float]]:
        """Look at what is held: the leases, with their last beats, that were seen to be silent for so long.

        `at_s` and `silent_s` as for `claim`, which watches by itself.
        """
        held = select(tasks.c.owner, tasks.c.beat_at).where(tasks.c.owner != "").distinct()
        with self._glance() as connection:
            beats = {row.owner: row.beat_at for row in connection.execute(held)}
        seen = {owner: (beat, at_s) for owner, beat in beats.items()}
        for owner, (beat, since_s) in self._watched.items():
            if beats.get(owner) == beat:
                seen[owner] = (beat, since_s)
        self._watched = seen
        return [(owner, beat) for owner, (beat, since_s) in seen.items() if at_s - since_s > silent_s]

    def beat(self, lease: TaskLease, now: datetime) -> bool:
        """Renew a lease; False where it is lost."""
        with self._quick() as connection:
            return _renew(connection, lease, now)

    def look(self, lease: TaskLease) -> Standing:
        """How it stands with a lease."""
        with self._glance() as connection:
            rows = connection.execute(select(tasks.c.stopping).where(tasks.c.owner == lease.id)).all()
        return Standing(len(rows) == len(lease.numbers), any(row.stopping for row in rows))

    def note(self, lease: TaskLease, noted: InputResult, now: datetime) -> None:
        """Remember what became of an input. Raises LeaseLost; nothing is remembered then.

        It survives the death of this process, but not always a power cut: then the input is done again.
        """
        with self._quick() as connection:
            if not _renew(connection, lease, now):
                raise LeaseLost
            write_result(connection, lease.job, noted)

    def results_of(self, job: str, names: Collection[str] | None = None) -> dict[str, InputResult]:
        """What became of a job's inputs, by name; of all of them, or of `names`."""
        with self._glance() as connection:
            return read_results(connection, job, names)

    def fault_of(self, job: str) -> str | None:
        """Why a job as a whole failed, None if it did not."""
        with self._glance() as connection:
            return read_fault(connection, job)

    def tally(self, job: str) -> JobTotals:
        """How far a job is."""
        with self._glance() as connection:
            return read_tally(connection, job)

    def finish(self, lease: TaskLease, now: datetime) -> None:
        """The tasks are done. Whoever finishes a job's last one queues its settling. Raises LeaseLost."""
        with self._sure() as connection:
            _end(connection, lease)
            _settle_if_done(connection, lease.job, now.timestamp(), lease.job_kind)

    def fail(self, lease: TaskLease, reason: str, now: datetime) -> None:
        """The job cannot go on: nothing more of it is done. The first reason counts. Raises LeaseLost."""
        with self._sure() as connection:
            _end(connection, lease)
            write_fault(connection, lease.job, reason)
            _drop_waiting(connection, lease.job)
            connection.execute(update(tasks).where(tasks.c.job == lease.job).values(stopping=True))
            _settle_if_done(connection, lease.job, now.timestamp(), lease.job_kind)

    def release(self, lease: TaskLease, *, counted: bool = False) -> None:
        """Give the tasks back, to be claimed at once; as if never claimed unless `counted`."""
        values: dict[str, Any] = {"owner": "", "beat_at": 0.0}
        if not counted:
            values["attempts"] = max(lease.attempts - 1, _NEVER)
        with self._quick() as connection:
            connection.execute(update(tasks).where(tasks.c.owner == lease.id).values(values))

    def split(self, lease: TaskLease, inputs: Sequence[TaskInput]) -> None:
        """Put a task for each of some inputs in the place of those held; each may be claimed once more.

        Raises LeaseLost.
        """
        with self._sure() as connection:
            _end(connection, lease)
            last = connection.scalar(select(func.max(tasks.c.number)).where(tasks.c.job == lease.job))
            start = max(last or 0, *lease.numbers) + 1
            rows = [
                _row(
                    lease.job,
                    start + step,
                    WORK,
                    lease.queued_at,
                    lease.job_kind,
                    [one],
                    attempts=lease.attempts - 2,
                )
                for step, one in enumerate(inputs)
            ]
            connection.execute(insert(tasks), rows)

    @contextmanager
    def _glance(self) -> Iterator[Connection]:
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            yield connection

    @contextmanager
    def _quick(self) -> Iterator[Connection]:
        with said_plainly(self._engine), begin_write(self._engine, durable=False) as connection:
            yield connection

    @contextmanager
    def _sure(self) -> Iterator[Connection]:
        """One at a time, so that of two who finish the last two tasks one sees that nothing is left."""
        with said_plainly(self._engine), begin_write(self._engine) as connection:
            yield connection


def _row(
    job: str,
    number: int,
    kind: TaskKind,
    queued_at: float,
    job_kind: str,
    inputs: Sequence[TaskInput] = (),
    attempts: int = 0,
) -> dict[str, Any]:
    return {
        "job": job,
        "number": number,
        "kind": kind,
        "job_kind": job_kind,
        "queued_at": queued_at,
        "inputs": [[one.name, one.key, one.size_bytes] for one in inputs],
        "size_bytes": sum(one.size_bytes for one in inputs),
        "attempts": attempts,
        "owner": "",
        "beat_at": 0.0,
        "stopping": False,
    }


def _next_task(free: ColumnElement[bool], after: str | None) -> Select[Any]:
    turns = [] if after is None else [case((tasks.c.job == after, 1), else_=0)]
    suspect = case((tasks.c.attempts > _NEVER, 1), else_=0)  # somebody died at it: the others first
    order = (*turns, tasks.c.queued_at, tasks.c.job, suspect, tasks.c.number)
    return select(tasks).where(free).order_by(*order).limit(1).with_for_update(skip_locked=True)


def _take_along(connection: Connection, job: str, number: int, least_bytes: int) -> list[Any]:
    """More tasks of the job that wait behind the one with this number."""
    waiting = and_(
        tasks.c.job == job,
        tasks.c.kind == WORK,
        tasks.c.owner == "",
        tasks.c.attempts == _NEVER,
        tasks.c.number > number,
    )
    count = connection.scalar(select(func.count()).where(waiting)) or 0
    share = count // _SHARE
    wanted = select(tasks).where(waiting).order_by(tasks.c.number).limit(max(share, count // 2))
    taken: list[Any] = []
    size_bytes = 0
    for row in connection.execute(wanted.with_for_update(skip_locked=True)).mappings():
        enough = len(taken) >= share and size_bytes >= least_bytes
        if enough or size_bytes + row["size_bytes"] > _MOST_BYTES:
            break
        taken.append(row)
        size_bytes += row["size_bytes"]
    return taken


def _lease(rows: Sequence[Any]) -> TaskLease:
    first = rows[0]
    return TaskLease(
        uuid.uuid4().hex,
        first["job"],
        first["kind"],
        tuple(row["number"] for row in rows),
        tuple(TaskInput(*one) for row in rows for one in row["inputs"]),
        max(first["attempts"], 0) + 1 if len(rows) == 1 else 0,
        first["attempts"] == _NEVER,
        first["queued_at"],
        first["stopping"],
        first["job_kind"],
    )


def _renew(connection: Connection, lease: TaskLease, now: datetime) -> bool:
    """Let the beat grow, also where the clock was set back."""
    beat = tasks.c.beat_at
    grown = case((beat < now.timestamp(), now.timestamp()), else_=beat + _TICK_S)
    mine = update(tasks).where(tasks.c.owner == lease.id).values(beat_at=grown)
    return connection.execute(mine).rowcount == len(lease.numbers)


def _end(connection: Connection, lease: TaskLease) -> None:
    gone = connection.execute(delete(tasks).where(tasks.c.owner == lease.id)).rowcount
    if gone != len(lease.numbers):
        raise LeaseLost


def _drop_waiting(connection: Connection, job: str) -> None:
    connection.execute(delete(tasks).where(tasks.c.job == job, tasks.c.owner == "", tasks.c.kind != SETTLE))


def _settle_if_done(connection: Connection, job: str, queued_at: float, job_kind: str) -> None:
    if connection.execute(select(tasks.c.job).where(tasks.c.job == job).limit(1)).first() is None:
        connection.execute(insert(tasks), _row(job, _SETTLE_NUMBER, SETTLE, queued_at, job_kind))
