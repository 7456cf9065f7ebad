"""Loads a model file in a process of its own first, within a limit of memory, to see whether it stays within.

`python -m service.hosting.runtimes.trial PIPE FILE BYTES`.

What it found it writes to the pipe, whose descriptor it is given: an exit code proves nothing, since what
is loaded may end the process with any.
"""

import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import joblib

from service.errors import ModelFailure, ModelFault
from service.hosting.footprint import measure
from service.hosting.runtimes.named import modules_of
from service.hosting.runtimes.preload import preload

_HARMLESS: Final = b"harmless"
_TOO_LARGE: Final = b"too large"
_LONGEST_S: Final = 600.0
_MOST_SLACK_BYTES: Final = 64 * 2**20  # what reading takes besides, a piece at a time
_SLACK_SHARE: Final = 8  # of a small room only a part may be taken besides


def try_out(file: Path, most_bytes: int, too_large: ModelFault) -> None:
    """Load a file elsewhere and forget it. Raises `too_large`; ModelFailure where that process dies or hangs.

    Whatever else is wrong with the file, its load says.
    """
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb"):
            command = [sys.executable, "-m", __name__, str(writer), str(file), str(most_bytes)]
            ended = _run(command, file, writer)
        os.set_blocking(reader, False)  # what the model's code has started may hold the other end
        try:
            said = os.read(reader, len(_TOO_LARGE))
        except BlockingIOError:
            said = b""
    finally:
        os.close(reader)
    if said == _TOO_LARGE:
        raise too_large
    if said != _HARMLESS:
        how = f"signal {-ended}" if ended < 0 else f"exit code {ended}"
        raise ModelFailure(f"{file.name} ends the process that loads it ({how})")


def _run(command: list[str], file: Path, pipe: int) -> int:
    try:
        return subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            cwd=Path(__file__).parents[3],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LONGEST_S,
            check=False,
            pass_fds=[pipe],
        ).returncode
    except subprocess.TimeoutExpired:
        raise ModelFailure(f"{file.name} was not loaded within {_LONGEST_S:g} seconds") from None


def _main(pipe: int, file: Path, most_bytes: int) -> NoReturn:
    preload(modules_of(file))  # libraries are not the model's
    os.set_inheritable(pipe, False)
    _limit(most_bytes)
    os.write(pipe, _try(file, most_bytes))
    os._exit(0)  # threads and exit handlers of the model's must not hold it up


def _try(file: Path, most_bytes: int) -> bytes:
    try:
        return _TOO_LARGE if measure(joblib.load(file), file.parent) > most_bytes else _HARMLESS
    except MemoryError:
        return _TOO_LARGE
    except BaseException as error:  # edge: the model's own code; its load tells
        return _TOO_LARGE if _is_of_memory(error) else _HARMLESS


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
        slack = min(_MOST_SLACK_BYTES, most_bytes // _SLACK_SHARE)
        limit = pages * resource.getpagesize() + most_bytes + slack
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
