"""What the scripts of this folder share: which files they load, and how they say what is wrong.

Standard library and the runner only. Its name is odd because it is imported by it, beside whatever modules a
model has.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from _sagebird_runner.faults import RefusedCall as Refusal  # the program that runs these scripts

__all__ = ["Refusal", "check_width", "library", "model_files", "unreadable"]

MODEL_FILES = "SAGEBIRD_MODEL_FILES"
"""The variable that names the model's files, with a slash between two."""


def model_files(model_dir: str) -> list[str]:
    """The paths of the files that make up the model, as its host found them."""
    return [os.path.join(model_dir, name) for name in os.environ[MODEL_FILES].split("/")]


def library(name: str, needed_by: str, package: str = "") -> Any:
    """Import what reads the model. Raises Refusal, with what installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = package or name
        shown = os.path.basename(needed_by)
        if isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]:
            said = (
                f"{shown} needs the Python package {package}, which is not installed: `sagebird install "
                f"{package}` adds it for all models, or name it in the model's code/requirements.txt"
            )
        else:
            said = f"{shown} needs the Python package {package}, which cannot be imported here: {error}"
        raise Refusal(said, 500) from error


def unreadable(path: str, kind: str, error: BaseException) -> Refusal:
    """The refusal of a file that its library does not load."""
    said = " ".join(str(error).split())[:500] or type(error).__name__
    return Refusal(f"{os.path.basename(path)} cannot be loaded as {kind}: {said}", 500)


def check_width(rows: Any, width: int, kind: str) -> None:
    """Hold rows to the width that a model was fitted with, 0 for any. Raises Refusal."""
    has = rows.shape[1] if rows.ndim == 2 else width
    if width and has != width:
        raise Refusal(f"X has {has} features, but {kind} is expecting {width} features as input.")
