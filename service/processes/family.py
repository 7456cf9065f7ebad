"""The family of one server: which processes it has, what each does with the listener, and how they stop."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from service.access.shared_counts import SharedCounts
from service.hosting.containers.opener import Containers
from service.hosting.runtimes.named import modules_in
from service.hosting.runtimes.preload import preload
from service.http.accepting import Balance, Place
from service.http.door import keep_from_beginning
from service.invoke.newest import Newest
from service.processes.control_plane import ControlPlane
from service.processes.supervisor import Role, Supervisor
from service.settings import Settings

_WORKER_DELAY_S = 1.0  # jobs can wait while gateways, which callers wait for, need the processors


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes of one family have in common; made before they are forked.

    Its name, its containers, a server's control plane, the newest revision that one of them answers by, how
    often has been asked what may be asked so often only, and how much of that is under way.
    """

    family: str
    control: ControlPlane | None
    containers: Containers
    newest: Newest = field(default_factory=Newest)
    counts: SharedCounts = field(default_factory=SharedCounts)


@dataclass(frozen=True, slots=True)
class Lives:
    """What the processes of each kind run; each returns an exit code. A container has no workers."""

    gateway: Callable[[Place], int]
    keeper: Callable[[], int]
    model_host: Callable[[], int]
    worker: Callable[[], int] | None = None


def run_family(settings: Settings, listener: socket.socket, lives: Lives) -> int:
    """Fork the family and keep it alive, until SIGTERM; returns the exit code."""
    preload(modules_in(settings.models))
    balance = Balance(settings.gateways)

    def gateway(number: int) -> Role:
        place = Place(listener, balance, number)
        return Role(place.slot, lambda: lives.gateway(place), serves=True)

    def without_listener(life: Callable[[], int]) -> Callable[[], int]:
        def run() -> int:
            listener.close()  # it takes no calls, and must not hold the port when the others are gone
            return life()

        return run

    def begin_stop() -> None:
        balance.stop()
        keep_from_beginning(listener)

    roles = [gateway(number) for number in range(settings.gateways)]
    roles.append(Role("keeper", without_listener(lives.keeper)))
    roles.append(Role("models", without_listener(lives.model_host)))
    if lives.worker is not None:
        run = without_listener(lives.worker)
        roles += [Role(f"worker-{number}", run, _WORKER_DELAY_S) for number in range(settings.workers)]
    return Supervisor(roles, settings.drain_s, begin_stop).run()
