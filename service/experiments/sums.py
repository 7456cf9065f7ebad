"""What is kept of numbers that come one by one: how many, their sum and the sum of their squares.

Both sums are of what a number is beyond a `shift`: of numbers that are far from 0 and near each other, as
times since 1970 are, nothing would be left of the digits in which they differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sums:
    """Outcomes of one variant. Those of several processes, or of several hours, are added.

    Of outcomes that are 0 or 1 nothing is shifted: `total` and `squares` are how many were 1.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    shift: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        if not self.count or not other.count:
            return self if self.count else other
        moved = other if other.shift == self.shift else other._shifted(self.shift)
        return Sums(
            self.count + moved.count, self.total + moved.total, self.squares + moved.squares, self.shift
        )

    @property
    def mean(self) -> float:
        """0 if there are none."""
        return self.shift + self.total / self.count if self.count else 0.0

    @property
    def deviations(self) -> float:
        """The sum of the squared distances from the mean."""
        return max(0.0, self.squares - self.total * self.total / self.count) if self.count else 0.0

    def _shifted(self, shift: float) -> "Sums":
        """The same numbers, summed up from another place."""
        further = self.shift - shift
        total = self.total + self.count * further
        return Sums(self.count, total, self.squares + further * (self.total + total), shift)


def shift_for(first: float) -> float:
    """From where numbers are summed up of which this is the first; shares and signs are left as they are."""
    return first if abs(first) > 1 else 0.0


def sum_up(values: Iterable[float]) -> Sums:
    """The sums of these values."""
    every = list(values)
    shift = shift_for(every[0]) if every else 0.0
    beyond = [value - shift for value in every]
    return Sums(len(every), float(sum(beyond)), float(sum(value * value for value in beyond)), shift)


def count_up(successes: int, count: int) -> Sums:
    """The sums of outcomes of which `successes` are 1 and all others 0."""
    return Sums(count, float(successes), float(successes))
