"""Transform jobs for people: the last ones, and how far each is."""

from dataclasses import dataclass
from datetime import datetime

from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.domain.transform.job import JobState, JobStatus
from service.store.store import Store


@dataclass(frozen=True, slots=True)
class JobCard:
    """One job: of `files` inputs, 0 if they are not counted yet, so many `done`, and `failed` of these."""

    name: str
    status: str
    model: str
    created_at: datetime
    ended_at: datetime | None
    files: int
    done: int
    failed: int
    rows: int
    failure_reason: str


def job_cards(store: Store, most: int) -> list[JobCard]:
    """The jobs that were made last, the newest first. Blocks: SQL."""
    with store.view() as view:
        found = view.page(Kind.TRANSFORM_JOB, ListQuery(limit=most))
    return [_card(store, resource) for resource in found]


def _card(store: Store, resource: Resource) -> JobCard:
    state = JobState.read(resource.state)
    if JobStatus(resource.status).is_final:
        done, failed, rows = state.files, state.failed, state.rows_out
    else:
        tally = store.queue.tally(resource.name)
        done, failed, rows = tally.files, tally.failed, tally.rows_out
    return JobCard(
        resource.name,
        resource.status,
        str(resource.document.get("ModelName", "")),
        resource.created_at,
        state.ended,
        state.files,
        done,
        failed,
        rows,
        resource.failure_reason,
    )
