"""What the operations of CloudWatch work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.clock import Clock
from service.domain.caller import Caller
from service.observe.series import VariantSeries
from service.observe.utilization import UtilizationSeries
from service.store.neighbours import NeighbourStore

CloudWatchFields = Mapping[str, Any]

SERVICE: Final = "monitoring"
"""What CloudWatch is called in signatures, and in what is kept."""


@dataclass(frozen=True, slots=True)
class CloudWatchContext:
    """What an operation needs beside its members.

    `instances` is how many an endpoint's variant has now; metrics are kept for `keep_s` seconds.
    """

    kept: NeighbourStore
    series: VariantSeries
    utilization: UtilizationSeries
    clock: Clock
    caller: Caller
    instances: Callable[[str, str], int]
    keep_s: float

    @property
    def now_s(self) -> float:
        """The time, in seconds since 1970."""
        return self.clock.now().timestamp()


CloudWatchOperation = Callable[[CloudWatchContext, CloudWatchFields], Mapping[str, Any] | None]
