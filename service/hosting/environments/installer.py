"""Calls uv: to make an environment and to install into one, with its reasons in one sentence."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from service.errors import NotInstalled

_LONGEST_S: Final = 1800.0
_MOST_REASON_CHARS: Final = 600
_MOST_LINES: Final = 500
# Whose own build from source takes a compiler and an hour: another interpreter has a wheel, or none has.
_ONLY_WHEELS: Final = (
    *("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "torch", "tensorflow"),
    *("xgboost", "lightgbm", "catboost", "onnxruntime", "onnx", "numba", "llvmlite"),
)
# The kernel ends uv with whoever asked for it, so that nobody fills a folder that another one clears.
_GUARD: Final = """
import ctypes, os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() == parent:
    os.execv(sys.argv[2], sys.argv[2:])
"""
_MIRRORS: Final = (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_EXTRA_INDEX_URL", "UV_INDEX"))
_LEFT_OUT: Final = ("AWS_", "SAGEBIRD_", "PYTHON", "VIRTUAL_ENV", "CONDA_", "UV_PUBLISH_")
# What installing and compiling may need. The rest is nobody's business who builds a package for a model:
# other programs' passwords and tokens are kept in variables, too.
_NEEDED: Final = re.compile(
    r"(?:HOME|USER|LOGNAME|SHELL|LANG|TZ|TMPDIR|TMP|TEMP|NETRC|CC|CXX|FC|AR|LD|MAX_JOBS"
    r"|(?:LC|XDG|UV|PIP|SSL|CMAKE|CARGO|RUST|RUSTUP|PYENV|PKG_CONFIG|DYLD|LD)_\w+"
    r"|(?:\w+_)?(?:PATH|DIR|ROOT|HOME|PREFIX|INCLUDE|LIBDIR|CA_BUNDLE|CONFIG)|\w*FLAGS|\w+_proxy|\w+_PROXY)"
)
_UNREACHABLE: Final = re.compile(r"Request failed|Failed to fetch|Failed to download|error sending request")
_DEPENDS_ON_PYTHON: Final = re.compile(
    r"has no (?:usable )?wheels|current Python|Python ?[<>=~!]|Failed to build|build backend"
)

_NO_OPTIONS: Final[Mapping[str, str]] = {}

Tell = Callable[[str], None]


def make_environment(folder: Path, python: str, cache: Path, tell: Tell) -> None:
    """Make an empty environment of an interpreter, which may be moved later. Raises NotInstalled."""
    _run(["venv", "--relocatable", "--allow-existing", "--python", python, str(folder)], cache, tell)


def install(
    python: Path, packages: Sequence[str], wheels: Path | None, cache: Path | None, tell: Tell
) -> None:
    """Install what is named into the environment of an interpreter. Raises NotInstalled.

    `wheels` is a folder that has all of it, instead of an index. All is compiled now: models run without
    writing there.
    """
    if wheels is not None and not wheels.is_dir():
        raise NotInstalled(f"SAGEBIRD_WHEELS names {wheels}, which is no folder", final=True)
    offline = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    fixed = ["pip", "install", "--compile-bytecode", "--python", str(python)]
    ready = [f"--only-binary={name}" for name in _ONLY_WHEELS]
    _run([*fixed, *offline, *ready, *packages], cache, tell)


def tidy_cache(cache: Path) -> None:
    """Remove what a failed or ended uv left half-written there, unless another is at it. Raises NotInstalled.

    An ending uv does not wait for those of its threads that unpack: what they wrote may fill a disk.
    """
    _run(["cache", "prune"], cache, lambda _line: None, {"UV_LOCK_TIMEOUT": "1"})


def clean_cache(cache: Path) -> None:
    """Remove all that uv keeps there, once nobody is at it. Raises NotInstalled."""
    _run(["cache", "clean"], cache, lambda _line: None)


def _run(
    arguments: Sequence[str], cache: Path | None, tell: Tell, options: Mapping[str, str] = _NO_OPTIONS
) -> None:
    command = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), _find_uv(), *arguments]
    said: list[str] = []
    with subprocess.Popen(  # noqa: S603 - uv, with arguments that are no options
        command,
        cwd="/",
        env={**_environment(cache), **options},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        watch = threading.Timer(_LONGEST_S, _kill, [process.pid])
        watch.start()
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
            for line in process.stdout:
                said = [*said[-_MOST_LINES:], line.rstrip()]
                tell(line.strip())
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            watch.cancel()
    if process.returncode:
        reason = _reason(said) or f"uv ended with {process.returncode}"
        final = _UNREACHABLE.search(reason) is not None or _DEPENDS_ON_PYTHON.search(reason) is None
        raise NotInstalled(reason, final=final)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _find_uv() -> str:
    """The one beside this interpreter, or another. Raises NotInstalled."""
    own = Path(sysconfig.get_path("scripts"), "uv")
    found = str(own) if own.is_file() else shutil.which("uv")
    if found is None:
        raise NotInstalled("uv is not installed beside sagebird", final=True)
    return found


def _environment(cache: Path | None) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    if cache is not None:  # for models; who installs beside sagebird is the user himself
        kept = {name: value for name, value in kept.items() if _NEEDED.fullmatch(name)}
    for theirs, name in _MIRRORS:
        if theirs in kept:
            kept.setdefault(name, kept[theirs])
    if cache is not None:  # on the same disk, so that environments share the files of equal packages
        kept.setdefault("UV_CACHE_DIR", str(cache))
    return {**kept, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def _reason(said: Sequence[str]) -> str:
    """What uv says went wrong, as one sentence without its end: its causes, without hints."""
    begin = next((number for number, line in enumerate(said) if line.startswith("error:")), -3)
    text = " ".join(" ".join(said[begin:]).partition("hint:")[0].split()).removeprefix("error: ")
    causes = [cause.strip().rstrip(".:") for cause in text.split("cause:")]
    if len(causes) > 1 and causes[0].startswith(("No solution", "Request failed")):
        causes = causes[1:]  # the next one says more
    if len(causes) > 2:
        causes = [causes[0], causes[-1]]
    reason = ": ".join(causes)
    return reason if len(reason) <= _MOST_REASON_CHARS else f"{reason[:_MOST_REASON_CHARS]} …"
