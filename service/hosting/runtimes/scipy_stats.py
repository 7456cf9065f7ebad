"""scipy.stats put off until it is used.

scikit-learn imports it whole for a dozen functions, most of which only fitting uses: a third of what its own
import takes, 0.25 s, and 20 MB. Whoever imports scipy.stats after this, user code or a model's file, gets the
module itself.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_NAME = "scipy.stats"


class _Later:
    """What was taken from scipy.stats by name; found when it is first called or asked for an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._found()(*arguments, **options)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # whoever inspects it must not be what loads it
            raise AttributeError(attribute)
        return getattr(self._found(), attribute)

    def _found(self) -> Any:
        return getattr(import_module(_NAME), self._name)


class _StandIn(ModuleType):
    """Stands for scipy.stats while it is put off, and afterwards wherever it was taken as a module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Later(name) if sys.modules.get(_NAME) is self else getattr(import_module(_NAME), name)


@contextmanager
def put_off() -> Iterator[None]:
    """Modules that are imported meanwhile take their part of scipy.stats when they use it."""
    if _NAME in sys.modules:
        yield
        return
    stand_in = sys.modules[_NAME] = _StandIn(_NAME)
    try:
        yield
    finally:
        if sys.modules.get(_NAME) is stand_in:
            del sys.modules[_NAME]
