"""The journal of a worker's task: in the queue's own database, where the lease is held as well.

An input is noted, with the version of its output, before the output gets its name. Who takes a task over
reads that: an output that is there is done; one that is not never comes, because its unfinished write is
withdrawn first. So no output is written twice, however late the first worker wakes up.
"""

from service.clock import Clock
from service.jobs.outcome import FileReport
from service.objects.objects import ObjectPath, is_written
from service.store.results import InputResult
from service.store.tasks import TaskLease, TaskQueue


class TaskJournal:
    """Implements Journal for what is held on a lease."""

    def __init__(self, queue: TaskQueue, lease: TaskLease, clock: Clock) -> None:
        """Read what earlier holders noted."""
        self._queue = queue
        self._lease = lease
        self._clock = clock
        self._known = queue.results_of(lease.job, [given.name for given in lease.inputs])

    def find(self, name: str, output: ObjectPath) -> FileReport | None:
        """The report of an input that failed, or whose output is there as it was noted."""
        noted = self._known.get(name)
        if noted is None:
            return None
        if noted.error is None and not is_written(output, noted.version):
            output.objects.withdraw(output.key, noted.version)
            if not is_written(output, noted.version):
                return None
        return report_of(noted)

    def note(self, report: FileReport, version: str | None) -> None:
        """Remember an input. Raises LeaseLost."""
        noted = InputResult(
            report.name,
            report.rows_in,
            report.rows_out,
            report.rejected,
            report.seconds,
            report.error,
            "" if version is None else version,
        )
        self._queue.note(self._lease, noted, self._clock.now())


def report_of(noted: InputResult) -> FileReport:
    """What was noted of an input, as jobs tell it."""
    return FileReport(noted.name, noted.rows_in, noted.rows_out, noted.rejected, noted.seconds, noted.error)
