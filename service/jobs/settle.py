"""How a job ends: its inputs' results become one status, one reason and, if asked for, a report."""

from dataclasses import replace
from typing import Final

from service.clock import Clock
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.transform.document import REPORT_VARIABLE, asks_for
from service.domain.transform.job import JobState, JobStatus
from service.errors import ObjectFault
from service.jobs.outcome import COMPLETED, FAILED, STOPPED, FileReport, JobOutcome, describe_failures
from service.jobs.place import Places
from service.jobs.task_journal import report_of
from service.jobs.transform import STOPPED_REASON, write_report
from service.store.store import Store
from service.store.tasks import TaskLease

_MAX_REASON_CHARS: Final = 1024


def settle_job(store: Store, places: Places, lease: TaskLease, clock: Clock) -> Resource | None:
    """Give a job its last status and forget its tasks, at once; the job, None if it is gone.

    Raises: LeaseLost.
    """
    job = store.get(Kind.TRANSFORM_JOB, lease.job)
    now = clock.now()
    outcome = None if job is None else _outcome(store, job, now.timestamp())
    if job is not None and outcome is not None:
        outcome = _report(places, job, outcome)
    with store.change() as change:
        change.tasks.check(lease)
        change.tasks.forget(lease.job)
        job = change.get(Kind.TRANSFORM_JOB, lease.job)
        if job is None or outcome is None:
            return None
        reason = "" if outcome.reason is None else outcome.reason
        ended = replace(
            job,
            status=outcome.status,
            failure_reason=reason[:_MAX_REASON_CHARS] if outcome.status == FAILED else "",
            modified_at=now,
            state=JobState.read(job.state).write(
                ended_at=now.timestamp(),
                failed=len(outcome.failed),
                rows_in=sum(report.rows_in for report in outcome.files),
                rows_out=outcome.rows_out,
            ),
        )
        change.put(ended)
        return ended


def _outcome(store: Store, job: Resource, now: float) -> JobOutcome:
    state = JobState.read(job.state)
    noted = store.queue.results_of(job.name)
    files = tuple(report_of(noted[name]) for name in sorted(noted))
    seconds = now - state.started_at if state.started_at else 0.0
    fault = store.queue.fault_of(job.name)
    if fault is not None:
        return JobOutcome(FAILED, fault, files, state.label, seconds)
    if job.status == JobStatus.STOPPING and (not state.started_at or len(files) < state.files):
        return JobOutcome(STOPPED, STOPPED_REASON, files, state.label, seconds)
    return _finished(files, state, seconds)


def _finished(files: tuple[FileReport, ...], state: JobState, seconds: float) -> JobOutcome:
    if any(report.error is not None for report in files):
        return JobOutcome(FAILED, describe_failures(files), files, state.label, seconds)
    return JobOutcome(COMPLETED, None, files, state.label, seconds)


def _report(places: Places, job: Resource, outcome: JobOutcome) -> JobOutcome:
    """Write `_report.json` if the job asks for it; the job fails where that cannot be written."""
    if not asks_for(job.document, REPORT_VARIABLE):
        return outcome
    try:
        write_report(places.target(job), outcome)
    except ObjectFault as fault:
        return replace(outcome, status=FAILED, reason=outcome.reason or fault.message)
    return outcome
