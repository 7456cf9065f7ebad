"""Where each request goes: an immutable snapshot of the endpoints, replaced whole when the store moves on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.domain.endpoint import Endpoint, Fleet, ModelSource, Variant
from service.domain.endpoint_state import endpoint_from_state
from service.domain.kinds import Kind
from service.domain.traffic import Traffic
from service.hosting.replica import Replica
from service.observe.counts import InvocationCounter, Registry
from service.store.store import DEFAULT_ENDPOINT, REGISTERED_MODELS, Snapshot


@dataclass(frozen=True, slots=True)
class Target:
    """One variant, ready to be called."""

    variant: Variant
    replica: Replica
    counter: InvocationCounter


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint's variants, how they share traffic; callers of a `multi` one name a target model."""

    endpoint: str
    targets: Mapping[str, Target]
    traffic: Traffic
    multi: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """All endpoints at one revision.

    `routes` has those that take requests, `default` names the one that is called without a name, `registered`
    maps the names of the multi-model container contract to where their models are.
    """

    revision: int
    endpoints: Mapping[str, Endpoint]
    routes: Mapping[str, Route]
    default: str | None = None
    registered: Mapping[str, str] = field(default_factory=dict)

    def fleets(self) -> list[tuple[Endpoint, Fleet]]:
        """Every fleet that serves or is about to."""
        return [
            (endpoint, fleet)
            for endpoint in self.endpoints.values()
            for fleet in (endpoint.active, endpoint.pending)
            if fleet is not None
        ]


EMPTY = Directory(0, {}, {})


def build_directory(
    snapshot: Snapshot, replica: Callable[[ModelSource], Replica], registry: Registry
) -> Directory:
    """Compile a snapshot of the store into routes."""
    endpoints = {
        resource.name: endpoint_from_state(
            resource.name, resource.status, resource.failure_reason, resource.state
        )
        for resource in snapshot.of_kind(Kind.ENDPOINT)
    }
    routes = {
        name: _route(name, endpoint.active, replica, registry)
        for name, endpoint in endpoints.items()
        if endpoint.active is not None
    }
    default = snapshot.facts.get(DEFAULT_ENDPOINT)
    return Directory(snapshot.revision, endpoints, routes, default, snapshot.facts.get(REGISTERED_MODELS, {}))


def _route(name: str, fleet: Fleet, replica: Callable[[ModelSource], Replica], registry: Registry) -> Route:
    targets = {
        variant.name: Target(variant, replica(variant.source), registry.invocation(name, variant.name))
        for variant in fleet.variants
    }
    traffic = Traffic([(variant.name, variant.weight) for variant in fleet.variants])
    return Route(name, targets, traffic, any(variant.source.multi for variant in fleet.variants))
