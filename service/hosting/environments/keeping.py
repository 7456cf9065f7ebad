"""Which environments are there, who is at one, and when one that nobody needs any more is cleared.

Each has its record, a file that is written last. A shared lock on it says that the environment is in use, its
time of change when it was used last; beside each lies a file whose lock who makes or clears it holds.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.errors import ModelFailure, NotInstalled
from service.hosting.artifacts.debris import sweep, unfinished
from service.hosting.environments.installer import Tell, clean_cache
from service.log import get_logger

RECORD: Final = "sagebird.json"
"""In each environment: what it was made for."""
CACHE: Final = ".cache"
"""Below the folder of environments: what uv keeps, so that they share the files of equal packages."""
_EVERY_S: Final = 3600.0
_FIRST_S: Final = 600.0  # in which models are loaded after a start, which is a use of what they need


def note_use(place: Path) -> bool:
    """Whether a whole environment is there; then this is its last use."""
    with suppress(OSError), (place / RECORD).open("rb") as record:
        fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)  # else it is being cleared
        if not os.access(place / "bin" / "python", os.X_OK):
            return False
        with suppress(OSError):  # of somebody else's
            os.utime(record.fileno())
        return True
    return False


def hold(python: str) -> int | None:
    """Keep the environment of an interpreter from being cleared until the descriptor is closed.

    None for an interpreter that is in none of ours. Raises ModelFailure where it was cleared meanwhile.
    """
    place = Path(python).parents[1]
    if not place.with_suffix(".lock").exists():
        return None
    try:
        descriptor = os.open(place / RECORD, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ModelFailure(f"the environment of {python} is gone") from error
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


@contextmanager
def only_one(place: Path, tell: Tell | None = None) -> Iterator[None]:
    """Wait until nobody else makes or clears this environment; who dies does not.

    Without `tell`, which is told of the wait, nobody waits: raises BlockingIOError.
    """
    descriptor = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if tell is None:
                raise
            tell("its environment is being made by another process")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """One environment, for people: its Python, the packages asked for, and when it was used last."""

    name: str
    python: str
    packages: tuple[str, ...]
    used_s: float


def environments_there(folder: Path) -> list[EnvironmentCard]:
    """Those that are whole, the one that was used last first; one that is cleared meanwhile is left out.

    Options and addresses that were asked for are not told: they may hold passwords.
    """
    found = []
    for record in folder.glob(f"*/{RECORD}"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            told = json.loads(record.read_text(encoding="utf-8"))
            asked = [line for text in told["asked"] for line in text.splitlines()] + list(told["packages"])
            packages = tuple(dict.fromkeys(line.strip() for line in asked if _is_package(line)))
            used_s = record.stat().st_mtime
            found.append(EnvironmentCard(record.parent.name, str(told["python"]), packages, used_s))
    return sorted(found, key=lambda card: card.used_s, reverse=True)


def _is_package(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(("-", "#")) and "://" not in line


def clear_unused(folder: Path, keep_s: float) -> list[str]:
    """Clear the environments that nobody uses and nobody used for so long; their names.

    Each is there whole or not at all, whenever this is killed.
    """
    before_s = time.time() - keep_s
    cleared = [record.parent.name for record in folder.glob(f"*/{RECORD}") if _clear(record, before_s)]
    sweep(folder)
    if cleared:  # what they have in common with the cache is not free before that is gone, too
        with suppress(NotInstalled, OSError):
            clean_cache(folder / CACHE)
    return cleared


def _clear(record: Path, before_s: float) -> bool:
    place = record.parent
    with suppress(OSError), only_one(place), record.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.utime(opened.fileno())  # used up to now, however long it was loaded before
            return False
        if os.fstat(opened.fileno()).st_mtime >= before_s:
            return False
        with unfinished(place.parent) as aside:
            place.rename(aside / place.name)
            fcntl.flock(opened, fcntl.LOCK_UN)  # whoever waits to hold it sees that it is gone
        return True
    return False


class Clearing:
    """Clears what is unused, every hour and in a thread of its own."""

    def __init__(self, folder: Path, keep_s: float, first_s: float = _FIRST_S) -> None:
        """Begins after `first_s`."""
        self._folder = folder
        self._keep_s = keep_s
        self._due_s = time.monotonic() + first_s

    def look(self) -> None:
        """Begin if it is time to. Does not wait."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + _EVERY_S
        threading.Thread(target=self._clear, name="environments", daemon=True).start()

    def _clear(self) -> None:
        cleared = clear_unused(self._folder, self._keep_s)
        if cleared:
            get_logger("sagebird.environments").info("environments cleared", unused=cleared)
