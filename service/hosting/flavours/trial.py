"""Loads a model file in a process of its own first, within a limit of memory, to see whether it stays within.

`python -m service.hosting.flavours.trial FILE BYTES [FOLDER…]`; the folders are where its modules lie.
"""

import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import joblib

from service.errors import ModelFailure, ModelFault
from service.hosting.flavours.preload import preload
from service.hosting.footprint import measure

_TOO_LARGE: Final = 3
_LONGEST_S: Final = 600.0
_SLACK_BYTES: Final = 64 * 2**20  # what reading takes besides, a piece at a time


def try_out(file: Path, most_bytes: int, folders: Sequence[Path], too_large: ModelFault) -> None:
    """Load a file elsewhere and forget it. Raises `too_large`; ModelFailure where that process dies or hangs.

    Whatever else is wrong with the file, its load says.
    """
    command = [sys.executable, "-m", __name__, str(file), str(most_bytes), *map(str, folders)]
    try:
        ended = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            cwd=Path(__file__).parents[3],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LONGEST_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise ModelFailure(f"{file.name} was not loaded within {_LONGEST_S:g} seconds") from None
    if ended == _TOO_LARGE:
        raise too_large
    if ended < 0:
        raise ModelFailure(f"{file.name} ends the process that loads it (signal {-ended})")


def _main(file: Path, most_bytes: int, folders: Sequence[str]) -> int:
    preload()  # what most models import anyway is not theirs
    sys.path[:0] = folders
    _limit(most_bytes)
    try:
        return _TOO_LARGE if measure(joblib.load(file), file.parent) > most_bytes else 0
    except MemoryError:
        return _TOO_LARGE
    except BaseException as error:  # edge: the model's own code; its load tells
        return _TOO_LARGE if _is_of_memory(error) else 0


def _is_of_memory(error: BaseException) -> bool:
    """Whether a lack of memory is what an error came from."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _limit(most_bytes: int) -> None:
    """Refuse this process more than `most_bytes` from here on, where the system can."""
    with suppress(OSError, ValueError):  # no /proc, or no such limit
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + most_bytes + _SLACK_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
