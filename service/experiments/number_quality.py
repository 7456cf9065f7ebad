"""How good predicted numbers are, from labels: sums that add up over processes."""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from service.experiments.sums import Sums, sum_up


@dataclass(slots=True)
class NumberQuality:
    """Predictions of one variant held against labels."""

    errors: Sums = field(default_factory=Sums)  # prediction minus label
    absolute: float = 0.0
    labels: Sums = field(default_factory=Sums)

    def add(self, label: float, predicted: float) -> None:
        """Count one prediction."""
        error = predicted - label
        self.errors += Sums(1, error, error * error)
        self.absolute += abs(error)
        self.labels += sum_up([label])

    def merge(self, other: "NumberQuality") -> None:
        """Count what another process counted."""
        self.errors += other.errors
        self.absolute += other.absolute
        self.labels += other.labels

    def document(self) -> dict[str, Any]:
        """All figures as JSON can hold them; R2 is None where all labels are equal."""
        count, spread = self.errors.count, self.labels.deviations
        return {
            "count": count,
            "mean_absolute_error": self.absolute / count if count else None,
            "root_mean_squared_error": sqrt(self.errors.squares / count) if count else None,
            "r2": 1 - self.errors.squares / spread if spread else None,
            "mean_error": self.errors.mean if count else None,
        }
