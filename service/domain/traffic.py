"""Which variant answers a request: weights compiled into shares of [0, 1). Draws no random numbers."""

from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import isfinite
from types import MappingProxyType
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)


class Traffic(Generic[_Key]):
    """Shares of one endpoint's traffic, compiled once so that a pick is one bisection.

    A variant's share is its weight over the sum of all weights (contract C.12). Sums are exact: shares are
    rounded once, when they become floats, so neither subnormal nor huge weights lose or overflow anything.

    Raises:
        ValueError: a weight is negative, infinite or not a number, or a name appears twice.
    """

    __slots__ = ("_ends", "_names", "_shares")

    def __init__(self, weights: Sequence[tuple[_Key, float]]) -> None:
        exact = _read(weights)
        total = sum(exact.values(), Fraction(0))
        # A variant without weight is left out altogether: no rounding at an edge can ever pick it.
        weighty = {name: weight for name, weight in exact.items() if weight}
        self._names: tuple[_Key | None, ...] = tuple(weighty) or (None,)
        # The last share has no end: whatever is not before it belongs to it.
        self._ends = tuple(float(end / total) for end in list(accumulate(weighty.values()))[:-1])
        self._shares = {name: float(weight / total) if total else 0.0 for name, weight in exact.items()}

    def pick(self, number: float) -> _Key | None:
        """The variant that owns `number` in [0, 1), always the same; None if no variant has any weight."""
        return self._names[bisect_right(self._ends, number)]

    def shares(self) -> Mapping[_Key, float]:
        """Each variant's share of the traffic, in [0, 1], in the order given; all 0.0 if none has weight."""
        return MappingProxyType(self._shares)


def _read(weights: Sequence[tuple[_Key, float]]) -> dict[_Key, Fraction]:
    exact: dict[_Key, Fraction] = {}
    for name, weight in weights:
        if not isfinite(weight) or weight < 0:
            raise ValueError(
                f"the weight of variant {name} is {weight}; it must be a finite number of at least 0"
            )
        if name in exact:
            raise ValueError(f"variant {name} appears twice")
        exact[name] = Fraction(weight)
    return exact
