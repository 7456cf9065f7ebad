"""What belongs to training: it may be imported, as scripts that train and serve do, and not called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)

    def absent(*arguments: Any, **named: Any) -> Any:
        raise NotImplementedError(
            f"{name} of AWS's training toolkits is not here: this process serves a model"
        )

    absent.__name__ = name
    return absent
