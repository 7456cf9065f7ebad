"""The keeper's loop and life: it looks at the endpoints file, settles endpoints, quicker after a change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from service.clock import Clock
from service.errors import SagebirdError
from service.hosting.container_card import ContainerCard
from service.log import Trouble, get_logger
from service.observe.series import SeriesKeeping
from service.processes.child import is_orphaned, stop_event
from service.processes.instances import instance_look
from service.processes.leadership import Leadership
from service.settings import Settings
from service.store.store import Store

_LOOK_S = 0.2
_QUICK_LOOK_S = 0.02  # for a while after a change, when gateways have news of it
_QUICK_FOR_S = 3.0
_REST = 3.0  # of what a round took: processors that are short are left to the gateways, which start as well
_DAY_S = 86_400.0


class Closing(Protocol):
    """Where requests are answered until it is closed."""

    def close(self) -> None:
        """Finish what was handed in, and take no more."""
        ...


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """What the keeper process is made of.

    Its name in the family, what its rounds do as long as it leads, and the desk that answers meanwhile, if
    any.
    """

    member: str
    clock: Clock
    store: Store
    looks: Sequence[Callable[[], object]]
    desk: Closing | None


def series_looks(
    settings: Settings, store: Store, clock: Clock, family: str, cards: Callable[[], Sequence[ContainerCard]]
) -> tuple[Callable[[], None], ...]:
    """What writes down what gateways have counted, and what variants of this `family` use of the machine."""
    return (series_keeping(settings, clock).look, instance_look(settings, store, clock, family, cards))


def series_keeping(settings: Settings, clock: Clock) -> SeriesKeeping:
    """What keeps a server's series."""
    keep_s = settings.series_keep_days * _DAY_S
    return SeriesKeeping(settings.data / "series.db", settings.data / "metrics", keep_s, clock.now)


def run_keeper(build: Callable[[], KeeperParts], parent_pid: int) -> int:
    """One keeper process, until SIGTERM or until the parent is gone."""
    stop = stop_event()
    parts = build()
    leadership = Leadership(parts.store, "keeper", parts.member, parts.clock)
    keeper = Keeper(parts.store, parts.looks, leadership.is_held)
    keeper.run(lambda seconds: stop.wait(seconds) or is_orphaned(parent_pid))
    if parts.desk is not None:
        parts.desk.close()
    parts.store.close()
    return 0


class Keeper:
    """Does one round after the other, whatever becomes of the last one."""

    def __init__(
        self, store: Store, looks: Sequence[Callable[[], object]], leads: Callable[[], bool]
    ) -> None:
        """`looks` are what a round does, in this order, as long as it `leads`."""
        self._store = store
        self._leads = leads
        self._looks = looks
        self._seen = 0
        self._took_s = 0.0
        self._quick_until_s = monotonic() + _QUICK_FOR_S
        self._log = get_logger("sagebird.keeper")
        self._trouble = Trouble(self._log, "keeper cannot do its rounds")

    def run(self, leaves: Callable[[float], bool]) -> None:
        """Go on until `leaves`, which waits for some seconds, says that it is over."""
        while not leaves(self._wait_s()):
            begun_s = monotonic()
            try:
                self._round()
                self._trouble.end()
            except SagebirdError as error:  # the store is locked, full or away: it may come back
                self._trouble.meet(error.message)
            except Exception:  # the edge of a loop that must outlive one bad look
                self._log.exception("keeper could not do its round")
            self._took_s = monotonic() - begun_s

    def _wait_s(self) -> float:
        if monotonic() >= self._quick_until_s:
            return _LOOK_S
        return min(max(_QUICK_LOOK_S, _REST * self._took_s), _LOOK_S)

    def _round(self) -> None:
        if not self._leads():
            return
        for look in self._looks:
            look()
        if (revision := self._store.revision()) != self._seen:
            self._seen, self._quick_until_s = revision, monotonic() + _QUICK_FOR_S
