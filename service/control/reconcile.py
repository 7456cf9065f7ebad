"""Makes statuses follow what the gateways report. The keeper's work."""

from collections.abc import Callable, Sequence
from functools import partial

from service.control.endpoints import endpoint_of, save_endpoint
from service.control.resources import OperationContext, Resources
from service.domain.endpoint import UNSETTLED, Endpoint, EndpointStatus, GatewayState
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.log import get_logger
from service.store.members import LEASE_S, LeaseWatch
from service.store.store import Store, View

_UNDER_WAY = tuple(status for status in UNSETTLED if status is not EndpointStatus.FAILED)

_SETTLED = (EndpointStatus.IN_SERVICE, EndpointStatus.FAILED)


def reconciling(store: Store, context: OperationContext) -> Callable[[], int]:
    """What settles endpoints, by the gateways whose leases are renewed."""
    return partial(reconcile, store, context, LeaseWatch(context.clock, LEASE_S).is_alive)


def reconcile(store: Store, context: OperationContext, is_alive: Callable[[str, int], bool]) -> int:
    """Settle every endpoint by the reports of the gateways that are alive; returns how many moved.

    `is_alive` is told a gateway's name and its last beat. The reports of those that are gone are forgotten.
    """
    gateways = _living_gateways(store, is_alive)
    with store.view() as view:
        revision, unsettled = view.revision(), _unsettled(view)
    if not any(_moves(resource, gateways, revision + 1) for resource in unsettled):
        return 0  # the usual case takes no write lock
    moved: list[Resource] = []
    with store.change() as change:
        resources = Resources(change, context)
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
