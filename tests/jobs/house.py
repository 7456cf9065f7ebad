"""A data folder with a bucket, a model that does what its rows say, and workers over one store."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.clock import Clock, ManualClock
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.transform.job import JobState
from service.hosting.artifacts.archive import Limits
from service.hosting.artifacts.artifact import ArtifactStore
from service.hosting.containers.opener import Containers
from service.jobs.place import Places
from service.jobs.worker import JobParts, Worker
from service.objects.resolver import Resolver
from service.store.store import Store

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

# Doubles a row's first number. `bad` is refused, `die` ends the process, `wait` waits for a file.
_CODE = """
import os
import time
from pathlib import Path


def model_fn(model_dir):
    return Path(model_dir)


def transform_fn(model, data, content_type, accept):
    text = data if isinstance(data, str) else data.decode()
    answers = []
    for number, line in enumerate(text.splitlines(), 1):
        first = line.split(",")[0]
        if first == "bad":
            raise ValueError("this row is bad")
        if first == "die":
            os._exit(1)
        if first == "wait":
            (model / "reached").touch()
            while not (model / "go").exists():
                time.sleep(0.01)
            first = "0"
        answers.append(f"{float(first) * 2:g}")
    return "".join(answer + "\\n" for answer in answers), "text/csv"
"""


class House:
    """The folders and the store; times are those of `clock`."""

    def __init__(self, folder: Path, containers: Containers | None) -> None:
        self.data = folder / "data"
        self.bucket = self.data / "s3" / "bucket"
        self.models = folder / "models"
        self.model = self.models / "doubles"
        self.model.mkdir(parents=True)
        (self.model / "inference.py").write_text(_CODE)
        self.clock = ManualClock(NOON)
        self.store = Store(self.data / "state.db")
        self.places = Places(Resolver(self.data / "s3"), self.data / "inbox", self.data / "outbox")
        artifacts = ArtifactStore(
            [self.models, self.data], self.data / "unpacked", Limits(2**30, 1000, 100.0)
        )
        self.bench = JobParts(self.places, artifacts, self.models, 1, containers=containers)

    def put(self, name: str, *rows: object) -> None:
        """Write an input of these rows."""
        path = self.bucket / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{row}\n" for row in rows))

    def outputs(self) -> dict[str, str]:
        """The texts of all files below the output's folder, by name."""
        folder = self.bucket / "out"
        return {
            str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()
        }

    def order(self, name: str = "job", location: str = "doubles", **more: Any) -> None:
        """Make a job over everything below in/."""
        document: Mapping[str, Any] = {
            "TransformJobName": name,
            "ModelName": "doubles",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            "TransformOutput": {"S3OutputPath": "s3://bucket/out", "Accept": "text/csv"},
            **more,
        }
        now = self.clock.now()
        state = JobState(location).write()
        with self.store.change() as change:
            change.put(
                Resource(Kind.TRANSFORM_JOB, name, document, now, now, status="InProgress", state=state)
            )
            change.tasks.add(name, now)

    def stop(self, name: str = "job") -> None:
        """What StopTransformJob does."""
        with self.store.change() as change:
            job = change.get(Kind.TRANSFORM_JOB, name)
            assert job is not None
            change.put(replace(job, status="Stopping"))
            change.tasks.stop(name, self.clock.now())

    def worker(self, leaving: Callable[[], bool] = lambda: False, clock: Clock | None = None) -> Worker:
        """One more worker."""
        return Worker(self.store, self.bench, clock or self.clock, leaving)

    def finish(self, worker: Worker | None = None) -> None:
        """Work until nothing is left."""
        worker = worker or self.worker()
        while worker.step():
            pass

    def job(self, name: str = "job") -> Resource:
        """The job as the store has it."""
        found = self.store.get(Kind.TRANSFORM_JOB, name)
        assert found is not None
        return found

    def state(self, name: str = "job") -> JobState:
        """What is known of the job beside its document."""
        return JobState.read(self.job(name).state)
