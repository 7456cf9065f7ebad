"""The script of a model, called as a plain server calls it: its functions one after the other."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Script:
    """A loaded script and its model."""

    functions: Any
    model: Any

    def answer(self, body: str | bytes, content_type: str, accept: str) -> tuple[str, str]:
        """An answer and its type."""
        given = self.functions.input_fn(body, content_type)
        prediction = self.functions.predict_fn(given, self.model)
        answer: tuple[str, str] = self.functions.output_fn(prediction, accept)
        return answer


@cache
def load_script(folder: Path) -> Script:
    """The script of a folder, once."""
    spec: Any = importlib.util.spec_from_file_location(f"script_{folder.name}", folder / "inference.py")
    functions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(functions)
    return Script(functions, functions.model_fn(str(folder)))
