"""Which framework wrote a model's files: by their names, or by how they begin.

Nothing is loaded, and no framework is imported.
"""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from service.media.types import FRAMEWORKS, PICKLES

_FIRST_BYTES: Final = 256
_MOST_LOOKED_AT: Final = 1000


def files_of(framework: str, folder: Path) -> list[Path]:
    """The model files of one framework at the top of a folder, those named `model` first, then by name."""
    is_one = _TESTS[framework]
    found = [file for file in _files(folder) if is_one(file)]
    return sorted(found, key=lambda file: (file.stem != "model", file.name))


def framework_in(folder: Path) -> str | None:
    """The first framework whose model lies in a folder; None where there is none."""
    return next((name for name in _TESTS if files_of(name, folder)), None)


def all_files(folder: Path) -> list[Path]:
    """All files at the top of a folder that are not hidden, by name."""
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[Path]:
    for count, file in enumerate(folder.glob("[!.]*")):
        if count == _MOST_LOOKED_AT:
            return
        if file.is_file():
            yield file


def _begin(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_FIRST_BYTES)
    except OSError:
        return b""


def _is_named(framework: str, file: Path) -> bool:
    return file.name.endswith(FRAMEWORKS[framework]) or file.suffix.lower() in FRAMEWORKS[framework]


def _is_xgboost(file: Path) -> bool:
    if file.name == "xgboost-model" or file.suffix.lower() in (".ubj", ".bst", ".xgb"):
        return True
    if file.suffix.lower() in PICKLES:
        first = _begin(file)  # a Booster answers as AWS's container has it, an estimator as all others
        return first.startswith(b"\x80") and b"xgboost.core" in first and b"Booster" in first
    if file.suffix.lower() not in (".json", ".model", ".bin", ""):
        return False
    first = _begin(file)
    return first.startswith(b"binf") or (first.startswith(b"{") and b"learner" in first)


def _is_lightgbm(file: Path) -> bool:
    if file.suffix.lower() not in (".txt", ".lgb", ".model", ".bin", ""):
        return False
    return _begin(file).startswith((b"tree\n", b"tree\r\n"))


def _is_torchscript(file: Path) -> bool:
    """Such an archive has code and its constants; one of weights alone has not."""
    if not _is_named("TorchScript", file):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


_TESTS: Final = MappingProxyType[str, Callable[[Path], bool]](
    {
        "MLflow": lambda file: file.name == "MLmodel",
        "XGBoost": _is_xgboost,
        "LightGBM": _is_lightgbm,
        "CatBoost": lambda file: _is_named("CatBoost", file),
        "ONNX": lambda file: _is_named("ONNX", file),
        "skops": lambda file: _is_named("skops", file),
        "TorchScript": _is_torchscript,
    }
)
