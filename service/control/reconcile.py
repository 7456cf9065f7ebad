"""Makes statuses follow what the gateways report. The keeper's work."""

from collections.abc import Callable, Sequence
from typing import Final

from service.control.endpoints import endpoint_of, save_endpoint
from service.control.resources import OperationContext, Resources
from service.domain.endpoint import UNSETTLED, Endpoint, EndpointStatus, GatewayState
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.log import get_logger
from service.store.members import LEASE_S, LeaseWatch
from service.store.reading import KnownReading
from service.store.store import Store, View

_UNDER_WAY = tuple(status for status in UNSETTLED if status is not EndpointStatus.FAILED)

_ALIVE_LOOK_S: Final = 1.0
"""Seconds between two looks at which gateways live while no endpoint waits for them."""

_SETTLED = (EndpointStatus.IN_SERVICE, EndpointStatus.FAILED)


def reconciling(store: Store, context: OperationContext) -> Callable[[], int]:
    """What settles endpoints, by the gateways whose leases are renewed."""
    return Reconciler(store, context, LeaseWatch(context.clock, LEASE_S).is_alive).look


class Reconciler:
    """Settles every endpoint by the reports of the gateways that are alive; `look` again and again.

    The reports of gateways that are gone are forgotten.
    """

    def __init__(self, store: Store, context: OperationContext, is_alive: Callable[[str, int], bool]) -> None:
        """`is_alive` is told a gateway's name and its last beat."""
        self._store = store
        self._context = context
        self._is_alive = is_alive
        self._unsettled = KnownReading(store, _unsettled)
        self._next_alive_s = 0.0

    def look(self) -> int:
        """Settle what has got that far; returns how many moved. Raises Unavailable."""
        revision, unsettled = self._unsettled.get()
        now_s = self._context.clock.monotonic()
        if not unsettled and now_s < self._next_alive_s:
            return 0  # nothing waits for what gateways report
        self._next_alive_s = now_s + _ALIVE_LOOK_S
        gateways = _living_gateways(self._store, self._is_alive)
        if not any(_moves(resource, gateways, revision + 1) for resource in unsettled):
            return 0  # the usual case takes no write lock
        moved: list[Resource] = []
        with self._store.change() as change:
            resources = Resources(change, self._context)
            for resource in _unsettled(change):
                moved += _settle(resources, resource, gateways)
        for resource in moved:
            _note(resource)
        return len(moved)


def _unsettled(view: View) -> list[Resource]:
    """The endpoints that reports can move. Of those that failed only declared ones heal."""
    failed = view.of_kind(Kind.ENDPOINT, (EndpointStatus.FAILED,), declared=True)
    return view.of_kind(Kind.ENDPOINT, _UNDER_WAY) + failed


def _note(resource: Resource) -> None:
    log = get_logger("sagebird.keeper")
    if resource.status == EndpointStatus.DELETING:
        log.info("endpoint deleted", endpoint=resource.name)
        return
    report = log.warning if resource.failure_reason else log.info
    moved = "endpoint settled" if resource.status in _SETTLED else "endpoint ready, gateways go over to it"
    report(moved, endpoint=resource.name, status=resource.status, reason=resource.failure_reason)


def _living_gateways(store: Store, is_alive: Callable[[str, int], bool]) -> list[GatewayState]:
    found, gone = [], []
    for gateway in store.gateways():
        if is_alive(gateway.member, gateway.beat):
            found.append(GatewayState(gateway.revision, gateway.reports))
        else:
            gone.append(gateway.member)
    if gone:
        store.forget_gateways(gone)
    return found


def _moves(resource: Resource, gateways: Sequence[GatewayState], revision: int) -> bool:
    endpoint = endpoint_of(resource)
    return endpoint.is_gone(gateways) or endpoint.settle(gateways, revision) != endpoint


def _settle(resources: Resources, resource: Resource, gateways: Sequence[GatewayState]) -> list[Resource]:
    """Move one endpoint as far as the reports allow; the resource if it moved."""
    endpoint = endpoint_of(resource)
    if endpoint.is_gone(gateways):
        resources.delete(Kind.ENDPOINT, resource.name)
        return [resource]
    settled: Endpoint = endpoint.settle(gateways, resources.next_revision())
    return [] if settled == endpoint else [save_endpoint(resources, resource, settled)]
