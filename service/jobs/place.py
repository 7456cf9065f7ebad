"""Where the inputs and outputs of a stored job are, on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.resource import Resource
from service.domain.transform.document import options_of, source_of, target_of
from service.domain.transform.job import JobState
from service.domain.transform.names import SUFFIX
from service.jobs.inputs import Input, find_inputs
from service.objects.store import ObjectStore
from service.store.tasks import TaskInput


@dataclass(frozen=True, slots=True)
class Places:
    """The data folder, as jobs see it: buckets for those of the API, inbox and outbox for dropped files.

    Tasks name files below the data folder, which workers may have at different paths.
    """

    data: Path
    buckets: Path
    inbox: Path
    outbox: Path

    def target(self, job: Resource) -> Path:
        """The folder below which the outputs go. Raises ObjectFault."""
        dropped = JobState.read(job.state).dropped
        if dropped:
            return self.outbox / dropped.partition("/")[0]
        return self._objects(job).locate(target_of(job.document))

    def find(self, job: Resource) -> list[TaskInput]:
        """List the inputs. Raises ObjectFault, ValidationFault."""
        dropped = JobState.read(job.state).dropped
        source = str(self.inbox / dropped) if dropped else source_of(job.document)
        found = find_inputs(self._objects(job), source, self.target(job), options_of(job.document))
        return [
            TaskInput(given.name, str(given.path.relative_to(self.data)), given.size_bytes) for given in found
        ]

    def inputs(self, job: Resource, given: Sequence[TaskInput]) -> list[Input]:
        """Inputs of a task as files. Raises ObjectFault."""
        target = self.target(job)
        return [
            Input(one.name, self.data / one.key, one.size_bytes, target / (one.name + SUFFIX))
            for one in given
        ]

    def _objects(self, job: Resource) -> ObjectStore:
        return ObjectStore(self.buckets, allow_paths=bool(JobState.read(job.state).dropped))
