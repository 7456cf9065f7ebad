"""Makes statuses follow what the gateways report. The keeper's work."""

from collections.abc import Callable

from service.arn import Arns
from service.clock import Clock
from service.control.endpoints import endpoint_of, save_endpoint
from service.control.resources import Resources
from service.domain.kinds import Kind
from service.log import get_logger
from service.store.store import Store


def reconcile(store: Store, arns: Arns, clock: Clock, is_alive: Callable[[int], bool]) -> int:
    """Settle every endpoint by the reports of the gateways that are alive; returns how many moved.

    The reports of gateways that are gone are forgotten.
    """
    gateways = store.gateways()
    for gateway in gateways:
        if not is_alive(gateway.pid):
            store.forget_gateway(gateway.pid)
    reports = [gateway.reports for gateway in gateways if is_alive(gateway.pid)]
    unsettled = [
        resource.name
        for resource in store.of_kind(Kind.ENDPOINT)
        if (endpoint := endpoint_of(resource)).settle(reports) != endpoint
    ]
    if not unsettled:
        return 0
    log = get_logger("sagebird.keeper")
    with store.change() as change:
        resources = Resources(change, arns, clock)
        for name in unsettled:
            resource = change.get(Kind.ENDPOINT, name)
            if resource is None:
                continue
            endpoint = endpoint_of(resource).settle(reports)
            save_endpoint(resources, resource, endpoint)
            report = log.warning if endpoint.failure_reason else log.info
            report(
                "endpoint settled", endpoint=name, status=str(endpoint.status), reason=endpoint.failure_reason
            )
    return len(unsettled)
