"""JSON that is full of numbers, in which XGBoost saves models: to plain values, arrays of numbers to numpy's.

The limits of ubjson hold here too.
"""

from typing import Any, Final

import numpy as np
import simdjson

from service.hosting.runtimes.ubjson import DEEPEST, most_values

_MOST_NAMES: Final = 1000


class NotJson(Exception):
    """The bytes are not what they should be."""


def read_number_json(data: bytes) -> Any:
    """The document. All numbers of arrays are float64. Raises NotJson."""
    try:
        return _Reader(most_values(len(data))).value(simdjson.Parser().parse(data), 0)
    except (ValueError, RuntimeError) as error:
        raise NotJson(f"{type(error).__name__}: {error}") from error


class _Reader:
    def __init__(self, most: int) -> None:
        self._left = most

    def value(self, found: Any, depth: int) -> Any:
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise NotJson("it is nested too deeply" if depth > DEEPEST else "it holds too many values")
        if isinstance(found, simdjson.Object):
            return self._object(found, depth + 1)
        if isinstance(found, simdjson.Array):
            return self._array(found, depth + 1)
        return found

    def _object(self, found: Any, depth: int) -> dict[str, Any]:
        if len(found) > _MOST_NAMES:  # each of them is looked for among all
            raise NotJson("an object has too many names")
        return {name: self.value(found[name], depth) for name in found}

    def _array(self, found: Any, depth: int) -> Any:
        try:
            return np.frombuffer(found.as_buffer(of_type="d"), np.float64)
        except TypeError:  # not numbers alone
            return [self.value(each, depth) for each in found]
