"""A transform job as the store keeps it: its statuses, and what sagebird knows of it beside its document."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from service.domain.image import needs_engine
from service.domain.stored import StateCodec


class JobStatus(StrEnum):
    """Source: contract C.6."""

    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    FAILED = "Failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job."""
        return self in (JobStatus.STOPPED, JobStatus.COMPLETED, JobStatus.FAILED)


@dataclass(frozen=True, slots=True)
class JobStage:
    """One container of several: its name, where its model is, what its code is told, and its image."""

    name: str = ""
    location: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    image: str = ""

    @property
    def has_own_image(self) -> bool:
        """Whether its image is none that a runtime of this server stands in for."""
        return needs_engine(self.image)


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of a job beside its document.

    The model as it was when the job was made: `location` with its `environment` and `image`, or those of its
    `stages` if it has several containers, and an `obstacle` where it can never run here. `version` is the
    fingerprint of its files when the job began. `dropped` is the file of the drop folder that the job was
    made for, as model/name, "" for others. Times are seconds since 1970, 0 for not yet; the counts are those
    of the end, `files` and `size_bytes` of the inputs also before.
    """

    location: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    obstacle: str = ""
    version: str = ""
    dropped: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    files: int = 0
    size_bytes: int = 0
    failed: int = 0
    rows_in: int = 0
    rows_out: int = 0
    image: str = ""
    stages: tuple[JobStage, ...] = ()

    @staticmethod
    def read(state: Mapping[str, Any]) -> "JobState":
        """From what the store keeps, whichever release wrote it. Raises StateDamaged."""
        return _CODEC.read(state)

    def write(self, **changes: Any) -> dict[str, Any]:
        """What the store keeps, with some fields changed."""
        return _CODEC.write(replace(self, **changes))

    @property
    def containers(self) -> tuple[JobStage, ...]:
        """The containers that each record goes through; the name of the only one is ""."""
        return self.stages or (JobStage("", self.location, self.environment, self.image),)

    @property
    def label(self) -> str:
        """Where the model is, for people."""
        return ", ".join(container.location for container in self.containers)

    @property
    def began(self) -> datetime | None:
        """When the inputs were found, aware in UTC; None for not yet."""
        return datetime.fromtimestamp(self.started_at, UTC) if self.started_at else None

    @property
    def ended(self) -> datetime | None:
        """When the job got its last status, aware in UTC; None for not yet."""
        return datetime.fromtimestamp(self.ended_at, UTC) if self.ended_at else None


_CODEC: Final = StateCodec(JobState)


@dataclass(frozen=True, slots=True)
class Drop:
    """A file of the drop folder and the name of the job that it is to be made.

    Its folder is named after the `model`; `source` and `target` are addresses of the file and of the folder
    of its output.
    """

    job: str
    model: str
    name: str
    source: str
    target: str
