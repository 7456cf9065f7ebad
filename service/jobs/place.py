"""Where the inputs and outputs of a stored job are, on this machine."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.domain.resource import Resource
from service.domain.transform.document import options_of, source_of, target_of
from service.domain.transform.job import JobState
from service.domain.transform.names import SUFFIX, real_name, stored_name
from service.errors import ObjectFault
from service.jobs.inputs import Input, find_inputs
from service.objects.beneath import Spot
from service.objects.store import BUCKETS_CALLED, ObjectStore, cannot_read
from service.store.tasks import TaskInput


@dataclass(frozen=True, slots=True)
class Places:
    """The data folder, as jobs see it: buckets for those of the API, inbox and outbox for dropped files.

    Tasks name files below the data folder, which workers may have at different paths. No link is followed out
    of any of the three.
    """

    data: Path
    buckets: Path
    inbox: Path
    outbox: Path

    def target(self, job: Resource) -> Spot:
        """The folder below which the outputs go. Raises ObjectFault."""
        dropped = _dropped(job)
        if dropped:
            return Spot(self.outbox) / dropped.partition("/")[0]
        return self._objects().locate(target_of(job.document))

    def find(self, job: Resource) -> list[TaskInput]:
        """List the inputs. Raises ObjectFault, ValidationFault."""
        dropped = _dropped(job)
        if dropped:
            return [self._dropped_file(dropped)]
        found = find_inputs(
            self._objects(), source_of(job.document), self.target(job), options_of(job.document)
        )
        return [TaskInput(given.name, self._key(given.spot), given.size_bytes) for given in found]

    def inputs(self, job: Resource, given: Sequence[TaskInput]) -> list[Input]:
        """Inputs of a task as files. Raises ObjectFault."""
        target, keep = self.target(job), bool(_dropped(job))
        return [
            Input(
                one.name, self._spot(one.key), one.size_bytes, target / (real_name(one.name) + SUFFIX), keep
            )
            for one in given
        ]

    def _dropped_file(self, dropped: str) -> TaskInput:
        spot = Spot(self.inbox) / dropped
        try:
            status = spot.status()
        except OSError as error:
            raise cannot_read(spot, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise ObjectFault(f"{spot} cannot be read: it is no plain file.")
        return TaskInput(stored_name(spot.name), self._key(spot), status.st_size)

    def _key(self, spot: Spot) -> str:
        return stored_name(str(spot.path.relative_to(self.data)))

    def _spot(self, key: str) -> Spot:
        path = self.data / real_name(key)
        for root, called in ((self.inbox, ""), (self.buckets, BUCKETS_CALLED)):
            if root in path.parents:
                return Spot(root, called=called) / str(path.relative_to(root))
        raise ObjectFault(f"{key} lies neither in a bucket nor in the drop folder.")

    def _objects(self) -> ObjectStore:
        return ObjectStore(self.buckets, allow_paths=False)


def _dropped(job: Resource) -> str:
    """The file of the drop folder that a job is for, as model/name; "" for others."""
    return real_name(JobState.read(job.state).dropped)
