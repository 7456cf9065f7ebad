"""The environments of programs: made once in the user's cache, and anew when their list changes."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_SDK2: Final = _FOLDER.parent / "aws" / "control" / "sdk" / "requirements.txt"
_NODE: Final = "javascript"
_STAMP: Final = ".ready"
_MOST_S: Final = 1800


class NotInstalled(Exception):
    """An environment cannot be made here."""


def cache() -> Path:
    """Where environments lie; XDG_CACHE_HOME names another cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sagebird-ci" / "programs"


def is_ready(name: str) -> bool:
    """Whether an environment is there, as its list says."""
    stamp = cache() / name / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _version(name)


def make(name: str) -> Path:
    """An environment's folder, made if it is not there.

    Raises:
        NotInstalled: it cannot be made.
    """
    folder = cache() / name
    if not is_ready(name):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name == _NODE:
            _npm(folder)
        else:
            _pip(folder, _list_of(name))
        (folder / _STAMP).write_text(_version(name), encoding="utf-8")
    return folder


def python_of(name: str) -> Path:
    """The interpreter of an environment; the suite's own has no name."""
    return cache() / name / "bin" / "python" if name else Path(sys.executable)


def _list_of(name: str) -> Path:
    if name == _NODE:
        return _FOLDER / "package.json"
    return _SDK2 if name == "sdk2" else _FOLDER / "requirements" / f"{name}.txt"


def _version(name: str) -> str:
    return hashlib.sha256(_list_of(name).read_bytes() + sys.version.encode()).hexdigest()


def _pip(folder: Path, requirements: Path) -> None:
    """Every version is named, so nothing is resolved."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet"]
    options = ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    _run([*pip, *options, "--requirement", str(requirements)])


def _npm(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("there is no npm")
    shutil.copy(_list_of(_NODE), folder)
    _run([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent"])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_S, check=False)
    if done.returncode:
        raise NotInstalled(done.stderr.strip()[-2000:])
