"""Whether a fitted estimator is still what it was when its programs were made.

Looked at are the attributes, lists and arrays that it is made of, the methods of its classes, and settings of
scikit-learn. Objects of C, as the nodes of a tree, are taken for what they were as long as they are the same.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import sklearn

from service.errors import NotCompilable

_MOST_BYTES: Final = 1 << 20
_MOST_PARTS: Final = 4000
_LIBRARIES: Final = frozenset({"sklearn", "scipy"})
_METHODS: Final = ("predict", "predict_proba", "decision_function", "transform")


class Seal:
    """What one estimator is made of, remembered. Tens of microseconds to look at for a usual pipeline."""

    def __init__(self, estimator: Any) -> None:
        """Raises NotCompilable for one that holds more than can be looked at for each call."""
        self._owners: list[tuple[Any, dict[str, Any]]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._arrays: list[tuple[Any, bytes]] = []
        self._kept: list[Any] = []
        self._left_bytes = _MOST_BYTES
        self._seen: set[int] = set()
        self._remember(estimator)
        kinds = {kind for owner, _ in self._owners for kind in type(owner).__mro__}
        self._classes = list(_methods_of(kinds))
        self._settings = sklearn.get_config()
        self._held = True

    def holds(self) -> bool:
        """Whether all of it is as it was; once it was not, it never is again."""
        if self._held:
            try:
                self._held = not self._differs()
            except ValueError:  # one array in the place of another, which have no truth value
                self._held = False
        return self._held

    def _differs(self) -> bool:
        for owner, attributes in self._owners:
            if vars(owner) != attributes:
                return True
        for container, items in self._containers:
            if container != items:
                return True
        for array, content in self._arrays:
            if array.tobytes() != content:
                return True
        for members, name, method in self._classes:
            if members.get(name) is not method:
                return True
        return bool(sklearn.get_config() != self._settings)

    def _remember(self, thing: Any) -> None:
        if id(thing) in self._seen:
            return
        if isinstance(thing, np.ndarray):
            self._remember_array(thing)
        elif isinstance(thing, dict | list):
            self._note(thing, self._containers, thing.copy())
            self._remember_all(thing.values() if isinstance(thing, dict) else thing)
        elif isinstance(thing, tuple):
            self._remember_all(thing)
        elif _is_of_library(thing):
            attributes = dict(vars(thing))
            self._note(thing, self._owners, attributes)
            self._remember_all(attributes.values())

    def _remember_array(self, array: Any) -> None:
        self._left_bytes -= array.nbytes
        if self._left_bytes < 0:
            raise NotCompilable("it holds more numbers than can be looked at for each call")
        self._note(array, self._arrays, array.tobytes())
        if array.dtype == object:
            items = array.ravel().tolist()
            self._kept.append(items)  # its content is their addresses, which none other must get
            self._remember_all(items)

    def _remember_all(self, things: Iterable[Any]) -> None:
        for thing in things:
            self._remember(thing)

    def _note(self, thing: Any, among: list[tuple[Any, Any]], content: Any) -> None:
        self._seen.add(id(thing))
        among.append((thing, content))
        if len(self._seen) > _MOST_PARTS:
            raise NotCompilable("it has more parts than can be looked at for each call")


def _is_of_library(thing: Any) -> bool:
    kind = type(thing)
    return kind.__module__.partition(".")[0] in _LIBRARIES and hasattr(thing, "__dict__")


def _methods_of(kinds: Iterable[type]) -> Iterator[tuple[Any, str, Any]]:
    """What classes have under the names that matter, None included."""
    for kind in kinds:
        if kind.__module__.startswith("sklearn."):
            members = vars(kind)
            yield from ((members, name, members.get(name)) for name in _METHODS)
