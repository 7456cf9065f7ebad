"""A model's own world, its script and its model: what a container sets up before it answers."""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .faults import Refused, lost_name, missing_module, worded
from .handlers import Context, Endpoint, Handler, read_handlers

STANDINS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "standins")
_LINK = "/opt/ml/model"
_LINKED = 777  # the same number in every process: what the link leads to is each one's own
_MOST_TOLD = 2000
_LOG_FORMAT = "%(asctime)s %(levelname)s - %(name)s - %(message)s"  # as AWS's container has it
_PRELOADED = ("numpy", "scipy", "sklearn", "joblib", "pandas")


def enter(spec: Mapping[str, Any]) -> None:
    """Make this process the model's: its environment, folders, modules and streams."""
    environment = dict(spec["environment"])
    here = os.path.dirname(sys.executable)
    path = environment.get("PATH", os.defpath)
    environment["PATH"] = path if path.split(os.pathsep)[0] == here else here + os.pathsep + path
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    # made anew: those of the fork server remember what was at these descriptors before
    for number, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, open(number, "w", 1, "utf-8", "backslashreplace", closefd=False))
    level = environment.get("SAGEMAKER_CONTAINER_LOG_LEVEL", "20")
    logging.basicConfig(level=int(level) if level.isdigit() else logging.INFO, format=_LOG_FORMAT)
    program, folders = spec["program"], list(spec["code_dirs"])
    home = os.path.dirname(program) if program else spec["model_dir"]
    os.chdir(home)
    own = [*dict.fromkeys([home, *folders] if program else folders)]
    more = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [*own, *more, *sys.path, STANDINS]
    sys.argv[:] = [program or ""]
    sys.path_hooks.insert(0, _finder(tuple(own)))
    for place in own:
        sys.path_importer_cache.pop(place, None)
    sys.dont_write_bytecode = True
    sys.modules["__main__"] = ModuleType("__main__")  # a pickle of a script's own __main__ finds nothing of ours
    _forget_namesakes(own)
    if any("/opt/ml" in _text(file) for place in own for file in Path(place).glob("*.py")):
        _link(spec["model_dir"])


class _Source(SourceFileLoader):
    """Leaves bytecode alone: folders may be read-only, and what is stale must not win over a new file."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _finder(own: tuple[str, ...]) -> Any:
    machinery = importlib.machinery
    compiled = machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES
    hook = machinery.FileFinder.path_hook(compiled, (_Source, machinery.SOURCE_SUFFIXES))

    def find(path: str) -> Any:
        if not any(f"{path}{os.sep}".startswith(f"{place}{os.sep}") for place in own):
            raise ImportError
        return hook(path)

    return find


def _forget_namesakes(own: Sequence[str]) -> None:
    """Let a model's own module win over one of that name that the fork server happened to import."""
    kept = {*_PRELOADED, *getattr(sys, "stdlib_module_names", sys.builtin_module_names)}
    for place in own:
        found = {file.stem for file in Path(place).glob("*.py")}
        found |= {file.parent.name for file in Path(place).glob("*/__init__.py")}
        for name in found - kept:
            for module in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
                if not module.startswith("_sagebird"):
                    del sys.modules[module]


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _link(folder: str) -> None:
    """Let /opt/ml/model be this model's folder for a script that has that name in it, where that may be made.

    The link leads to a descriptor of whoever follows it, so that containers never meet there.
    """
    target = f"/proc/self/fd/{_LINKED}"
    if not os.path.lexists(_LINK) and os.path.isdir("/proc/self/fd"):
        try:
            os.makedirs(os.path.dirname(_LINK), exist_ok=True)
            os.symlink(target, _LINK)
        except OSError:
            return
    if os.path.islink(_LINK) and os.readlink(_LINK) == target:
        opened = os.open(folder, os.O_RDONLY)
        os.dup2(opened, _LINKED)
        os.close(opened)


# ---- the model


def load(spec: Mapping[str, Any]) -> tuple[Endpoint, dict[str, Any]]:
    """Run the script and load the model: what answers, and what the host is told. Raises what they raise."""
    began, before = time.monotonic(), _descriptors()
    handlers = _run(spec["program"]) if spec["program"] else {}
    versions: set[str] = set()
    _listen(versions, "model_fn" not in handlers)
    try:
        model = _model(spec, handlers)
    except Exception as error:
        if isinstance(error, Refused) or ("model_fn" in handlers and not versions):
            raise
        what = "; ".join(_drifts(versions)) or "it is truncated, or no joblib or pickle file"
        raise Refused(f"the model cannot be loaded ({_said(error)}): {what}", 500) from error
    endpoint = Endpoint(spec, handlers, model)
    gc.collect()
    told = _facts(model)
    told["functions"] = [name for name in handlers if name != "execution_parameters_fn"]
    told["execution_parameters"] = "execution_parameters_fn" in handlers
    told["warnings"] = [f"{drift}: predictions may differ" for drift in _drifts(versions)]
    told["descriptors"] = sorted(_descriptors() - before)[:20]
    told["seconds"] = time.monotonic() - began
    return endpoint, told


def failure(error: BaseException, spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the host is told of a load that failed."""
    where = os.path.basename(spec.get("program") or "the model")
    status, message = worded(error, where)
    lost = lost_name("the model", error) if isinstance(error, AttributeError) else None
    return {"message": f"{lost}: {message}"[:20000] if lost else message[:20000], "status": status}


def _run(program: str) -> dict[str, Handler]:
    name = os.path.splitext(os.path.basename(program))[0]
    spec = spec_from_file_location(name, program, loader=_Source(name, program))
    assert spec is not None and spec.loader is not None  # noqa: S101 - the loader is given
    script = module_from_spec(spec)
    if name not in getattr(sys, "stdlib_module_names", ()):
        sys.modules[name] = script
    spec.loader.exec_module(script)
    return read_handlers(script, os.path.basename(program))


def _model(spec: Mapping[str, Any], handlers: Mapping[str, Handler]) -> Any:
    folder, context = spec["model_dir"], Context(spec)
    if "pre_model_fn" in handlers:
        handlers["pre_model_fn"](context, folder)
    if "model_fn" in handlers:
        model = handlers["model_fn"](context, folder)
    else:
        model = _load_file(_find_file(Path(folder), spec["model_files"]))
    if "model_warmup_fn" in handlers:
        handlers["model_warmup_fn"](context, folder, model)
    return model


def _find_file(folder: Path, endings: Sequence[str]) -> Path:
    files = sorted(file for file in folder.glob("[!.]*") if file.suffix in endings and file.is_file())
    chosen = [file for file in files if file.stem == "model"][:1] or files
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = ", ".join(file.name for file in chosen)
        raise Refused(f"several model files, and none is named model{endings[0]}: {names}", 500)
    found = ", ".join(sorted(path.name for path in folder.glob("[!.]*"))[:8]) or "nothing"
    raise Refused(
        "Please provide a model_fn implementation.\nSee documentation for model_fn at "
        "https://sagemaker.readthedocs.io/en/stable/\n"
        f"Without it, a single {' or '.join(endings)} file is loaded; at the top of the model lies {found}.",
        500,
    )


def _load_file(file: Path) -> Any:
    try:
        return importlib.import_module("joblib").load(file)
    except (ModuleNotFoundError, AttributeError) as error:
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        message = missing_module(file.name, name) if name else lost_name(file.name, error)
        if message is None:
            raise
        raise Refused(message, 500) from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _listen(versions: set[str], built_in: bool) -> None:
    """Hear which other versions of scikit-learn the model's parts were pickled by."""
    if built_in:
        with suppress(ImportError):
            importlib.import_module("sklearn.base")
    base: Any = sys.modules.get("sklearn.base")
    notice = getattr(base, "InconsistentVersionWarning", None)

    def heard(**details: Any) -> Any:
        versions.add(details["original_sklearn_version"])
        return notice(**details)

    if notice is not None:
        base.InconsistentVersionWarning = heard


def _drifts(versions: set[str]) -> list[str]:
    here = getattr(sys.modules.get("sklearn"), "__version__", "")
    return [
        f"fitted with scikit-learn {version}, it runs with {here} here (fit it again with {here}, or ask for "
        f"scikit-learn=={version} in code/requirements.txt)"
        for version in sorted(versions)
    ]


def _facts(model: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"kind": type(model).__name__}
    for name, attribute in (("features", "n_features_in_"), ("columns", "feature_names_in_"), ("classes", "classes_")):
        try:
            value = getattr(model, attribute, None)
            value = value.tolist() if hasattr(value, "tolist") else value
        except Exception:  # a class of the model's own may answer anything
            value = None
        listed = isinstance(value, list) and len(value) <= _MOST_TOLD
        known = listed if name != "features" else isinstance(value, int) and value > 0
        facts[name] = value if known else None
    if facts["columns"]:
        facts["columns"] = [str(name) for name in facts["columns"]]
    return facts


def _descriptors() -> set[str]:
    """What files and sockets are open: workers share what the load has opened."""
    found = set()
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return found
