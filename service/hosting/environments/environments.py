"""Environments below one folder: each made once, by who needs it first, and shared by all who ask the same.

One is there whole or not at all: it is made under another name and then moved to its place, by one process at
a time. Not in here: who asks for what (asked); how uv is called (installer); when one is cleared (keeping).
"""

import hashlib
import json
import os
import sys
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.errors import ModelFailure, NotInstalled
from service.hosting.artifacts.debris import remove_tree, sweep, unfinished
from service.hosting.environments.asked import EnvironmentSpec, what_is_lacking
from service.hosting.environments.installer import Tell, install, make_environment, tidy_cache
from service.hosting.environments.interpreters import Interpreter, interpreters
from service.hosting.environments.keeping import CACHE, RECORD, note_use, only_one
from service.log import get_logger

_OFF: Final = "SAGEBIRD_ENVIRONMENTS=off runs it with what the server has"


@dataclass(frozen=True, slots=True)
class Environments:
    """Where environments are made, and for whom: models that lie below one of the `own` folders, or all.

    `wheels` is a folder of packages that is used instead of an index. With `everywhere` the version that an
    image names counts as well.
    """

    folder: Path
    own: tuple[Path, ...] = ()
    everywhere: bool = False
    wheels: Path | None = None

    def lacking(self, place: Path, file: Path | None, image: str, version: str) -> EnvironmentSpec | None:
        """What a model asks for that the server's own environment has not; None where that has to do.

        `place` is where its files come from, `file` its requirements.txt and `version` changes with them.
        Raises ModelFailure.
        """
        real = Path(os.path.realpath(place))
        if not self.everywhere and not any(real.is_relative_to(os.path.realpath(own)) for own in self.own):
            return None
        return what_is_lacking(file, image if self.everywhere else "", version)

    def python_for(self, asked: EnvironmentSpec, tell: Tell) -> str:
        """The interpreter of the environment, which is made now if nobody made it before. Blocks.

        `tell` is told how that goes. Raises ModelFailure.
        """
        known = [(each, self.folder / _name(asked, each)) for each in interpreters()]
        for _, place in known:
            if note_use(place):
                return str(place / "bin" / "python")
        refused: list[tuple[Interpreter, NotInstalled]] = []
        for interpreter, place in known:
            try:
                self._make(place, interpreter, asked, tell)
                return str(place / "bin" / "python")
            except NotInstalled as error:
                refused.append((interpreter, error))
                if error.final:
                    break
            except OSError as error:
                raise ModelFailure(f"{asked.shown}: no environment can be made: {error}.") from error
        raise ModelFailure(_refusal(asked, refused))

    def _make(self, place: Path, interpreter: Interpreter, asked: EnvironmentSpec, tell: Tell) -> None:
        """Raises NotInstalled, OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        began_ns = time.time_ns()
        with only_one(place, tell):
            if note_use(place):
                return
            _repeat_refusal(place, began_ns)
            sweep(self.folder)
            try:
                self._fill(place, interpreter, asked, tell)
            except NotInstalled as error:
                with suppress(NotInstalled, OSError):  # the reason that is told is the first one
                    tidy_cache(self.folder / CACHE)
                _remember_refusal(place, error)
                raise

    def _fill(self, place: Path, interpreter: Interpreter, asked: EnvironmentSpec, tell: Tell) -> None:
        named = [*([] if asked.file is None else ["--requirement", str(asked.file)]), *asked.packages]
        began_s, cache = time.monotonic(), self.folder / CACHE
        wanted = ", ".join(asked.packages) if asked.file is None else asked.shown
        heard = f"its environment is being made, for {wanted} with Python {interpreter.version}"
        tell(heard)
        with unfinished(self.folder) as temporary:
            make_environment(temporary, interpreter.path, cache, lambda _line: None)
            python = temporary / "bin" / "python"
            install(python, named, self.wheels, cache, lambda line: tell(f"{heard}: {line}"))
            record = {"python": interpreter.version, "asked": asked.texts, "packages": asked.packages}
            (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n")
            remove_tree(place)  # one whose interpreter is gone
            temporary.rename(place)
        get_logger("sagebird.environments").info(
            "environment made",
            folder=str(place),
            asked_by=asked.shown,
            python=interpreter.version,
            seconds=round(time.monotonic() - began_s, 1),
        )


def _name(asked: EnvironmentSpec, interpreter: Interpreter) -> str:
    implementation = f"{sys.implementation.name}-{interpreter.version}-{sysconfig.get_platform()}"
    told = json.dumps([implementation, *asked.key])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _remember_refusal(place: Path, error: NotInstalled) -> None:
    """For those who waited meanwhile, and need not try the same."""
    with suppress(OSError):  # the disk may be full
        _refusal_of(place).write_text(json.dumps({"reason": error.message, "final": error.final}))


def _repeat_refusal(place: Path, began_ns: int) -> None:
    file = _refusal_of(place)
    with suppress(FileNotFoundError, ValueError, KeyError):
        if file.stat().st_mtime_ns > began_ns:
            told = json.loads(file.read_text())
            raise NotInstalled(told["reason"], final=told["final"])
        file.unlink()


def _refusal_of(place: Path) -> Path:
    return place.with_suffix(".refused")


def _refusal(asked: EnvironmentSpec, refused: list[tuple[Interpreter, NotInstalled]]) -> str:
    """One sentence: the reason for the server's own interpreter, and which others were tried."""
    (first, error), *others = refused
    if others and others[-1][1].final:  # an index that could be reached before
        first, error = others[-1]
    tried = ", ".join(each.version for each, _ in others)
    more = f" (nor with {tried})" if tried else ""
    return f"{asked.shown} cannot be installed with Python {first.version}{more}: {error.message}; {_OFF}."
