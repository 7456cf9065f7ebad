"""Which Python interpreters this machine has for models: the server's own first, then the newest."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OLDEST: Final = 9
"""Of Python 3: what the runner needs."""
NEWEST: Final = 13
_SHIMS: Final = "shims"  # which start another interpreter, or none


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One interpreter and its version, as `3.11`."""

    path: str
    version: str


def interpreters() -> Iterator[Interpreter]:
    """One of each version: on the PATH, and where pyenv and uv keep theirs."""
    own = sys.version_info.minor
    yield Interpreter(sys.executable, f"3.{own}")
    folders = [Path(place) for place in os.get_exec_path() if place]
    for minor in range(NEWEST, OLDEST - 1, -1):
        if minor == own:
            continue
        name = f"python3.{minor}"
        places = [folder / name for folder in folders if folder.name != _SHIMS]
        found = next((each for each in [*places, *_kept(minor, name)] if os.access(each, os.X_OK)), None)
        if found is not None:
            yield Interpreter(str(found), f"3.{minor}")


def _kept(minor: int, name: str) -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or home / ".local" / "share" / "uv" / "python")
    for folder, pattern in ((pyenv / "versions", f"3.{minor}.*"), (uv, f"cpython-3.{minor}.*")):
        yield from (each / "bin" / name for each in sorted(folder.glob(pattern), reverse=True))
