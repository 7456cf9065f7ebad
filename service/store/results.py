"""What became of the inputs of jobs, as rows of their table; each function in the caller's transaction."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, case, delete, func, insert, select

from service.store.database import upsert
from service.store.tables import results

_MANY: Final = 500  # values in one statement
_OF_A_FILE: Final = 4  # numbers that outputs were known by before they had versions
_OF_JOB: Final = ""  # the name under which a job's own fault is kept; no input has it


@dataclass(frozen=True, slots=True)
class InputResult:
    """What became of an input: `error` says why it has no output, `version` is its output's."""

    name: str
    rows_in: int = 0
    rows_out: int = 0
    rejected: int = 0
    seconds: float = 0.0
    error: str | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class JobTotals:
    """How many inputs of a job are dealt with, how many of them failed, and their rows."""

    files: int = 0
    failed: int = 0
    rows_in: int = 0
    rows_out: int = 0


def write_result(connection: Connection, job: str, noted: InputResult) -> None:
    """Keep what became of an input, in place of what was known of it."""
    upsert(connection, results, _row(job, noted))


def write_fault(connection: Connection, job: str, reason: str) -> None:
    """Keep why a job as a whole fails; the first reason counts."""
    if read_fault(connection, job) is None:
        connection.execute(insert(results), _row(job, InputResult(_OF_JOB, error=reason)))


def read_results(connection: Connection, job: str, names: Collection[str] | None) -> dict[str, InputResult]:
    """What became of a job's inputs, by name; of all of them, or of `names`."""
    found = {}
    for statement in _queries(job, None if names is None else [_digest(name) for name in names]):
        for row in connection.execute(statement):
            found[row.name] = InputResult(
                row.name,
                row.rows_in,
                row.rows_out,
                row.rejected,
                row.seconds,
                row.error,
                _version(row.identity),
            )
    return found


def read_fault(connection: Connection, job: str) -> str | None:
    """Why a job as a whole failed, None if it did not."""
    own = results.c.job == job, results.c.digest == _digest(_OF_JOB)
    return connection.scalar(select(results.c.error).where(*own))


def read_tally(connection: Connection, job: str) -> JobTotals:
    """How far a job is."""
    sums = (
        func.count(),
        func.sum(case((results.c.failed, 1), else_=0)),
        func.sum(results.c.rows_in),
        func.sum(results.c.rows_out),
    )
    row = connection.execute(select(*sums).where(_inputs_of(job))).one()
    return JobTotals(*(int(value or 0) for value in row))


def forget_results(connection: Connection, job: str) -> None:
    """Remove all that is kept of a job."""
    connection.execute(delete(results).where(results.c.job == job))


def _row(job: str, noted: InputResult) -> dict[str, Any]:
    return {
        "job": job,
        "digest": _digest(noted.name),
        "name": noted.name,
        "rows_in": noted.rows_in,
        "rows_out": noted.rows_out,
        "rejected": noted.rejected,
        "seconds": noted.seconds,
        "failed": noted.error is not None,
        "error": noted.error,
        "identity": [noted.version] if noted.version else [],
    }


def _version(kept: list[Any]) -> str:
    """The version of an output; earlier releases kept device, inode, size and time of change in ns."""
    if len(kept) == _OF_A_FILE:
        return "-".join(map(str, kept[2:]))
    return kept[0] if kept else ""


def _queries(job: str, digests: list[str] | None) -> Iterator[Select[Any]]:
    whole = select(results).where(_inputs_of(job))
    if digests is None:
        yield whole
        return
    for start in range(0, len(digests), _MANY):
        yield whole.where(results.c.digest.in_(digests[start : start + _MANY]))


def _inputs_of(job: str) -> ColumnElement[bool]:
    return and_(results.c.job == job, results.c.digest != _digest(_OF_JOB))


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
