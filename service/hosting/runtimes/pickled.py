"""Loading a pickled model's file, with every failure worded.

Not in here: which file it is (finding), staying within a limit of memory (guarded, trial).
"""

import lzma
import mmap
import re
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import sklearn

from service.errors import ModelFailure, ModelFault, ModelTooLarge
from service.hosting.artifacts.unpacked import UNLIMITED, Room
from service.hosting.runtimes.drift import drift_sentences
from service.hosting.runtimes.finding import find_definition
from service.hosting.runtimes.guarded import (
    FOREIGN,
    NeedsOwnCode,
    Unsure,
    load_within,
    too_large,
    unpacked,
)
from service.hosting.runtimes.trial import try_out
from service.runner.faults import find_lost_name, missing_module, word_lost_name

_SHORT_TEXT = b"\x8c"
# An estimator's last member, and the opcode of its value up to the text, with or without a memo between.
_VERSION = re.compile(rb"_sklearn_version(?:\x94|q.|r.{4})?(?:\x8c.|X.{4})", re.DOTALL)
_IS_VERSION = re.compile(r"\d+\.\d[0-9A-Za-z.+]*")
_LONGEST_BYTES = 64
_PIECE_BYTES = 1 << 20
_MOST_PIECES = 1024


def load_file(file: Path, versions: set[str], room: Room = UNLIMITED) -> Any:
    """Unpickle the file; `versions` is what `listen` fills meanwhile. Raises ModelFault, NeedsOwnCode.

    No memory map: it would tie the loaded model to a file that may be replaced while it serves.
    """
    try:
        return _load_within(file, room)
    except NeedsOwnCode:
        raise
    except MemoryError as error:
        raise ModelTooLarge(f"{file.name} does not fit into memory") from error
    except BaseException as error:  # edge: unpickling runs the model's own code
        raise _load_failure(file, versions, error) from error


def _load_within(file: Path, room: Room) -> Any:
    """Unpickle, never beyond the room: where nobody can know, a process of its own goes first."""
    if room.most_bytes or room.own_modules:
        most_bytes = room.most_bytes or sys.maxsize
        try:
            return load_within(file, room._replace(most_bytes=most_bytes))
        except Unsure:
            if room.own_modules or _names_foreign(file):
                raise NeedsOwnCode from None  # nobody knows whether it does
            try_out(file, most_bytes, too_large(file.name, most_bytes))
    return joblib.load(file)


def _names_foreign(file: Path) -> bool:
    """Whether a pickle that is not compressed names a foreign package somewhere."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return any(held.find(package.encode() + b".") >= 0 for package in FOREIGN)


def _load_failure(file: Path, versions: set[str], error: BaseException) -> ModelFault:
    if isinstance(error, ModelFault):
        return error
    said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    lost = find_lost_name(error)
    module = missing or (lost[1] if lost is not None else "sklearn")
    if module.partition(".")[0] == "sklearn":
        versions = versions or _versions_in(file)
    if versions:
        return ModelFailure(f"{file.name} cannot be loaded ({said}): {'; '.join(drift_sentences(versions))}")
    if missing is not None:
        return _missing_module(file, missing)
    if lost is not None:
        return _missing_attribute(file, *lost)
    return ModelFailure(f"{file.name} cannot be read: it is truncated, or no joblib or pickle file ({said})")


def _versions_in(file: Path) -> set[str]:
    """Other versions of scikit-learn that the file names, which it does after the parts that fail to load."""
    found: set[str] = set()
    with suppress(Unsure, OSError, EOFError, zlib.error, lzma.LZMAError), file.open("rb") as packed:
        stream, held = unpacked(packed), b""
        for _ in range(_MOST_PIECES):
            piece = stream.read(_PIECE_BYTES)
            if not piece:
                break
            held = held[-_LONGEST_BYTES:] + piece
            found |= {_text_at(held, match.end()) for match in _VERSION.finditer(held)}
    return {version for version in found if _IS_VERSION.fullmatch(version)} - {sklearn.__version__}


def _text_at(held: bytes, begin: int) -> str:
    """The text whose opcode, with its length, ends there."""
    short = held[begin - 2 : begin - 1] == _SHORT_TEXT
    size = held[begin - 1] if short else int.from_bytes(held[begin - 4 : begin], "little")
    return held[begin : begin + min(size, _LONGEST_BYTES)].decode("ascii", "replace")


def _missing_module(file: Path, name: str) -> ModelFailure:
    if name.partition(".")[0] == "sklearn":
        return ModelFailure(
            f"{file.name} needs {name}, which this server's scikit-learn lacks: "
            "fit the model again with this version, or install the version it was fitted with"
        )
    return ModelFailure(missing_module(file.name, name))


def _missing_attribute(file: Path, name: str, module: str) -> ModelFailure:
    way, defined = "", None
    if module == "__main__":
        defined = find_definition([file.parent, file.parent / "code"], name)
    if defined is not None:
        way = (
            f"{defined.name} beside it defines {name}, so save it again from a script that has "
            f"`from {defined.stem} import {name}`"
        )
    return ModelFailure(word_lost_name(file.name, name, module, way))
