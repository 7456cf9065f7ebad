"""The drop folder: a file put in inbox/MODEL/ becomes outbox/MODEL/FILE.out, by an ordinary transform job.

The job's name is made of what the file is, so that workers that see the same file make one job of it, and one
that comes after a crash finds it. The file itself stays until its job has ended.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.transform.job import Drop, JobStatus
from service.errors import ResourceInUse, SagebirdError
from service.log import get_logger
from service.objects.store import replacing
from service.store.store import Store

LOOK_S: Final = 1.0
"""Seconds between two looks; a file that did not change from one to the next is fully written."""

DONE: Final = ".done"
FAILED: Final = ".failed"

_PART: Final = ".part"

_Identity = tuple[int, int, int, int, int]


class Inbox:
    """Watches the drop folder on behalf of one worker."""

    def __init__(self, folder: Path, outbox: Path, store: Store, order: Callable[[Drop], None]) -> None:
        """`order` makes the job of a file; it raises ResourceInUse where another worker was faster."""
        self._folder = folder
        self._outbox = outbox
        self._store = store
        self._order = order
        self._seen: dict[Path, _Identity] = {}
        self._log = get_logger("sagebird.inbox")

    def run(self, rest: Callable[[float], bool]) -> None:
        """Look until `rest`, which sleeps for some seconds, says that it is time to leave."""
        while not rest(LOOK_S):
            try:
                self.look()
            except Exception:  # the edge of a loop that must outlive one bad look
                self._log.exception("could not look into the drop folder")

    def look(self) -> None:
        """Make jobs of files that did not change since the last look; clear away those whose job ended."""
        seen = dict(self._files())
        settled = [(path, one) for path, one in seen.items() if self._seen.get(path) == one]
        self._seen = seen
        for path, identity in settled:
            try:
                self._follow(path, _job_name(path, identity))
            except SagebirdError as error:
                self._log.warning("dropped file waits", file=str(path), reason=error.message)

    def _follow(self, path: Path, name: str) -> None:
        job = self._store.get(Kind.TRANSFORM_JOB, name)
        if job is None:
            model = path.parent.name
            target = self._outbox / model
            with suppress(ResourceInUse):
                self._order(Drop(name, model, path.name, path.as_uri(), target.as_uri()))
                self._log.info("file dropped", file=str(path), job=name)
        elif JobStatus(job.status).is_final:
            self._clear_away(path, job)

    def _clear_away(self, path: Path, job: Resource) -> None:
        """Move a file whose job has ended; where it failed, a file beside it says why."""
        done = job.status == JobStatus.COMPLETED
        folder = path.parent / (DONE if done else FAILED)
        reason = folder / f"{path.name}.reason"
        try:
            folder.mkdir(exist_ok=True)
            if not done:
                with replacing(reason) as sink:
                    sink.write((job.failure_reason or f"The job {job.name} was stopped.").encode() + b"\n")
            with suppress(FileNotFoundError):  # another worker was faster
                path.replace(folder / path.name)
            if done:
                (path.parent / FAILED / path.name).unlink(missing_ok=True)
                (path.parent / FAILED / reason.name).unlink(missing_ok=True)
        except OSError as error:
            self._log.warning("file cannot be moved", file=str(path), reason=error.strerror)

    def _files(self) -> Iterator[tuple[Path, _Identity]]:
        for model in _entries(self._folder):
            if model.is_dir():
                for entry in _entries(Path(model.path)):
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        if stat.S_ISREG(status.st_mode):
                            yield Path(entry.path), _identity(status)


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and not entry.name.endswith(_PART):
                yield entry


def _identity(status: os.stat_result) -> _Identity:
    """What changes with every write, and when a file is moved out and in again to have it done again."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _job_name(path: Path, identity: _Identity) -> str:
    text = "\0".join([path.parent.name, path.name, *map(str, identity[1:])])
    return "inbox-" + hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
