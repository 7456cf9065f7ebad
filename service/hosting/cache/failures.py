"""Which models failed to load, why, and how long each is left alone before it is tried again."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

from service.clock import Clock
from service.errors import ModelFault
from service.hosting.cache.source import ModelKey

_MAX_FAILURES = 10_000
"""Failures remembered; beyond, the oldest is forgotten and its model tried again."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a model that failed to load is left alone: doubling from `first_s` up to `longest_s`."""

    first_s: float = 1.0
    longest_s: float = 60.0

    def wait_s(self, attempts: int) -> float:
        """Seconds to wait after that many failures in a row."""
        return float(min(self.first_s * 2.0 ** min(attempts - 1, 30), self.longest_s))


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of one model, after so many `attempts` in a row at the `version` of its files."""

    fault: ModelFault
    attempts: int
    retry_at_s: float
    version: str | None


class Failures:
    """The failures of one cache."""

    def __init__(self, clock: Clock, backoff: Backoff) -> None:
        self._clock = clock
        self._backoff = backoff
        self._failures: dict[ModelKey, Failure] = {}

    def __iter__(self) -> Iterator[tuple[ModelKey, ModelFault]]:
        return ((key, failure.fault) for key, failure in self._failures.items())

    def get(self, key: ModelKey) -> Failure | None:
        """The model's last failure, as long as its model was not loaded since."""
        return self._failures.get(key)

    def waiting(self, key: ModelKey) -> Failure | None:
        """The model's failure while its back-off lasts."""
        failure = self._failures.get(key)
        return failure if failure is not None and self._clock.monotonic() < failure.retry_at_s else None

    def remember(self, key: ModelKey, fault: ModelFault, version: str | None) -> None:
        """Note one more failure. A copy is kept, without the frames of the load."""
        known = self._failures.pop(key, None)
        attempts = (known.attempts if known else 0) + 1
        retry_at_s = self._clock.monotonic() + self._backoff.wait_s(attempts)
        self._failures[key] = Failure(copy(fault), attempts, retry_at_s, version)
        if len(self._failures) > _MAX_FAILURES:
            self._failures.pop(next(iter(self._failures)))

    def forget(self, key: ModelKey) -> None:
        """The model was loaded or dropped; it need not have failed."""
        self._failures.pop(key, None)
