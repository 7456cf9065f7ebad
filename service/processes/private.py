"""A folder of one family's own for its sockets: nobody else may enter it, and it goes with the family.

What a family left that was killed is cleared away by the next one of the same data folder.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = "run-"
_PREFIX = "sagebird-"
_LOCK = "lock"
_ELSEWHERE = "elsewhere"
_MOST_PATH_BYTES = 80  # of 104 to 108 that the address of a socket may have


@contextmanager
def private_folder(data: Path | None) -> Iterator[Path]:
    """A folder for sockets: below the data folder, where there is one and its path is short enough."""
    if data is None:
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
            yield Path(name)
        return
    _clear_left(data)
    place = Path(tempfile.mkdtemp(prefix=_NAME, dir=data))
    with (place / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = place
        if len(bytes(place)) > _MOST_PATH_BYTES:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            (place / _ELSEWHERE).write_bytes(bytes(folder))
        try:
            yield folder
        finally:
            _clear(place)


def _clear_left(data: Path) -> None:
    for place in data.glob(f"{_NAME}*"):
        with suppress(OSError), (place / _LOCK).open("rb") as lock:  # held, or gone by now
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(place)


def _clear(place: Path) -> None:
    with suppress(OSError):
        elsewhere = Path((place / _ELSEWHERE).read_bytes().decode())
        if elsewhere.name.startswith(_PREFIX):
            shutil.rmtree(elsewhere, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
