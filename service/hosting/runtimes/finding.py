"""Which file of a folder is the model, and what to say where there is none: what lies there, what each needs.

Not in here: reading the file (sklearn).
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from service.errors import ModelFailure
from service.hosting.runtimes.recognising import framework_in
from service.media.tables import quoted
from service.media.types import PICKLES

_NAMES: Final = ("model.joblib", "model.pkl")
_RENAMED: Final = (".pickle", ".pck", ".pckl", ".sav", ".jl", ".gz", ".z", ".bz2", ".xz")
_SHOWN: Final = 8
_LOOKED_AT: Final = 1000
_MOST_SOURCE_BYTES: Final = 1 << 20

_KINDS: Final = MappingProxyType(
    {
        ".pt": ("weights of PyTorch", "torch"),
        ".pth": ("weights of PyTorch", "torch"),
        ".ckpt": ("a checkpoint", "the library that wrote it"),
        ".safetensors": ("safetensors", "safetensors and the library of the model"),
        ".h5": ("Keras", "tensorflow or keras"),
        ".keras": ("Keras", "keras"),
        ".tflite": ("TensorFlow Lite", "tflite-runtime"),
        ".pb": ("TensorFlow", "tensorflow"),
        ".dill": ("dill", "dill"),
        ".cloudpickle": ("cloudpickle", "cloudpickle"),
        ".pmml": ("PMML", "pypmml or the like"),
        ".gguf": ("GGUF", "llama-cpp-python"),
        ".npz": ("numpy arrays", "numpy"),
        ".rds": ("R", "R, which is not Python"),
    }
)
"""Ending -> the format's name, and what loads it."""

_NAMED: Final = MappingProxyType(
    {
        "saved_model.pb": ("a TensorFlow SavedModel", "tensorflow"),
        "pytorch_model.bin": ("weights of PyTorch", "torch"),
    }
)


def find_file(model_dir: Path) -> Path:
    """The folder's model file. Raises ModelFailure when there is none, or no telling which."""
    candidates = pickles_in(model_dir)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise ModelFailure(
            "no model found: looked for code/inference.py, inference.py, model.joblib, model.pkl, "
            "or a single *.joblib or *.pkl file, at the top of the model's folder; " + _told(model_dir)
        )
    names = ", ".join(file.name for file in candidates)
    raise ModelFailure(f"several model files, and none is named model.joblib or model.pkl: {names}")


def find_definition(folders: Sequence[Path], name: str) -> Path | None:
    """The one Python file of these folders that defines a class or function; None if none or several do."""
    files = {file for folder in folders for file in folder.glob("*.py")}
    found = [file for file in sorted(files) if name in _defined(file)]
    return found[0] if len(found) == 1 else None


def pickles_in(model_dir: Path) -> list[Path]:
    """The pickled models at the top of a folder; one alone where its name says that it is the model."""
    for name in _NAMES:
        if (model_dir / name).is_file():
            return [model_dir / name]
    return sorted(
        file
        for file in model_dir.glob("*")
        if file.suffix in PICKLES and not file.name.startswith(".") and file.is_file()
    )


def _defined(file: Path) -> set[str]:
    try:
        if not file.is_file() or file.stat().st_size > _MOST_SOURCE_BYTES:
            return set()
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _told(model_dir: Path) -> str:
    """What lies in a folder without a model, and what would make a model of it."""
    found = sorted(_listed(model_dir), key=lambda path: path.name)
    if not found:
        return "the folder is empty"
    names = [_shown(path) for path in found[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    hints = [hint for hint in (_hint(path, len(found)) for path in found) if hint is not None]
    return "; ".join([f"here lie {', '.join(names)}{more}", *hints[:_SHOWN]])


def _listed(folder: Path) -> Iterator[Path]:
    for count, path in enumerate(folder.glob("*")):
        if count == _LOOKED_AT:
            return
        if not path.name.startswith(".") and path.name != "__pycache__":
            yield path


def _shown(path: Path) -> str:
    name = path.name if path.name.isprintable() else quoted(path.name)
    return f"{name}/" if path.is_dir() else name


def _hint(path: Path, beside: int) -> str | None:
    """What a file or folder needs to be a model."""
    name = _shown(path)
    if path.is_dir():
        return _hint_of_folder(path, beside)
    told = _NAMED.get(path.name) or _KINDS.get(path.suffix.lower())
    if told is not None:
        return f"{name} ({told[0]}) needs a code/inference.py whose model_fn loads it, with {told[1]}"
    if path.suffix.lower() in _RENAMED or path.suffix.lower() in PICKLES:
        return f"{name} can be served as model.joblib or model.pkl, if it is a pickled scikit-learn model"
    if path.suffix == ".py":
        return f"{name} is run if it is named inference.py, or by SAGEMAKER_PROGRAM={name}"
    return None


def _hint_of_folder(folder: Path, beside: int) -> str | None:
    name = _shown(folder)
    inner = {path.name for path in _listed(folder)}
    if (
        inner & {*_NAMES, "inference.py"}
        or pickles_in(folder)
        or framework_in(folder)
        or (folder / "code" / "inference.py").is_file()
    ):
        what = "all of it lies" if beside == 1 else "a model lies"
        command = f"tar -C {name} -czf model.tar.gz ."
        return f"{what} in {name}, one folder too deep: pack what is in that folder ({command})"
    for known, (kind, library) in _NAMED.items():
        if known in inner:
            return f"{name} ({kind}) needs a code/inference.py whose model_fn loads it, with {library}"
    return None
