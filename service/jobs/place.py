"""Where the inputs and outputs of a stored job are, on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.domain.resource import Resource
from service.domain.transform.document import options_of, source_of, target_of
from service.domain.transform.job import JobState
from service.domain.transform.names import SUFFIX, real_name, stored_name
from service.errors import ObjectFault
from service.jobs.data_log import NO_DATA_LOG, DataLog
from service.jobs.inputs import Input, find_inputs
from service.objects.objects import ObjectPath, find
from service.objects.resolver import Resolver, shared_folder
from service.store.tasks import TaskInput

# How the keys of tasks begin: workers on other machines may have both places at other paths.
_IN_BUCKETS: Final = "s3/"
_IN_INBOX: Final = "inbox/"
_SCHEME: Final = "s3://"


class Places:
    """What jobs see of the data folder: buckets for those of the API, inbox and outbox for dropped files.

    No link is followed out of any of the three.
    """

    def __init__(self, resolver: Resolver, inbox: Path, outbox: Path, log: DataLog = NO_DATA_LOG) -> None:
        self.log = log
        """What is told of jobs' data."""
        self._resolver = resolver
        self._inbox = shared_folder(inbox)
        self._outbox = shared_folder(outbox)

    def target(self, job: Resource) -> ObjectPath:
        """Below which the outputs go. Raises ObjectFault."""
        dropped = _dropped(job)
        if dropped:
            return self._outbox / dropped.partition("/")[0]
        return self._resolver.locate(target_of(job.document))

    def clear(self, job: Resource) -> None:
        """Remove what killed workers left unfinished among the outputs. Raises ObjectFault."""
        target = self.target(job)
        target.objects.clear(target.key)

    def find(self, job: Resource) -> list[TaskInput]:
        """List the inputs. Raises ObjectFault, ValidationFault."""
        dropped = _dropped(job)
        if dropped:
            path = self._inbox / dropped
            key = stored_name(_IN_INBOX + dropped)
            return [TaskInput(stored_name(path.name), key, find(path).size_bytes)]
        source, options = source_of(job.document), options_of(job.document)
        found = find_inputs(self._resolver, source, self.target(job), options)
        return [TaskInput(given.name, _key(given.source), given.size_bytes) for given in found]

    def inputs(self, job: Resource, given: Sequence[TaskInput]) -> list[Input]:
        """Inputs of a task as objects. Raises ObjectFault."""
        target, keep = self.target(job), bool(_dropped(job))
        return [
            Input(
                one.name, self._source(one.key), one.size_bytes, target / (real_name(one.name) + SUFFIX), keep
            )
            for one in given
        ]

    def _source(self, key: str) -> ObjectPath:
        name = real_name(key)
        if name.startswith(_IN_INBOX):
            return self._inbox / name.removeprefix(_IN_INBOX)
        if name.startswith(_IN_BUCKETS):
            return self._resolver.locate(_SCHEME + name.removeprefix(_IN_BUCKETS))
        raise ObjectFault(f"{key} lies neither in a bucket nor in the drop folder.")


def _key(path: ObjectPath) -> str:
    return stored_name(_IN_BUCKETS + path.address.removeprefix(_SCHEME))


def _dropped(job: Resource) -> str:
    """The file of the drop folder that a job is for, as model/name; "" for others."""
    return real_name(JobState.read(job.state).dropped)
