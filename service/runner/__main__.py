"""The start: loads this folder under a private name, so that no module of a model's ever meets ours."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys

_NAME = "_sagebird_runner"


def _load(folder: str) -> None:
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != folder]
    file = os.path.join(folder, "__init__.py")
    spec = importlib.util.spec_from_file_location(_NAME, file, submodule_search_locations=[folder])
    package = sys.modules[_NAME] = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # a plain file
    spec.loader.exec_module(package)  # type: ignore[union-attr]


if __name__ == "__main__":
    _load(os.path.dirname(os.path.abspath(__file__)))
    importlib.import_module(_NAME + ".processes").main(sys.argv[1:])
