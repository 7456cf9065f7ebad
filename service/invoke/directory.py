"""Where each request goes: an immutable snapshot of the endpoints, replaced whole when the store moves on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from service.domain.endpoint import PRIMARY, UNSETTLED, Endpoint, Fleet, ModelSource, Variant
from service.domain.endpoint_state import endpoint_from_state
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.shadow import SHADOW_SHARES, ShadowShare, read_shadow_shares
from service.domain.traffic import Traffic
from service.domain.user_shares import UserShares
from service.hosting.host import Replica
from service.invoke.variant_log import NO_LOG, VariantLog
from service.observe.counter import InvocationCounter
from service.observe.counts import Registry
from service.store.store import DEFAULT_ENDPOINT, REGISTERED_MODELS, Delta

_Value = TypeVar("_Value")


NOBODY = UserShares("", ())
"""The users of what no user is for."""

TargetKey = tuple[int, str]
"""The generation of a fleet and the name of one of its variants: two fleets may have variants of one name."""


@dataclass(frozen=True, slots=True)
class Target:
    """One variant of a fleet, ready to be called.

    Of an endpoint with variants whose callers name a container each target has `containers`, {} if its
    variant has one way in; those of a variant are targets as well, and itself answers nothing. `container` is
    what AWS calls the one that answers.
    """

    variant: Variant
    replica: Replica
    counter: InvocationCounter
    containers: Mapping[str, "Target"] | None = None
    container: str = PRIMARY
    log: VariantLog = NO_LOG

    def scale(self) -> None:
        """Be as many instances as the variant has."""
        for target in (self.containers or {}).values():
            target.scale()
        self.replica.scale(self.variant.instances, self.variant.most_calls)

    def of(self, variant: Variant, counter: InvocationCounter) -> "Target":
        """The same for a variant that differs in nothing that is loaded, maybe of another fleet."""
        if variant == self.variant and counter is self.counter:
            return self
        containers = self.containers
        if containers is not None:
            containers = {name: target.of(variant, counter) for name, target in containers.items()}
        return replace(self, variant=variant, counter=counter, containers=containers)


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint's targets, how they share traffic; callers of a `multi` one name a target model.

    `named` has for each variant's name the target that callers mean by it; `users` share calls out that say
    for whom they are. An `asynchronous` one answers
    nobody at once; of a `direct` one some variants have containers that callers name.
    """

    endpoint: str
    targets: Mapping[TargetKey, Target]
    named: Mapping[str, Target]
    traffic: Traffic[TargetKey]
    multi: bool
    asynchronous: bool = False
    direct: bool = False
    users: UserShares = NOBODY


@dataclass(frozen=True, slots=True)
class Directory:
    """All endpoints at one revision.

    `routes` has those that take requests, and registered models by their address; `default` names the one
    that is called without a name, `registered` maps the names of the multi-model container contract to where
    their models are, `unsettled` has those endpoints, few of many, that wait for gateways or failed.
    `shadow_shares` are those of calls that are asked of a second variant, by endpoint.
    """

    revision: int
    endpoints: Mapping[str, Endpoint]
    routes: Mapping[str, Route]
    default: str | None = None
    registered: Mapping[str, str] = field(default_factory=dict)
    unsettled: Mapping[str, Endpoint] = field(default_factory=dict)
    shadow_shares: Mapping[str, ShadowShare] = field(default_factory=dict)


EMPTY = Directory(0, {}, {})

REGISTERED = "/models/"
"""What stands before the name of a registered model in its address."""

ALL_TRAFFIC = "AllTraffic"
"""The one variant of a registered model. Source: the name that AWS's SDK gives to such."""


def registered_address(model: str) -> str:
    """What a registered model is asked by where others name an endpoint, whose names have no slash."""
    return REGISTERED + model


def fleets_of(endpoint: Endpoint | None) -> tuple[Fleet, ...]:
    """The fleets of an endpoint, if there is one, that serve or are about to."""
    return () if endpoint is None else endpoint.fleets


def next_directory(
    before: Directory, delta: Delta, replica: Callable[[ModelSource], Replica], registry: Registry
) -> Directory:
    """The directory after a delta of the store; what did not change is taken over as it is."""
    facts = delta.facts if delta.complete else {**_facts(before), **delta.facts}
    endpoints = {} if delta.complete else dict(before.endpoints)
    routes = {} if delta.complete else dict(before.routes)
    unsettled = {} if delta.complete else dict(before.unsettled)
    for kind, name in delta.removed:
        if kind is Kind.ENDPOINT:
            for table in (endpoints, routes, unsettled):
                table.pop(name, None)
    for resource in delta.changed:
        if resource.kind is Kind.ENDPOINT:
            name = resource.name
            endpoint = endpoints[name] = _endpoint(before.endpoints.get(name), resource)
            _place(unsettled, name, endpoint if _is_unsettled(endpoint) else None)
            _place(routes, name, _route(before, endpoint, replica, registry))
    registered = facts.get(REGISTERED_MODELS, {})
    if registered is not before.registered or delta.complete:
        _place_registered(before, routes, registered, replica, registry)
    shares = read_shadow_shares(facts.get(SHADOW_SHARES))
    default = facts.get(DEFAULT_ENDPOINT)
    return Directory(delta.revision, endpoints, routes, default, registered, unsettled, shares)


def _facts(directory: Directory) -> dict[str, Any]:
    return {
        DEFAULT_ENDPOINT: directory.default,
        REGISTERED_MODELS: directory.registered,
        SHADOW_SHARES: directory.shadow_shares,
    }


def _place(table: dict[str, _Value], name: str, value: _Value | None) -> None:
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value


def _place_registered(
    before: Directory,
    routes: dict[str, Route],
    registered: Mapping[str, str],
    replica: Callable[[ModelSource], Replica],
    registry: Registry,
) -> None:
    """Have routes lead to the registered models; one of the same name in the same place keeps its own."""
    for name in before.registered.keys() - registered.keys():
        routes.pop(registered_address(name), None)
    for name, location in registered.items():
        address = registered_address(name)
        kept = before.routes.get(address) if before.registered.get(name) == location else None
        routes[address] = kept or _registered_route(address, ModelSource(location), replica, registry)


def _registered_route(
    address: str, source: ModelSource, replica: Callable[[ModelSource], Replica], registry: Registry
) -> Route:
    variant = Variant(ALL_TRAFFIC, 1.0, source, lazy=True)
    log = VariantLog(address, variant)
    target = Target(variant, replica(source), registry.invocation(address, variant.name), log=log)
    key = (0, variant.name)
    users = UserShares(address, [(variant.name, 1.0)])
    named, traffic = {variant.name: target}, Traffic([(key, 1.0)])
    return Route(address, {key: target}, named, traffic, multi=False, users=users)


def _endpoint(known: Endpoint | None, resource: Resource) -> Endpoint:
    endpoint = endpoint_from_state(resource.name, resource.status, resource.failure_reason, resource.state)
    return known if known is not None and endpoint == known else endpoint


def _is_unsettled(endpoint: Endpoint) -> bool:
    return endpoint.pending is not None or endpoint.status in UNSETTLED


def _route(
    before: Directory, endpoint: Endpoint, replica: Callable[[ModelSource], Replica], registry: Registry
) -> Route | None:
    """The endpoint's route, None if it takes no requests."""
    name, fleet = endpoint.name, endpoint.serving
    if fleet is None:
        return None
    previous = before.routes.get(name)
    if previous is not None and before.endpoints[name].serving == fleet:
        return previous
    direct = any(variant.source.direct for variant in fleet.variants)
    named: dict[str, Target] = {}
    for variant in fleet.variants:
        counter = registry.invocation(name, variant.name, fleet.generation)
        named[variant.name] = _target(previous, variant, counter) or _new_target(
            variant, replica, counter, VariantLog(name, variant)
        )
    if direct:
        named = {key: replace(target, containers=target.containers or {}) for key, target in named.items()}
    for target in named.values():
        target.scale()
    traffic = Traffic([((fleet.generation, variant.name), variant.weight) for variant in fleet.variants])
    multi = any(variant.source.takes_target for variant in fleet.variants)
    targets = {(fleet.generation, variant): target for variant, target in named.items()}
    users = UserShares(name, fleet.weights, fleet.users)
    return Route(name, targets, named, traffic, multi, fleet.asynchronous, direct, users)


def _new_target(
    variant: Variant,
    replica: Callable[[ModelSource], Replica],
    counter: InvocationCounter,
    log: VariantLog,
) -> Target:
    source = variant.source
    if not source.direct:
        return Target(variant, replica(source), counter, container=source.answering, log=log)
    containers = {
        stage.name: Target(
            variant, replica(stage.source), counter, container=stage.name, log=log.of(stage.name)
        )
        for stage in source.stages
    }
    return replace(containers[source.answering], containers=containers)


def _target(previous: Route | None, variant: Variant, counter: InvocationCounter) -> Target | None:
    """The target that serves the variant already, None where its model is another: a replica keeps state."""
    known = None if previous is None else previous.named.get(variant.name)
    if known is None or known.variant.source != variant.source:
        return None
    return known.of(variant, counter)
