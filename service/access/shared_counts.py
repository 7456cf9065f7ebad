"""What all gateways of a family count together of those who ask: how often, and how much at once."""

from dataclasses import dataclass, field

from service.access.in_flight import InFlight
from service.access.token_buckets import TokenBuckets


@dataclass(frozen=True, slots=True)
class SharedCounts:
    """Made before the processes that share it are forked."""

    buckets: TokenBuckets = field(default_factory=TokenBuckets)
    in_flight: InFlight = field(default_factory=InFlight)

    def begin(self, process: str) -> "SharedCounts":
        """Count as this process from now on."""
        self.in_flight.begin(process)
        return self
