"""The drop folder: a file put in inbox/MODEL/ becomes outbox/MODEL/FILE.out, by an ordinary transform job.

The job's name is made of what the file is, so that workers that see the same file make one job of it, and one
that comes after a crash finds it. The file itself stays until its job has ended. Others may write here, so no
link is followed and only plain files are taken; what cannot be taken is told once and stops nobody else.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.transform.job import Drop, JobStatus
from service.domain.transform.names import stored_name
from service.errors import ResourceInUse, SagebirdError
from service.jobs.outcome import without_content
from service.log import get_logger
from service.media.types import OF_TEXT_ENDING
from service.objects.beneath import Spot, shown, step_down
from service.objects.writing import move_away, replacing
from service.store.store import Store

LOOK_S: Final = 1.0
"""Seconds between two looks; a file that did not change from one to the next is fully written."""

DONE: Final = ".done"
FAILED: Final = ".failed"

_PART: Final = ".part"
_REASON: Final = ".reason"
_MOST_NAME_BYTES: Final = 255
_UNTYPED: Final = (
    "The ending of the file's name tells no type, so it was taken as JSON; these tell one: "
    f"{', '.join(OF_TEXT_ENDING)}, each also with .gz behind it."
)
_ODD_NAME: Final = "The name of the folder is not UTF-8, and no model can have such a name."
_BESIDE: Final = "it lies beside the folders of models: put it into inbox/MODEL/, with the name of its model"
_MOST_TOLD: Final = 10_000
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH

_Identity = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Dropped:
    """A file of the drop folder: the folder that is named after its model, and its own name."""

    model: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.model}/{self.name}")


class Inbox:
    """Watches the drop folder on behalf of one worker."""

    def __init__(self, folder: Path, outbox: Path, store: Store, order: Callable[[Drop], None]) -> None:
        """`order` makes the job of a file; it raises ResourceInUse where another worker was faster."""
        self._folder = folder
        self._outbox = outbox
        self._store = store
        self._order = order
        self._seen: dict[_Dropped, _Identity] = {}
        self._told: set[tuple[str, str]] = set()
        self._waiting: dict[_Dropped, str] = {}  # with the reason that was told
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
        settled = [(dropped, one) for dropped, one in seen.items() if self._seen.get(dropped) == one]
        self._seen = seen
        waited, self._waiting = self._waiting, {}
        for dropped, identity in settled:
            try:
                self._follow(dropped, identity)
            except SagebirdError as error:
                self._waiting[dropped] = error.message
                if waited.get(dropped) != error.message:
                    self._log.warning("dropped file waits", file=str(dropped), reason=error.message)
            except OSError as error:
                self._tell(str(dropped), error)

    def _follow(self, dropped: _Dropped, identity: _Identity) -> None:
        if stored_name(dropped.model) != dropped.model:
            self._put_away(dropped, identity, _ODD_NAME)
            return
        name = _job_name(dropped, identity)
        job = self._store.get(Kind.TRANSFORM_JOB, name)
        if job is None:
            self._make_outbox()
            source, target = self._folder / dropped.model / dropped.name, self._outbox / dropped.model
            with suppress(ResourceInUse):
                self._order(Drop(name, dropped.model, dropped.name, source.as_uri(), target.as_uri()))
                self._log.info("file dropped", file=str(dropped), job=name)
        elif JobStatus(job.status).is_final:
            self._put_away(dropped, identity, _reason(job, dropped))

    def _make_outbox(self) -> None:
        """Whoever may look into the drop folder may look for the answers."""
        if not self._outbox.exists():
            around = self._folder.stat().st_mode
            with suppress(FileExistsError):
                self._outbox.mkdir(mode=0o700)
                self._outbox.chmod(0o700 | around & 0o755)

    def _put_away(self, dropped: _Dropped, identity: _Identity, reason: str) -> None:
        """Move a file whose job has ended; where there is a reason why it failed, a file beside it says it.

        No other file of that name is replaced: the later one gets a number. Raises OSError, ObjectFault.
        """
        spot = Spot(self._folder) / dropped.model
        with spot.folder() as folder:
            try:
                status = os.stat(dropped.name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:  # another worker was faster
                return
            if _identity(status) != identity:
                return
            with (
                _stepped(folder, FAILED if reason else DONE, make=True) as target,
                suppress(FileNotFoundError),
            ):
                kept = move_away(folder, dropped.name, target, dropped.name)
                if reason:
                    with replacing(spot / FAILED / _reason_name(kept)) as sink:
                        sink.write(reason.encode("utf-8", "backslashreplace") + b"\n")
            if not reason:
                _forget_reason(folder, dropped.name)

    def _files(self) -> Iterator[tuple[_Dropped, _Identity]]:
        """Every plain file of every model's folder."""
        try:
            with Spot(self._folder).folder() as inbox:
                for model in _names(inbox):
                    yield from self._files_of(inbox, model)
        except FileNotFoundError:
            return

    def _files_of(self, inbox: int, model: str) -> Iterator[tuple[_Dropped, _Identity]]:
        try:
            if stat.S_ISREG(os.stat(model, dir_fd=inbox, follow_symlinks=False).st_mode):
                self._tell(shown(model), _BESIDE)
                return
            with _stepped(inbox, model) as folder:
                around = os.fstat(folder)
                for name in _names(folder):
                    with suppress(FileNotFoundError):
                        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                        if self._may_take(_Dropped(model, name), status, around):
                            yield _Dropped(model, name), _identity(status)
        except FileNotFoundError:
            return
        except OSError as error:
            self._tell(shown(model), error)

    def _may_take(self, dropped: _Dropped, status: os.stat_result, around: os.stat_result) -> bool:
        """Whether it is a plain file, and no second name of a file that is not the folder's owner's."""
        if stat.S_ISDIR(status.st_mode):
            return False
        if not stat.S_ISREG(status.st_mode):
            self._tell(str(dropped), "it is a link, a pipe or the like, and only plain files are taken")
            return False
        if status.st_nlink > 1 and (status.st_uid != around.st_uid or around.st_mode & _OTHERS_WRITE):
            self._tell(str(dropped), "it is a hard link, perhaps to somebody else's file: copy it instead")
            return False
        return True

    def _tell(self, what: str, why: OSError | str) -> None:
        reason = why if isinstance(why, str) else str(why.strerror or why)
        if (what, reason) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add((what, reason))
            self._log.warning("passed over in the drop folder", file=what, reason=reason)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and not entry.name.endswith((_PART, _REASON))
        ]


@contextmanager
def _stepped(folder: int, name: str, *, make: bool = False) -> Iterator[int]:
    descriptor = step_down(folder, name, make=make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _forget_reason(folder: int, name: str) -> None:
    """Of an earlier failure of a file that was put back since."""
    with suppress(FileNotFoundError), _stepped(folder, FAILED) as failed:
        try:
            os.stat(name, dir_fd=failed, follow_symlinks=False)
        except FileNotFoundError:
            os.unlink(_reason_name(name), dir_fd=failed)


def _reason_name(name: str) -> str:
    """The name of the file with the reason: of a name without room for the ending, its beginning."""
    whole = os.fsencode(name)
    if len(whole) + len(_REASON) > _MOST_NAME_BYTES:
        mark = f"-{hashlib.blake2b(whole, digest_size=4).hexdigest()}{_REASON}"  # others may begin like it
        name = whole[: _MOST_NAME_BYTES - len(mark)].decode(errors="ignore") + mark
    return name + ("" if name.endswith(_REASON) else _REASON)


def _reason(job: Resource, dropped: _Dropped) -> str:
    """Why a job failed, without what the file holds; "" where it did not."""
    if job.status == JobStatus.COMPLETED:
        return ""
    reason = without_content(
        job.failure_reason or f"The job {job.name} was stopped.",
        stored_name(dropped.name),
        f"`sagebird jobs {job.name}` says why.",
    )
    return f"{reason} {_UNTYPED}" if job.failure_reason and not _tells_type(dropped.name) else reason


def _tells_type(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(tuple(OF_TEXT_ENDING))


def _identity(status: os.stat_result) -> _Identity:
    """What changes with every write, and when a file is moved out and in again to have it done again.

    A drop folder is a folder wherever objects are kept, so this is no version.
    """
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _job_name(dropped: _Dropped, identity: _Identity) -> str:
    text = "\0".join([dropped.model, dropped.name, *map(str, identity[1:])])
    return "inbox-" + hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()
