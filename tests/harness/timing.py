"""Functions that are timed in a server under load, and how the bench asks for what they took.

SIGUSR1 has a process write its totals, as JSON, to the file `<pid>.json` in the folder SAGEBIRD_PROBES.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import Any

FOLDER = "SAGEBIRD_PROBES"
_PATIENCE_S = 10.0
_seconds: dict[str, float] = {}


def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; what it takes, with all that it calls, is added up under the name."""
    _seconds.setdefault(name, 0.0)

    @wraps(function)
    def within(*arguments: Any, **options: Any) -> Any:
        begun_s = perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            _seconds[name] += perf_counter() - begun_s

    return within


def report_when_asked() -> None:
    """Answer SIGUSR1, here and in processes that are forked from now on."""
    signal.signal(signal.SIGUSR1, _report)


def ask(folder: Path, pid: int) -> dict[str, float]:
    """Seconds by name that a process has timed so far."""
    path = folder / f"{pid}.json"
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    deadline_s = time.monotonic() + _PATIENCE_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise RuntimeError("the server does not say what it timed")
        time.sleep(0.01)
    found: dict[str, float] = json.loads(path.read_text())
    return found


def _report(_number: int, _frame: object) -> None:
    path = Path(os.environ[FOLDER], f"{os.getpid()}.json")
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(_seconds))
    temporary.replace(path)
