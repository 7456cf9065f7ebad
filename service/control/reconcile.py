"""Makes statuses follow what the gateways report. The keeper's work."""

from collections.abc import Callable, Iterable

from service.arn import Arns
from service.clock import Clock
from service.control.endpoints import endpoint_of, save_endpoint
from service.control.resources import Resources
from service.domain.endpoint import Endpoint, WarmReport
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.log import get_logger
from service.store.store import Store


def reconcile(store: Store, arns: Arns, clock: Clock, is_alive: Callable[[int], bool]) -> int:
    """Settle every endpoint by the reports of the gateways that are alive; returns how many moved.

    The reports of gateways that are gone are forgotten.
    """
    reports = _living_reports(store, is_alive)
    if not any(_settle(resource, reports) for resource in store.of_kind(Kind.ENDPOINT)):
        return 0  # the usual case takes no write lock
    with store.change() as change:
        resources = Resources(change, arns, clock)
        settled = [
            save_endpoint(resources, resource, endpoint)
            for resource in resources.all(Kind.ENDPOINT)
            if (endpoint := _settle(resource, reports)) is not None
        ]
    log = get_logger("sagebird.keeper")
    for resource in settled:
        report = log.warning if resource.failure_reason else log.info
        report(
            "endpoint settled", endpoint=resource.name, status=resource.status, reason=resource.failure_reason
        )
    return len(settled)


def _living_reports(store: Store, is_alive: Callable[[int], bool]) -> list[tuple[WarmReport, ...]]:
    reports = []
    for gateway in store.gateways():
        if is_alive(gateway.pid):
            reports.append(gateway.reports)
        else:
            store.forget_gateway(gateway.pid)
    return reports


def _settle(resource: Resource, reports: Iterable[Iterable[WarmReport]]) -> Endpoint | None:
    """The endpoint as the reports move it, None if they do not."""
    endpoint = endpoint_of(resource)
    settled = endpoint.settle(reports)
    return None if settled == endpoint else settled
