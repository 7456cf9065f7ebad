"""What went wrong in code that is not ours, as a fault of the model that its author can mend."""

import importlib
import os
import shlex
import sys
import traceback
from importlib.machinery import PathFinder
from types import MappingProxyType

from service.errors import ModelFailure, ModelFault

_TRACEBACK_CHARACTERS = 2000
# Packages that are installed by another name than they are imported by.
_DISTRIBUTIONS = MappingProxyType(
    {
        "Crypto": "pycryptodome",
        "PIL": "pillow",
        "attr": "attrs",
        "bs4": "beautifulsoup4",
        "cv2": "opencv-python-headless",
        "dateutil": "python-dateutil",
        "docx": "python-docx",
        "dotenv": "python-dotenv",
        "faiss": "faiss-cpu",
        "fitz": "pymupdf",
        "git": "gitpython",
        "imblearn": "imbalanced-learn",
        "jose": "python-jose",
        "jwt": "pyjwt",
        "magic": "python-magic",
        "psycopg2": "psycopg2-binary",
        "serial": "pyserial",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
        "umap": "umap-learn",
        "yaml": "pyyaml",
    }
)
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def code_fault(error: BaseException, where: str = "the model") -> ModelFault:
    """What a request is answered when the model's own code raised.

    A fault stays what it is; an exception with a `status_code` from 400 to 599 keeps that status and its
    message; a missing module is named with the fix; anything else is a ModelFailure with AWS's body, the
    message and then the traceback (without frames of this server). Source: inference toolkit, transformer.py.
    """
    if isinstance(error, ModelFault):
        return error
    report = traceback.TracebackException.from_exception(error)
    message = _message(error, report)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status <= 599:
        return ModelFault(message, status)
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        message = missing_module(where, error.name)
    return ModelFailure(f"{message}\n{_own_frames(report)}")


def missing_module(where: str, name: str) -> str:
    """The sentence for a module that a model needs and that is not here, with what installs it."""
    package = name.partition(".")[0]
    needs = f"{where} needs the Python module {name!r}"
    if package != name and PathFinder.find_spec(package) is not None:
        return f"{needs}, which the installed {package} lacks: install a version that has it"
    wanted = _DISTRIBUTIONS.get(package, package.replace("_", "-"))
    command = f"{shlex.quote(sys.executable)} -m pip install {wanted}"
    return f"{needs}, which is not here: put it into code/ if it is yours, or install it: {command}"


def _message(error: BaseException, report: traceback.TracebackException) -> str:
    if isinstance(error, SystemExit):
        return f"the model's code called sys.exit({error.code!r})"
    message = getattr(error, "message", None)
    text = message if isinstance(message, str) else str(report)
    return text if text.strip() else type(error).__name__


def _own_frames(report: traceback.TracebackException) -> str:
    pending: list[traceback.TracebackException | None] = [report]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack[:] = [frame for frame in part.stack if _is_own_frame(frame.filename)]
        pending += [part.__cause__, part.__context__]
    text = "".join(report.format())
    return text if len(text) <= _TRACEBACK_CHARACTERS else "...\n" + text[-_TRACEBACK_CHARACTERS:]


def _is_own_frame(filename: str) -> bool:
    return not filename.startswith((_OWN_FOLDER, importlib.__file__, "<frozen importlib"))
