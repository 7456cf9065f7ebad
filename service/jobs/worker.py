"""A worker: claims tasks of transform jobs, does them, and settles jobs, until it is told to leave.

One task at a time, with a pool that is kept as long as tasks of the same job follow each other. Whatever
happens to a job, the loop goes on; whatever happens to the worker, the job does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from service.clock import Clock
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.transform.document import QUARANTINE_VARIABLE, asks_for, options_of
from service.domain.transform.job import JobStage, JobState, JobStatus
from service.domain.transform.options import TransformOptions
from service.errors import (
    LeaseLost,
    ModelFault,
    ObjectFault,
    StateDamaged,
    Unavailable,
    ValidationFault,
)
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.artifacts.submitted import fingerprint, open_code
from service.hosting.containers.opener import Containers
from service.jobs.heartbeat import SILENT_S, Heartbeat
from service.jobs.outcome import STOPPED
from service.jobs.pipeline import PipelineOpener
from service.jobs.place import Places
from service.jobs.plan import group_inputs
from service.jobs.pool import BrokenOff, NoProcess, ProcessPool, ThreadPool, WorkerPool
from service.jobs.process import LocalModelOpener
from service.jobs.request import count_processes, is_large
from service.jobs.settle import settle_job
from service.jobs.task_journal import TaskJournal
from service.jobs.transform import Job, JobMonitor, run_transform
from service.log import Trouble, get_logger
from service.store.results import InputResult
from service.store.store import Store
from service.store.tasks import PLAN, SETTLE, TaskLease

MOST_ATTEMPTS: Final = 5
"""Workers that may die over a task before its input is given up.

Somebody who kills workers at random must not fail a job by it, so it is more than a few; and what a worker
died of is tried again only behind the rest of its job.
"""

_TURN_S: Final = 10.0
_PAUSE_S: Final = 0.05  # the first of some in a row, each so much longer than the one before
_UNFIT_PAUSE_S: Final = 0.5  # likewise, where this worker can do no work, and others may
_MOST_PAUSES: Final = 10
_CLAIM_S: Final = 1.0
_CHANGED: Final = (
    "the files of the model at {location} changed while the job ran: start the job again, so that all of its "
    "outputs are of one model."
)
_KILLS: Final = "{name}: the worker died {attempts} times while it was at this input, so it was given up."


@dataclass(frozen=True, slots=True)
class JobParts:
    """What a worker works with: where files and models are, and how many processes it may use.

    In each of them the model may take `most_bytes`, 0 for any; one with code of its own is in one of the
    `containers`.
    """

    places: Places
    artifacts: ArtifactStore
    models: Path
    processes: int
    most_bytes: int = 0
    containers: Containers | None = None


@dataclass(slots=True)
class _CurrentJob:
    """The job that the worker is at: its pool, since when, and how fast it goes."""

    job: str
    pool: WorkerPool
    since_s: float
    size_bytes: int = 0
    busy_s: float = 0.0

    @property
    def bytes_per_s(self) -> float:
        return self.size_bytes / self.busy_s if self.busy_s else 0.0


class Worker:
    """One worker. `leaving` tells that it is to end: it gives back at once what it is at."""

    def __init__(
        self, store: Store, parts: JobParts, clock: Clock, leaving: Callable[[], bool] = lambda: False
    ) -> None:
        self._store = store
        self._parts = parts
        self._clock = clock
        self._leaving = leaving
        self._current: _CurrentJob | None = None
        self._heartbeat: Heartbeat | None = None
        self._log = get_logger("sagebird.worker")
        self._trouble = Trouble(self._log, "worker cannot use its queue")
        self._unfit = Trouble(self._log, "worker cannot run models, and leaves the work to others")

    def run(self, rest: Callable[[float], object]) -> None:
        """Work until told to leave; `rest` sleeps for some seconds, or less if there is reason to."""
        rests = 0
        try:
            while not self._leaving():
                pause_s = _PAUSE_S
                try:
                    worked = self.step()
                    self._trouble.end()
                    self._unfit.end()
                except (Unavailable, StateDamaged) as error:
                    worked = False
                    self._trouble.meet(error.message)
                except NoProcess as error:
                    worked, pause_s = False, _UNFIT_PAUSE_S
                    self._unfit.meet(str(error))
                except Exception:  # the edge of a loop that must outlive one bad task
                    worked = False
                    self._log.exception("worker failed")
                rests = 0 if worked else rests + 1
                if not worked:
                    rest(pause_s * min(rests, _MOST_PAUSES))
        finally:
            self.close()

    def step(self) -> bool:
        """Claim a task and do it; False where there is none."""
        lease = self._claim()
        if lease is None:
            self.close()
            return False
        self._log.debug("task claimed", job=lease.job, kind=lease.kind, tasks=len(lease.numbers))
        try:
            with Heartbeat(self._store.queue, lease, self._clock, leaving=self._leaving) as heartbeat:
                self._heartbeat = heartbeat
                self._do(lease, heartbeat)
        except LeaseLost:
            self.close()
            self._log.warning("task was taken over by another worker", job=lease.job)
        except NoProcess:  # no fault of the inputs
            self.close()
            self._store.queue.release(lease)
            raise
        except BaseException:
            self.close()
            self._store.queue.release(lease, counted=True)
            raise
        finally:
            self._heartbeat = None
        return True

    def close(self) -> None:
        """Let the pool go."""
        if self._current is not None:
            self._current.pool.close()
            self._current = None

    def _claim(self) -> TaskLease | None:
        current = self._current
        if current is None:
            return self._store.queue.claim(self._clock.now(), self._clock.monotonic(), SILENT_S)
        long = self._clock.monotonic() - current.since_s > _TURN_S
        return self._store.queue.claim(
            self._clock.now(),
            self._clock.monotonic(),
            SILENT_S,
            least_bytes=int(current.bytes_per_s * _CLAIM_S),
            after=current.job if long else None,
        )

    def _do(self, lease: TaskLease, heartbeat: Heartbeat) -> None:
        job = self._store.get(Kind.TRANSFORM_JOB, lease.job)
        if lease.kind == SETTLE or job is None:
            self._settle(lease)
        elif heartbeat.stopping:
            self._store.queue.finish(lease, self._clock.now())
        elif lease.attempts > MOST_ATTEMPTS:
            self._give_up(lease)
        else:
            self._try(lease, job, heartbeat)

    def _try(self, lease: TaskLease, job: Resource, heartbeat: Heartbeat) -> None:
        try:
            if lease.kind == PLAN:
                self._plan(lease, job)
            else:
                self._work(lease, job, heartbeat)
        except (ModelFault, ObjectFault, ValidationFault) as fault:
            self.close()
            self._store.queue.fail(lease, fault.message, self._clock.now())
        except BrokenOff:
            self._break_off(lease, heartbeat)

    # ---- the three kinds of tasks

    def _plan(self, lease: TaskLease, job: Resource) -> None:
        """Find the inputs and share them out. Raises ModelFault, ObjectFault, ValidationFault, LeaseLost."""
        state = JobState.read(job.state)
        if state.obstacle:
            raise ModelFault(f"Model {job.document['ModelName']}: {state.obstacle}")
        version = _joined([self._version(one.location, _environment(job, one)) for one in state.containers])
        self._parts.places.clear(job)
        found = self._parts.places.find(job)
        now = self._clock.now()
        begun = {
            "started_at": now.timestamp(),
            "files": len(found),
            "size_bytes": sum(given.size_bytes for given in found),
            "version": version,
        }
        with self._store.change() as change:
            change.tasks.plan(lease, group_inputs(found))
            latest = change.get(Kind.TRANSFORM_JOB, job.name)
            if latest is not None:
                state = JobState.read(latest.state)
                change.put(replace(latest, state=state.write(**begun), modified_at=now))
        self._parts.places.log.begin(job)
        self._log.info("job begun", job=job.name, files=begun["files"], bytes=begun["size_bytes"])

    def _work(self, lease: TaskLease, job: Resource, heartbeat: Heartbeat) -> None:
        """Transform some inputs. Raises ModelFault, ObjectFault, BrokenOff, LeaseLost."""
        journal = self._parts.places.log.told(job, TaskJournal(self._store.queue, lease, self._clock))
        current = self._pool_for(job)
        if not lease.fresh:
            self._parts.places.clear(job)
        inputs = self._parts.places.inputs(job, lease.inputs)
        task = Job(
            inputs,
            self._parts.places.target(job),
            options_of(job.document),
            current.pool,
            quarantine=asks_for(job.document, QUARANTINE_VARIABLE),
        )
        begun_s = self._clock.monotonic()
        outcome = run_transform(task, JobMonitor(self._clock, journal, heartbeat.stops))
        current.busy_s += self._clock.monotonic() - begun_s
        current.size_bytes += sum(given.size_bytes for given in lease.inputs)
        if outcome.status == STOPPED:
            self._break_off(lease, heartbeat)
        else:
            self._store.queue.finish(lease, self._clock.now())

    def _settle(self, lease: TaskLease) -> None:
        self.close()
        ended = settle_job(self._store, self._parts.places, lease, self._clock)
        if ended is None:
            return
        state = JobState.read(ended.state)
        tell = self._log.warning if ended.status == JobStatus.FAILED else self._log.info
        tell(
            "job ended",
            job=ended.name,
            status=ended.status,
            files=state.files,
            rows=state.rows_in,
            seconds=round(state.ended_at - state.started_at, 3) if state.started_at else 0.0,
            **({"reason": ended.failure_reason} if ended.failure_reason else {}),
        )

    # ---- ends before the end

    def _break_off(self, lease: TaskLease, heartbeat: Heartbeat) -> None:
        """Stopped, lost or leaving: let the pool go with what it is at, and the tasks where they belong."""
        self.close()
        if heartbeat.lost:
            raise LeaseLost
        if heartbeat.stopping:
            self._store.queue.finish(lease, self._clock.now())
        else:
            self._store.queue.release(lease)
            self._log.info("task given back", job=lease.job)

    def _give_up(self, lease: TaskLease) -> None:
        """Find out which input it is that workers die of: each gets a task of its own, the last one fails."""
        queue, now = self._store.queue, self._clock.now()
        if lease.kind == PLAN:
            queue.fail(lease, f"The worker died {MOST_ATTEMPTS} times while it listed the inputs.", now)
            return
        known = queue.results_of(lease.job, [given.name for given in lease.inputs])
        left = [given for given in lease.inputs if given.name not in known]
        if len(left) > 1:
            queue.split(lease, left)
            return
        for given in left:
            reason = _KILLS.format(name=given.name, attempts=MOST_ATTEMPTS)
            queue.note(lease, InputResult(given.name, error=reason), now)
        queue.finish(lease, now)

    # ---- models

    def _pool_for(self, job: Resource) -> _CurrentJob:
        """The pool of a job, made anew unless it is the present one's. Raises ModelFault, BrokenOff."""
        if self._current is not None and self._current.job == job.name:
            return self._current
        self.close()
        state, options = JobState.read(job.state), options_of(job.document)
        count = count_processes(options, self._parts.processes, state.files, state.size_bytes)
        if any(one.has_own_image for one in state.containers):  # one call at once, as AWS has it
            count = options.max_concurrent_transforms or 1
        openers = [self._opener(job, one, options, count) for one in state.containers]
        if _joined([opener.version for opener in openers]) != state.version:
            raise ModelFault(_CHANGED.format(location=state.label))
        names = tuple(one.name for one in state.stages)
        pool: WorkerPool
        if names:
            pool = ProcessPool(PipelineOpener(names, tuple(openers)), count, self._is_broken_off)
        elif state.containers[0].has_own_image:
            pool = ThreadPool(openers[0], options)  # as many calls as its container says that it takes
        else:
            pool = ProcessPool(openers[0], count, self._is_broken_off)
        self._current = _CurrentJob(job.name, pool, self._clock.monotonic())
        return self._current

    def _opener(
        self, job: Resource, container: JobStage, options: TransformOptions, count: int
    ) -> LocalModelOpener:
        """What opens one container's model in each of so many processes. Raises ModelFault."""
        environment, artifacts = _environment(job, container), self._parts.artifacts
        containers, log = self._parts.containers, self._parts.places.log
        version, found = self._version(container.location, environment), self._find_model(container.location)
        return LocalModelOpener(
            artifacts.open(found),
            environment,
            options,
            asks_for(job.document, QUARANTINE_VARIABLE),
            self._parts.most_bytes,
            open_code(artifacts, environment),
            None
            if containers is None
            else log.printing(containers.for_job(count, options.timeout_s), job, container),
            version,
            container.image,
            found,
            is_large(JobState.read(job.state).size_bytes),
            log.place(job),
        )

    def _version(self, location: str, environment: Mapping[str, str]) -> str:
        """The fingerprint of a model's files as they are now. Raises ModelFault."""
        return fingerprint(self._parts.artifacts, self._find_model(location), environment)

    def _is_broken_off(self) -> bool:
        return self._heartbeat is not None and self._heartbeat.stops()

    def _find_model(self, location: str) -> Path:
        """Where a model is: by its address, or by its name in the folder of models. Raises ModelFault."""
        if not location:
            return self._parts.artifacts.nothing()
        if "/" in location:
            return self._parts.artifacts.resolve(location)
        return self._parts.artifacts.resolve(location, within=self._parts.models)


def _joined(versions: Sequence[str]) -> str:
    """The version of a model by those of its containers."""
    return "+".join(versions)


def _environment(job: Resource, container: JobStage) -> dict[str, str]:
    """The variables of a container and, before them, of the job."""
    return {**container.environment, **options_of(job.document).container_environment()}
