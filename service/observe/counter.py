"""What happened to the requests of one variant: counted, added up, told as plain numbers."""

from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, TypeVar

# Upper ends of the latency buckets in seconds, the last one without end; a small model answers in under 1 ms.
BOUNDS_S = (
    *(0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02),
    *(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
# Of those that series keep: a model that is compiled answers in tens of microseconds.
FINE_BOUNDS_S = (
    *(0.00001, 0.000015, 0.00002, 0.00003, 0.00005, 0.000075, 0.0001, 0.00015, 0.0002, 0.0003),
    *BOUNDS_S,
)

_FINER = len(FINE_BOUNDS_S) - len(BOUNDS_S)
_Key = TypeVar("_Key", bound=Hashable)
_Number = TypeVar("_Number", int, float)


@dataclass(slots=True)
class InvocationCounter:
    """What happened to the requests of one variant; counted from one thread only, the event loop's.

    `latency`, `model` and `overhead` are requests by how long they took, by how long the model was at them,
    and by the rest of that (one more than FINE_BOUNDS_S); `seconds` is their whole latency and
    `model_seconds` the model's part of it; `errors` counts by AWS code and class of the status (4 or 5).
    """

    latency: list[int] = field(default_factory=lambda: [0] * (len(FINE_BOUNDS_S) + 1))
    model: list[int] = field(default_factory=lambda: [0] * (len(FINE_BOUNDS_S) + 1))
    overhead: list[int] = field(default_factory=lambda: [0] * (len(FINE_BOUNDS_S) + 1))
    seconds: float = 0.0
    model_seconds: float = 0.0
    errors: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests were counted, answered or not."""
        return sum(self.latency)

    @property
    def buckets(self) -> list[int]:
        """Requests by latency, one more than BOUNDS_S."""
        return [sum(self.latency[: _FINER + 1]), *self.latency[_FINER + 1 :]]

    def errors_of(self, status_class: Literal[4, 5]) -> int:
        """How many requests failed with a status of this class."""
        return sum(number for (_, of_class), number in self.errors.items() if of_class == status_class)

    def count(self, duration_s: float, model_s: float = 0.0, requests: int = 1) -> None:
        """Count an answered request, or several that took as long: whole latency, and the model's part."""
        self.latency[bisect_left(FINE_BOUNDS_S, duration_s)] += requests
        self.model[bisect_left(FINE_BOUNDS_S, model_s)] += requests
        self.overhead[bisect_left(FINE_BOUNDS_S, duration_s - model_s)] += requests
        self.seconds += duration_s * requests
        self.model_seconds += model_s * requests

    def count_error(
        self, duration_s: float, code: str, status_class: Literal[4, 5], model_s: float = 0.0
    ) -> None:
        """Count one failed request too; for a ModelError `status_class` is that of the container's status.

        Source: Invocation4XXErrors and Invocation5XXErrors go by the container (contract E.1).
        """
        self.count(duration_s, model_s)
        increase(self.errors, (code, status_class), 1)

    def add(self, other: "InvocationCounter") -> None:
        """Add another process's numbers to these."""
        self.latency = _sums(self.latency, other.latency)
        self.model = _sums(self.model, other.model)
        self.overhead = _sums(self.overhead, other.overhead)
        self.seconds += other.seconds
        self.model_seconds += other.model_seconds
        add_numbers(self.errors, other.errors)

    def plus(self, other: "InvocationCounter") -> "InvocationCounter":
        """Both together."""
        total = InvocationCounter()
        total.add(self)
        total.add(other)
        return total

    def since(self, before: "InvocationCounter") -> "InvocationCounter":
        """What was counted after these numbers were those of `before`."""
        errors = {key: number - before.errors.get(key, 0) for key, number in self.errors.items()}
        return InvocationCounter(
            _differences(self.latency, before.latency),
            _differences(self.model, before.model),
            _differences(self.overhead, before.overhead),
            max(0.0, self.seconds - before.seconds),
            max(0.0, self.model_seconds - before.model_seconds),
            {key: number for key, number in errors.items() if number},
        )

    def numbers(self) -> list[Any]:
        """These numbers as a list, fit for JSON."""
        errors = [[*key, number] for key, number in self.errors.items()]
        return [self.latency, self.model, self.overhead, self.seconds, self.model_seconds, errors]

    @classmethod
    def of_numbers(cls, numbers: list[Any]) -> "InvocationCounter":
        """The counter that such a list was made of. Raises ValueError, TypeError: it is none."""
        latency, model, overhead, whole_s, model_s, errors = numbers
        return cls(
            _histogram(latency),
            _histogram(model),
            _histogram(overhead),
            read_seconds(whole_s),
            read_seconds(model_s),
            {
                (str(code), read_whole(status_class)): read_whole(number)
                for code, status_class, number in errors
            },
        )


def add_numbers(into: dict[_Key, _Number], other: dict[_Key, _Number]) -> None:
    """Add numbers by name to others."""
    for key, number in list(other.items()):
        increase(into, key, number)


def increase(into: dict[_Key, _Number], key: _Key, number: _Number) -> None:
    """Add to one of the numbers."""
    into[key] = into[key] + number if key in into else number


def _sums(mine: list[int], theirs: list[int]) -> list[int]:
    return [one + other for one, other in zip(mine, theirs, strict=True)]


def _differences(mine: list[int], before: list[int]) -> list[int]:
    return [one - other for one, other in zip(mine, before, strict=True)]


def _histogram(buckets: list[Any]) -> list[int]:
    if len(buckets) != len(FINE_BOUNDS_S) + 1:
        raise ValueError("not as many buckets as bounds")
    return [read_whole(number) for number in buckets]


def read_whole(number: Any) -> int:
    """A count as it was told. Raises ValueError: it is none."""
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no count")
    return number


def read_seconds(number: Any) -> float:
    """A sum of seconds as it was told. Raises ValueError: it is none."""
    if type(number) not in (int, float) or not isfinite(number) or number < 0:
        raise ValueError(f"{number!r} is no sum of seconds")
    return float(number)
