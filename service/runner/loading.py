"""A model's own world, its script and its model: what is set up before anything is answered."""

from __future__ import annotations

import importlib
import logging
import mmap
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fcntl import F_GETFL, fcntl
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from stat import S_ISFIFO, S_ISREG, S_ISSOCK
from types import ModuleType
from typing import Any

from .describing import describe
from .faults import RefusedCall, lost_name, missing_module, worded
from .handlers import ARGUMENTS, ScriptedModel, ScriptFunction, read_handlers
from .standins.mms.context import Context

_STANDINS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "standins")
_LINK = "/opt/ml/model"
_LINKED = 777  # one number in all processes: what it stands for is each one's own
_MOST_TOLD = 2000
_MOST_SEARCHED = 200
_MOST_SOURCE_BYTES = 1 << 20
_LOG_FORMAT = "%(asctime)s %(levelname)s - %(name)s - %(message)s"  # as AWS's container has it
_GIVEN_THE_MODEL = ("model_fn", "model_warmup_fn", "predict_fn", "transform_fn")
_SHARED = frozenset({"numpy", "scipy", "sklearn", "joblib", "pandas"})
_VERSION = re.compile(rb"_sklearn_version[^0-9]{1,12}([0-9]+(?:\.\w+)+)")


def enter(spec: Mapping[str, Any]) -> None:
    """Make this process the model's: its environment, folder and modules."""
    environment = dict(spec["environment"])
    here, path = os.path.dirname(sys.executable), environment.get("PATH", os.defpath)
    environment["PATH"] = path if path.split(os.pathsep)[0] == here else here + os.pathsep + path
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    level = environment.get("SAGEMAKER_CONTAINER_LOG_LEVEL", "")
    logging.root.setLevel(int(level) if level.isdecimal() else logging.INFO)
    logging.lastResort = logging.StreamHandler()  # only where the script has no handlers: no line comes twice
    logging.lastResort.setFormatter(logging.Formatter(_LOG_FORMAT))
    program = spec["program"]
    home = os.path.dirname(program) if program else spec["model_dir"]
    own = [*dict.fromkeys([*([home] if program else []), *spec["code_dirs"]])]
    more = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    os.chdir(home)
    sys.argv[:] = [program or ""]
    sys.path[:] = [*own, *more, *sys.path, _STANDINS]
    sys.dont_write_bytecode = True  # folders of models stay as they are
    sys.modules["__main__"] = ModuleType("__main__")  # nothing of ours, as on AWS nothing of the script's
    _forget_namesakes(own)
    sources = (file for place in own for file in Path(place).rglob("*.py"))
    with suppress(OSError):
        if any(map(_names_usual_place, islice(sources, _MOST_SEARCHED))):
            _link(spec["model_dir"])


def _forget_namesakes(own: Sequence[str]) -> None:
    """Let a model's own modules win over what the fork server happened to import under their names."""
    kept = _SHARED.union(getattr(sys, "stdlib_module_names", sys.builtin_module_names))
    for place in map(Path, own):
        sys.path_importer_cache.pop(str(place), None)
        names = {file.stem for file in place.glob("*.py")} | {
            file.parent.name for file in place.glob("*/__init__.py")
        }
        for module in [*sys.modules]:
            if module.partition(".")[0] in names - kept:
                del sys.modules[module]


def _names_usual_place(file: Path) -> bool:
    """Whether a source names it; what is no plain file of a source's size might never end."""
    with suppress(OSError):
        if file.is_file() and file.stat().st_size <= _MOST_SOURCE_BYTES:
            return b"/opt/ml" in file.read_bytes()
    return False


def _link(folder: str) -> None:
    """Let /opt/ml/model be this model's folder for a script that has that name in it, where that may be made.

    The link leads to a descriptor of whoever follows it, so containers never meet there.
    What lies there otherwise stays.
    """
    target = f"/proc/self/fd/{_LINKED}"
    if not os.path.lexists(_LINK) and os.path.isdir("/proc/self/fd"):
        os.makedirs(os.path.dirname(_LINK), exist_ok=True)
        os.symlink(target, _LINK)
    if os.path.islink(_LINK) and os.readlink(_LINK) == target:
        opened = os.open(folder, os.O_RDONLY)
        os.dup2(opened, _LINKED)
        os.close(opened)


# ---- the model


def load(
    spec: Mapping[str, Any], quicken: Callable[..., list[str]] | None = None
) -> tuple[ScriptedModel, dict[str, Any]]:
    """Run the script and load the model: what answers, and what the host is told. Raises what they raise.

    `quicken` is the server's: it has estimators answer by programs, and says which of their methods do.
    """
    began, before = time.monotonic(), _opened()
    handlers = _run(spec["program"]) if spec["program"] else {}
    name = os.path.basename(spec["program"] or "")
    unused = [f"{name} defines none of {', '.join(ARGUMENTS)}: it is run, and not asked"] * (
        not handlers and bool(name)
    )
    versions: set[str] = set()
    if "model_fn" not in handlers:
        with suppress(ImportError):
            importlib.import_module("sklearn.base")
    _listen(versions)
    model = _model(spec, handlers, versions)
    most_bytes, compiled = spec.get("program_bytes", 0), list[str]()
    if quicken is not None and most_bytes:
        handed_out = not handlers.keys().isdisjoint(_GIVEN_THE_MODEL)
        compiled = quicken(model, spec["user_environment"], most_bytes, handed_out)
    endpoint = ScriptedModel(spec, handlers, model)
    return endpoint, {
        "kind": type(model).__name__,
        "interface": describe(model),
        "functions": [name for name in handlers if name != "execution_parameters_fn"],
        "execution_parameters": "execution_parameters_fn" in handlers,
        "warnings": [*unused, *(f"{told}: predictions may differ" for told in _drifts(versions))],
        "descriptors": sorted(_opened() - before)[:20],
        "compiled": compiled,
        "seconds": time.monotonic() - began,
    }


def failure(error: BaseException, spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the host is told of a load that failed."""
    where = os.path.basename(spec.get("program") or "the model")
    lost = lost_name("the model", error) if isinstance(error, AttributeError) else None
    message = worded(error, where)[1]
    return {"message": (f"{lost}: {message}" if lost else message)[:20000], "status": 500}


def _run(program: str) -> dict[str, ScriptFunction]:
    name = os.path.splitext(os.path.basename(program))[0]
    spec: Any = spec_from_file_location(name, program)
    script = module_from_spec(spec)
    if name not in getattr(sys, "stdlib_module_names", ()):
        sys.modules[name] = script
    spec.loader.exec_module(script)
    return read_handlers(script, os.path.basename(program))


def _model(spec: Mapping[str, Any], handlers: Mapping[str, ScriptFunction], versions: set[str]) -> Any:
    folder, context = spec["model_dir"], Context(spec["model_dir"], spec["user_environment"])
    if "pre_model_fn" in handlers:
        handlers["pre_model_fn"](context, folder)
    if "model_fn" in handlers:
        model = handlers["model_fn"](context, folder)
    else:
        model = _load_file(_find_file(Path(folder), spec["model_files"]), versions)
    if "model_warmup_fn" in handlers:
        handlers["model_warmup_fn"](context, folder, model)
    return model


def _find_file(folder: Path, endings: Sequence[str]) -> Path:
    files = sorted(file for file in folder.glob("[!.]*") if file.suffix in endings and file.is_file())
    chosen = [file for file in files if file.stem == "model"][:1] or files
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise RefusedCall(
            f"several model files, and none is named model{endings[0]}: {', '.join(f.name for f in chosen)}",
            500,
        )
    found = ", ".join(sorted(path.name for path in folder.glob("[!.]*"))[:8]) or "nothing"
    raise RefusedCall(
        "Please provide a model_fn implementation.\nSee documentation for model_fn at "
        "https://sagemaker.readthedocs.io/en/stable/\n"
        f"Without one, a single {' or '.join(endings)} file is loaded; at the top of the model lies {found}.",
        500,
    )


def _load_file(file: Path, versions: set[str]) -> Any:
    try:
        return importlib.import_module("joblib").load(file)
    except Exception as error:
        named = error.name if isinstance(error, ModuleNotFoundError) else None
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        versions |= _versions_in(file)
        message = (
            lost_name(file.name, error)
            or f"{file.name} cannot be read: it is truncated, or no pickle ({said})"
        )
        if versions:
            message = f"{file.name} cannot be loaded ({said}): {'; '.join(_drifts(versions))}"
        raise RefusedCall(missing_module(file.name, named) if named else message, 500) from error


def _versions_in(file: Path) -> set[str]:
    """Versions of scikit-learn that a pickle names, other than this one."""
    with suppress(OSError, ValueError), file.open("rb") as opened:
        held = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        return {found[1].decode() for found in _VERSION.finditer(held)} - {_version_here()}
    return set()


def _listen(versions: set[str]) -> None:
    """Hear by which other versions of scikit-learn the model's parts were pickled."""
    base: Any = sys.modules.get("sklearn.base")
    notice: Any = getattr(base, "InconsistentVersionWarning", None)

    def heard(**details: Any) -> Any:
        versions.add(details["original_sklearn_version"])
        return notice(**details)

    if notice is not None:
        base.InconsistentVersionWarning = heard


def _version_here() -> str:
    return str(getattr(sys.modules.get("sklearn"), "__version__", ""))


def _drifts(versions: set[str]) -> list[str]:
    here = _version_here()
    return [
        f"fitted with scikit-learn {version}, {here} runs here (fit it again with {here}, or ask for "
        f"scikit-learn=={version} in code/requirements.txt)"
        for version in sorted(versions)
    ]


def _opened() -> set[str]:
    """What is open that workers must not share, as copies of the process that loaded the model would.

    Connections, on which one would read what another is answered, and files with a place in them. Files that
    are only written or appended to may be shared, and those that are memory.
    """
    found = set()
    with suppress(OSError):
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            memory = maps.read()
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):
                name, mode = os.readlink(f"/proc/self/fd/{number}"), os.fstat(number).st_mode
                flags = fcntl(number, F_GETFL)
                written = bool(flags & os.O_APPEND) or flags & os.O_ACCMODE == os.O_WRONLY
                if S_ISSOCK(mode) or S_ISFIFO(mode) or (S_ISREG(mode) and not written and name not in memory):
                    found.add(name)
    return found
