"""Latencies counted in buckets that grow with the value: bounded memory, every percentile within 1 %."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

ERROR = 0.01
"""How far a percentile may be from the exact one, as a part of it."""

_SMALLEST_S = 1e-6
_LARGEST_S = 1e5
# A bucket [low, low * growth) is answered by its geometric middle: both ends are within ERROR of it.
_WIDTH = 2 * log(1 + ERROR)
_LAST = int(log(_LARGEST_S / _SMALLEST_S) / _WIDTH)


@dataclass(slots=True)
class Histogram:
    """Counts of latencies in seconds. Values below a microsecond or above a day count as those.

    At most 1,273 buckets are ever kept, most of them never; `largest_s` is exact.
    """

    counts: dict[int, int] = field(default_factory=dict)
    total: int = 0
    sum_s: float = 0.0
    largest_s: float = 0.0

    def add(self, value_s: float) -> None:
        """Count one latency, in seconds."""
        bucket = 0 if value_s <= _SMALLEST_S else min(int(log(value_s / _SMALLEST_S) / _WIDTH), _LAST)
        counts = self.counts
        counts[bucket] = counts.get(bucket, 0) + 1
        self.total += 1
        self.sum_s += value_s
        if value_s > self.largest_s:
            self.largest_s = value_s

    def merge(self, other: "Histogram") -> None:
        """Count all that another one has counted."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total
        self.sum_s += other.sum_s
        self.largest_s = max(self.largest_s, other.largest_s)

    def percentile(self, share: float) -> float:
        """The value that `share` (0 to 1) of the latencies do not exceed, in seconds; 0 if there are none."""
        (value_s,) = self.percentiles((share,))
        return value_s

    def percentiles(self, shares: Iterable[float]) -> list[float]:
        """`percentile` of several shares, which must ascend, in one walk."""
        buckets = iter(sorted(self.counts.items()))
        found, passed, value_s = [], 0, 0.0
        for share in shares:
            rank = max(share * self.total, 1e-9)
            while passed < rank and (entry := next(buckets, None)):
                passed += entry[1]
                value_s = middle_s(entry[0])
            found.append(min(value_s, self.largest_s))
        return found

    @property
    def mean_s(self) -> float:
        """The exact mean in seconds; 0 if there are none."""
        return self.sum_s / self.total if self.total else 0.0

    def rows(self) -> list[tuple[float, float, int]]:
        """The buckets that hold something, ascending: (from, below, count), bounds in seconds."""
        return [(low_s(bucket), low_s(bucket + 1), count) for bucket, count in sorted(self.counts.items())]

    def dump(self) -> dict[str, Any]:
        """The histogram as JSON can hold it."""
        return {
            "counts": list(self.counts.items()),
            "sum_s": self.sum_s,
            "largest_s": self.largest_s,
        }


def load(document: Mapping[str, Any]) -> Histogram:
    """The histogram that `dump` wrote down."""
    counts = dict(document["counts"])
    return Histogram(counts, sum(counts.values()), document["sum_s"], document["largest_s"])


def low_s(bucket: int) -> float:
    """The lower bound of a bucket in seconds."""
    return _SMALLEST_S * exp(bucket * _WIDTH)


def middle_s(bucket: int) -> float:
    """The value that stands for a bucket, in seconds."""
    return _SMALLEST_S * exp((bucket + 0.5) * _WIDTH)
