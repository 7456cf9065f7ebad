"""What is kept of numbers that come one by one: how many, their sum and the sum of their squares."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sums:
    """Outcomes of one variant. Those of several processes, or of several hours, are added.

    Of outcomes that are 0 or 1, `total` and `squares` are how many were 1.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """0 if there are none."""
        return self.total / self.count if self.count else 0.0

    @property
    def deviations(self) -> float:
        """The sum of the squared distances from the mean."""
        return max(0.0, self.squares - self.total * self.mean)


def sum_up(values: Iterable[float]) -> Sums:
    """The sums of these values."""
    every = list(values)
    return Sums(len(every), float(sum(every)), float(sum(value * value for value in every)))


def count_up(successes: int, count: int) -> Sums:
    """The sums of outcomes of which `successes` are 1 and all others 0."""
    return Sums(count, float(successes), float(successes))
