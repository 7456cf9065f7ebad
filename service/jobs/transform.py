"""One batch transform job, from its inputs to its outputs: cut, work, assemble, give the output its name.

In here: the order of things, and what is written when. How records are cut is in inputs, what becomes of a
batch in work, who does it in pool. Processes and threads are the pool's; this runs in one thread.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from service.clock import Clock
from service.domain.transform.names import REJECTED_SUFFIX, REPORT, SUFFIX
from service.domain.transform.options import TransformOptions
from service.errors import ObjectFault, RecordError
from service.jobs.inputs import Input, cut
from service.jobs.journal import Journal
from service.jobs.outcome import (
    COMPLETED,
    FAILED,
    STOPPED,
    FileReport,
    JobOutcome,
    Progress,
    describe_failures,
)
from service.jobs.pool import Item, WorkerPool
from service.jobs.process import Spans
from service.jobs.work import Done, Failed, Rejected
from service.objects.objects import ObjectPath, Sink, sync

STOPPED_REASON: Final = "The job was stopped; outputs that were finished before are whole."


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose model is loaded and whose inputs are found."""

    inputs: Sequence[Input]
    target: ObjectPath
    options: TransformOptions
    pool: WorkerPool
    remote: bool = False
    quarantine: bool = False
    report: bool = False


@dataclass(frozen=True, slots=True)
class JobMonitor:
    """Who watches a job: asked between batches whether to stop, told after each how far it is."""

    clock: Clock
    journal: Journal
    stop: Callable[[], bool] = lambda: False
    tell: Callable[[Progress], None] = lambda _: None


def run_transform(job: Job, watch: JobMonitor) -> JobOutcome:
    """Do the job. A bad input fails alone; what keeps outputs from being written ends it.

    Raises: ObjectFault where an output cannot be written; no unfinished output is left then.
    """
    return _Run(job, watch).run()


@dataclass(slots=True)
class _Open:
    """The input whose batches are coming in."""

    given: Input
    begun_s: float
    stack: ExitStack
    sink: Sink | None = None
    rejects: Sink | None = None
    records: int = 0
    rows_out: int = 0
    rejected: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class _Run:
    job: Job
    watch: JobMonitor
    reports: dict[int, FileReport] = field(default_factory=dict)
    folders: set[ObjectPath] = field(default_factory=set)
    rows: int = 0
    size_bytes: int = 0
    total_bytes: int = 0
    stopped: bool = False

    def run(self) -> JobOutcome:
        begun_s = self.watch.clock.monotonic()
        self.total_bytes = sum(given.size_bytes for given in self.job.inputs)
        self._skip_done()
        results = self.job.pool.results(self._items())
        current: _Open | None = None
        try:
            with closing(results):
                for item, result in results:
                    current = self._step(current, item, result)
                    if self._stops():
                        break
        finally:
            if current is not None:
                _discard(current)
        sync(sorted(self.folders, key=str))
        outcome = self._outcome(self.watch.clock.monotonic() - begun_s)
        if self.job.report:
            write_report(self.job.target, outcome)
        return outcome

    def _skip_done(self) -> None:
        for index, given in enumerate(self.job.inputs):
            report = self.watch.journal.find(given.name, given.output)
            if report is not None:
                self.reports[index] = report
                self.rows += report.rows_in
                self.size_bytes += given.size_bytes
        self._tell(None)

    # ---- what there is to do, a few steps ahead of what is done

    def _items(self) -> Iterator[Item]:
        for index, given in enumerate(self.job.inputs):
            if index in self.reports:
                continue
            try:
                for batch in cut(given, self.job.options, self.job.pool.profile, remote=self.job.remote):
                    if self._stops():
                        return
                    if index in self.reports:  # it failed meanwhile
                        break
                    yield Item(index, batch)
            except RecordError as error:
                yield Item(index, fault=error.reason, number=error.number)
            except ObjectFault as fault:
                yield Item(index, fault=fault.message)
            else:
                yield Item(index)

    # ---- what is done, in order

    def _step(self, current: _Open | None, item: Item, result: "Done | Failed | None") -> _Open | None:
        if item.file in self.reports:
            return current
        if current is None:
            given = self.job.inputs[item.file]
            current = _Open(given, self.watch.clock.monotonic(), ExitStack())
        if item.fault is not None:
            number = current.records + item.number if item.number else None
            self._fail(current, item.file, number, item.fault)
            return None
        if isinstance(result, Failed):
            number = None if result.number is None else current.records + result.number
            self._fail(current, item.file, number, result.reason)
            return None
        if result is None:
            self._finish(current, item.file)
            return None
        self._add(current, result)
        self.rows += result.records
        if isinstance(item.batch, Spans):
            current.size_bytes += item.batch.size_bytes
        self._tell(current)
        return current

    def _add(self, current: _Open, done: Done) -> None:
        try:
            if done.output:
                self._sink(current).write(done.output)
            for rejected in done.rejected:
                self._reject(current, rejected)
        except BaseException:
            _discard(current)
            raise
        current.records += done.records
        current.rows_out += done.rows_out
        current.rejected += len(done.rejected)

    def _sink(self, current: _Open) -> Sink:
        if current.sink is None:
            current.sink = current.stack.enter_context(
                _writing(current.given.output, keep=current.given.keep)
            )
        return current.sink

    def _reject(self, current: _Open, rejected: Rejected) -> None:
        if current.rejects is None:
            current.rejects = current.stack.enter_context(_writing(_rejects_file(current.given)))
        line = {
            "record": current.records + rejected.number,
            "reason": rejected.reason,
            **_shown(rejected.data),
        }
        current.rejects.write(orjson.dumps(line) + b"\n")

    def _finish(self, current: _Open, index: int) -> None:
        sink = self._sink(current)  # an input without records has an output without any
        report = self._report_of(current, None)
        with current.stack:
            self.watch.journal.note(report, sink.version)
        if not current.rejected:
            rejects = _rejects_file(current.given)
            rejects.objects.remove(rejects.key)  # of an earlier run
        self.folders.add(current.given.output.parent)
        self._close(current, index, report)

    def _fail(self, current: _Open, index: int, number: int | None, reason: str) -> None:
        _discard(current)
        place = current.given.name if number is None else f"{current.given.name}, record {number}"
        report = self._report_of(current, f"{place}: {reason.rstrip('.')}.")
        self.watch.journal.note(report, None)
        self._close(current, index, report)

    def _close(self, current: _Open, index: int, report: FileReport) -> None:
        self.reports[index] = report
        self.size_bytes += current.given.size_bytes
        self._tell(None)

    def _report_of(self, current: _Open, error: str | None) -> FileReport:
        seconds = self.watch.clock.monotonic() - current.begun_s
        rows_out = current.rows_out if error is None else 0
        return FileReport(
            current.given.name, current.records, rows_out, current.rejected, round(seconds, 3), error
        )

    # ---- what others are told

    def _stops(self) -> bool:
        self.stopped = self.stopped or self.watch.stop()
        return self.stopped

    def _tell(self, current: _Open | None) -> None:
        read = self.size_bytes + (0 if current is None else current.size_bytes)
        self.watch.tell(Progress(len(self.reports), len(self.job.inputs), self.rows, read, self.total_bytes))

    def _outcome(self, seconds: float) -> JobOutcome:
        files = tuple(self.reports[index] for index in sorted(self.reports))
        model = self.job.pool.profile.description
        if self.stopped and len(files) < len(self.job.inputs):
            return JobOutcome(STOPPED, STOPPED_REASON, files, model, seconds)
        if any(report.error is not None for report in files):
            return JobOutcome(FAILED, describe_failures(files), files, model, seconds)
        return JobOutcome(COMPLETED, None, files, model, seconds)


def write_report(target: ObjectPath, outcome: JobOutcome) -> None:
    """Write `_report.json` beside the outputs in the folder `target`. Raises ObjectFault."""
    document = {
        "status": outcome.status,
        "reason": outcome.reason,
        "model": outcome.model,
        "seconds": round(outcome.seconds, 3),
        **_sums(outcome.files, outcome.seconds),
        "files": [
            {
                "input": report.name,
                "output": None if report.error is not None else report.name + SUFFIX,
                "rejected_file": report.name + REJECTED_SUFFIX if report.rejected else None,
                "seconds": report.seconds,
                "error": report.error,
                **_sums([report], report.seconds),
            }
            for report in outcome.files
        ],
    }
    with _writing(target / REPORT) as sink:
        sink.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def _sums(files: Sequence[FileReport], seconds: float) -> dict[str, Any]:
    rows_in = sum(report.rows_in for report in files)
    return {
        "rows_in": rows_in,
        "rows_out": sum(report.rows_out for report in files),
        "rejected": sum(report.rejected for report in files),
        "rows_per_s": round(rows_in / seconds) if seconds else None,
    }


def _writing(path: ObjectPath, *, keep: bool = False) -> AbstractContextManager[Sink]:
    return path.objects.write(path.key, keep=keep)


def _rejects_file(given: Input) -> ObjectPath:
    return given.output.parent / (given.output.name.removesuffix(SUFFIX) + REJECTED_SUFFIX)


def _discard(current: _Open) -> None:
    """Close what is being written in a way that it leaves nothing."""
    current.stack.__exit__(_Discarded, _Discarded(), None)


class _Discarded(Exception):
    """Thrown into open outputs, which then remove themselves."""


def _shown(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode().rstrip("\r\n")}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode()}
