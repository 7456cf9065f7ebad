"""What went wrong in a model's code, told as its author wants to read it.

The server tells it in the same words where it loads models itself: it imports this file.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import sys
import traceback
from importlib.machinery import PathFinder

_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_USUAL_DIR = "/opt/ml/model"
_RECORD = "sagebird.json"  # in environments that were made for models
_TRACEBACK_CHARACTERS = 2000
_LOST_NAMES = (  # as pickle words it from protocol 4 on, and before
    re.compile(r"Can't get attribute '(?P<name>[^']+)' on (?P<shown><module '(?P<module>[^']+)'.*>)"),
    re.compile(r"module (?P<shown>'(?P<module>[^']+)') has no attribute '(?P<name>[^']+)'"),
)
_DISTRIBUTIONS = dict(
    re.findall(
        r"(\w+)=(\S+)",
        "Crypto=pycryptodome PIL=pillow attr=attrs bs4=beautifulsoup4 cv2=opencv-python-headless jwt=pyjwt "
        "dateutil=python-dateutil docx=python-docx dotenv=python-dotenv faiss=faiss-cpu fitz=pymupdf "
        "git=gitpython imblearn=imbalanced-learn jose=python-jose magic=python-magic umap=umap-learn "
        "psycopg2=psycopg2-binary serial=pyserial skimage=scikit-image sklearn=scikit-learn yaml=pyyaml",
    )
)
"""Packages that are installed by another name than they are imported by."""


class RefusedCall(Exception):
    """What is answered by a status and a sentence: the caller's fault, or the model's from 500 on."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status


def worded(error: BaseException, where: str = "the model", ours: str = _OWN_FOLDER) -> tuple[int, str]:
    """Status and text for what the model's code raised.

    An exception with a `status_code` from 400 to 599 keeps it and its message; all else is a 500 with AWS's
    body: the message and then the traceback, without the frames of files whose paths begin with `ours`.
    Source: inference toolkit, transformer.py.
    """
    report = traceback.TracebackException.from_exception(error)
    message, status = _message(error, report), getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status <= 599:
        return status, message
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        message = missing_module(where, error.name)
    if (
        isinstance(error, OSError)
        and _USUAL_DIR in str(error)
        and os.environ.get("SM_MODEL_DIR") != _USUAL_DIR
    ):
        message += f": {_USUAL_DIR} is not this model's folder here; use model_dir, which model_fn is given"
    return 500, f"{message}\n{_own_frames(report, ours)}"


def missing_module(where: str, name: str) -> str:
    """The sentence for a module that is needed and not here, with what installs it."""
    package = name.partition(".")[0]
    needs = f"{where} needs the Python module {name!r}"
    if package != name and PathFinder.find_spec(package) is not None:
        return f"{needs}, which the installed {package} lacks: install a version that has it"
    wanted = _DISTRIBUTIONS.get(package, package.replace("_", "-"))
    here = f"{needs}, which is not here: put it into code/ if it is yours"
    if os.path.exists(os.path.join(sys.prefix, _RECORD)):  # this environment was made for the model
        return f"{here}, or name {wanted} in code/requirements.txt"
    command = f"{shlex.quote(sys.executable)} -m pip install {wanted}"
    return f"{here}, or install it: sagebird install {wanted} (or {command})"


def lost_name(where: str, error: BaseException) -> str | None:
    """The sentence for what a pickle names and that is not where it says; None for any other error."""
    lost = find_lost_name(error)
    return None if lost is None else word_lost_name(where, *lost)


def find_lost_name(error: BaseException) -> tuple[str, str] | None:
    """Name and module of the class or function that a pickle names and that is not there."""
    lost = next(filter(None, (pattern.search(str(error)) for pattern in _LOST_NAMES)), None)
    if lost is None:
        return None
    # under `python -m` __main__ shows itself under another name
    in_main = lost["shown"] == repr(sys.modules["__main__"])
    return lost["name"], "__main__" if in_main else lost["module"]


def word_lost_name(where: str, name: str, module: str, way: str = "") -> str:
    """What to do about it; `way` tells of a better one than usual where it was in a script's __main__."""
    if module != "__main__":
        return f"{where} needs {name} of the Python module {module!r}, which has no such thing here"
    usual = (
        f"define {name} in a module of the model (code/inference.py or a file beside it), import it from "
        "there and save again"
    )
    return f"{where} was pickled from a script's __main__, which defined {name}: {way or usual}"


def _message(error: BaseException, report: traceback.TracebackException) -> str:
    if isinstance(error, SystemExit):
        return f"the model's code called sys.exit({error.code!r})"
    message = getattr(error, "message", None)
    text = message if isinstance(message, str) else str(report)
    return text if text.strip() else type(error).__name__


def _own_frames(report: traceback.TracebackException, ours: str) -> str:
    hidden = (ours, importlib.__file__, "<frozen importlib")
    pending: list[traceback.TracebackException | None] = [report]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if part is not None and id(part) not in seen:
            seen.add(id(part))
            part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(hidden)]
            pending += [part.__cause__, part.__context__]
    text = "".join(report.format())
    return text if len(text) <= _TRACEBACK_CHARACTERS else "...\n" + text[-_TRACEBACK_CHARACTERS:]
