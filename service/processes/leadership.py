"""Which one of several processes does the work that only one may do at a time: whoever holds its lease."""

from service.clock import Clock
from service.store.members import LEAD_S, RENEW_S, LeaseWatch
from service.store.store import Store


class Leadership:
    """One process's claim to lead. A lease that is not renewed is taken over."""

    def __init__(self, store: Store, name: str, owner: str, clock: Clock) -> None:
        """`name` is that of the work, `owner` that of the process; it keeps its lease over its own death."""
        self._store = store
        self._name = name
        self._owner = owner
        self._clock = clock
        self._watch = LeaseWatch(clock, LEAD_S)
        self._renew_at_s: float | None = None  # None: it is somebody else's

    def is_held(self) -> bool:
        """Whether this process leads now; it does what is needed to. Raises Unavailable."""
        now_s = self._clock.monotonic()
        if self._renew_at_s is not None and now_s < self._renew_at_s:
            return True
        seen = self._store.lead_of(self._name)
        free = seen is None or seen.owner == self._owner or not self._watch.is_alive(seen.owner, seen.beat)
        led = free and self._store.take_lead(self._name, self._owner, seen)
        self._renew_at_s = now_s + RENEW_S if led else None
        return led
