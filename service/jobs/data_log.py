"""What is told of a job's data, in the words of AWS: how it is cut, and which inputs failed and why.

Source: contract D.7, observed; the stream is contract E.3's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from service.domain.log_places import KeepLine, place_below, place_of_job
from service.domain.resource import Resource
from service.domain.transform.document import options_of
from service.domain.transform.job import JobStage
from service.hosting.containers.opener import Containers
from service.jobs.journal import Journal
from service.jobs.outcome import FileReport
from service.objects.objects import ObjectPath

_STREAM: Final = "data-log"
_MOST_CHARS: Final = 8192


@dataclass(frozen=True, slots=True)
class DataLog:
    """Where workers tell it; without `keep` nowhere."""

    keep: KeepLine | None = None

    def place(self, job: Resource) -> str | None:
        """Where is kept what a job's model prints."""
        return None if self.keep is None else str(place_of_job(job.name, job.created_at))

    def printing(self, containers: Containers, job: Resource, stage: JobStage) -> Containers:
        """The containers of a job's model, or of one stage of it."""
        place = self.place(job)
        if place is None:
            return containers
        below = place_below(place, stage.name) if stage.name else place
        return containers.printing_at(partial(tuple, (below,)))

    def begin(self, job: Resource) -> None:
        """A job begins."""
        options = options_of(job.document)
        told = {
            "MaxConcurrentTransforms": options.max_concurrent_transforms,
            "MaxPayloadInMB": options.max_payload_in_mb,
            "BatchStrategy": options.batch_strategy,
        }
        self._tell(job, ", ".join(f"{name}={value}" for name, value in told.items() if value is not None))

    def told(self, job: Resource, journal: Journal) -> Journal:
        """A journal from which is told which inputs failed."""
        return journal if self.keep is None else _Telling(self, job, journal)

    def fail(self, job: Resource, reason: str) -> None:
        """An input failed."""
        self._tell(job, reason[:_MOST_CHARS])

    def _tell(self, job: Resource, text: str) -> None:
        place = self.place(job)
        if self.keep is not None and place is not None and text:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            self.keep(place_below(place, _STREAM), f"{now}:[sagemaker logs]: {text}", "")


NO_DATA_LOG: Final = DataLog()


@dataclass(frozen=True, slots=True)
class _Telling:
    log: DataLog
    job: Resource
    journal: Journal

    def find(self, name: str, output: ObjectPath) -> FileReport | None:
        return self.journal.find(name, output)

    def note(self, report: FileReport, version: str | None) -> None:
        self.journal.note(report, version)
        if report.error is not None:
            self.log.fail(self.job, report.error)
