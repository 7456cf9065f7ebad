"""Imports that others make without need: left out, or put off until what they are for is used."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Meanwhile these libraries count as not installed, for modules that can do without them.

    Whoever imports one afterwards has it.
    """
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python is told so
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextmanager
def put_off(*names: str) -> Iterator[None]:
    """Modules that are imported meanwhile take their part of these libraries when they use it.

    Whoever imports one of them after this, user code or a model's file, gets the library itself. What does
    more meanwhile than to take names from them fails, with ImportError, AttributeError or TypeError.
    """
    finder = _Finder([name for name in names if name not in sys.modules])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.let_go()


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins for some libraries and for all that is below them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._made: list[_StandIn] = []

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self._names):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._made.append(_StandIn(spec.name))
        return self._made[-1]

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""

    def let_go(self) -> None:
        """From now on the real modules are found; stand-ins that were taken ask these."""
        for module in self._made:
            name = module.__name__
            if sys.modules.get(name) is module:
                del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if vars(sys.modules.get(parent, module)).get(last) is module:
                delattr(sys.modules[parent], last)


class _StandIn(ModuleType):
    """Stands for a module while that is put off, and afterwards wherever it was taken as a module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            return _Later(self.__name__, name)
        return getattr(import_module(self.__name__), name)


class _Later:
    """What was taken from a module by name; found when it is first called or asked for an attribute."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._found()(*arguments, **options)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # whoever inspects it must not be what loads it
            raise AttributeError(attribute)
        return getattr(self._found(), attribute)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self._found())

    def _found(self) -> Any:
        found = import_module(self._module)
        if isinstance(found, _StandIn):
            raise ImportError(f"{self._module} is used while it is put off")
        return getattr(found, self._name)
