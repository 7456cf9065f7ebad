"""An endpoint as plain values that the store keeps, and back; what its record has places for is not there.

Format 1 had features in AWS spelling only, as DescribeEndpoint shows them: `shown`. Format 2 has them typed.
It still writes `shown` and `most_calls`, which the release before reads, and reads neither.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from service.domain.endpoint import Capacity, Endpoint, EndpointStatus, Fleet, ModelSource, Stage, Variant
from service.domain.features import (
    ASYNC,
    SERVERLESS,
    LoadLimits,
    Serverless,
    asked_for,
    described,
    repeated_of_variant,
    serverless_of,
)
from service.domain.stored import StateCodec


class _StoredStage(Struct, frozen=True):
    name: str
    location: str = ""
    multi: bool = False
    environment: dict[str, str] = {}
    version: str = ""
    image: str = ""
    limits: LoadLimits = LoadLimits()


class _StoredVariant(Struct, frozen=True):
    name: str
    weight: float = 1.0
    location: str = ""
    multi: bool = False
    environment: dict[str, str] = {}
    version: str = ""
    lazy: bool = False
    pin: bool = False
    instances: int = 1
    most_calls: int | None = None
    obstacle: str = ""
    image: str = ""
    shown: dict[str, Any] = {}
    serverless: Serverless | None = None
    repeated: dict[str, Any] = {}
    stages: tuple[_StoredStage, ...] = ()
    direct: bool = False
    limits: LoadLimits = LoadLimits()


class _StoredFleet(Struct, frozen=True):
    config_name: str
    generation: int
    variants: tuple[_StoredVariant, ...] = ()
    begun_at: float | None = None
    shown: dict[str, Any] = {}
    asynchronous: bool = False
    repeated: dict[str, Any] = {}
    users: tuple[tuple[int, str], ...] = ()


class _StoredCapacity(Struct, frozen=True, array_like=True):
    variant: str
    weight: float
    instances: int
    serverless: dict[str, Any] | None = None  # in AWS spelling, in every format


class _StoredEndpoint(Struct, frozen=True):
    active: _StoredFleet | None = None
    pending: _StoredFleet | None = None
    generation: int = 0
    awaited: int | None = None
    before: tuple[_StoredCapacity, ...] = ()
    heals: bool = False


def _lift_features(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """From format 1 to 2: typed features, out of what DescribeEndpoint showed of them."""
    return {**state, **{name: _lift_fleet(state.get(name)) for name in ("active", "pending")}}


def _lift_fleet(fleet: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if fleet is None:
        return None
    shown = fleet.get("shown", {})
    variants = [_lift_variant(variant) for variant in fleet.get("variants", ())]
    return {**fleet, "variants": variants, "asynchronous": ASYNC in shown, "repeated": asked_for(shown)}


def _lift_variant(variant: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = variant.get("shown", {})
    return {**variant, "serverless": serverless_of(shown), "repeated": repeated_of_variant(shown)}


_CODEC: Final = StateCodec(_StoredEndpoint, (_lift_features,))


def endpoint_to_state(endpoint: Endpoint) -> dict[str, Any]:
    """What the store keeps of an endpoint beside its name, status and failure reason, as plain values."""
    return _CODEC.write(
        _StoredEndpoint(
            _store_fleet(endpoint.active),
            _store_fleet(endpoint.pending),
            endpoint.generation,
            endpoint.awaited,
            tuple(_store_capacity(one) for one in endpoint.before),
            endpoint.heals,
        )
    )


def endpoint_from_state(name: str, status: str, failure_reason: str, state: Mapping[str, Any]) -> Endpoint:
    """The reverse of `endpoint_to_state`. Raises StateDamaged."""
    stored = _CODEC.read(state)
    return Endpoint(
        name,
        EndpointStatus(status),
        _restore_fleet(stored.active),
        _restore_fleet(stored.pending),
        failure_reason,
        stored.generation,
        stored.awaited,
        tuple(_restore_capacity(one) for one in stored.before),
        stored.heals,
    )


def _store_fleet(fleet: Fleet | None) -> _StoredFleet | None:
    if fleet is None:
        return None
    return _StoredFleet(
        fleet.config_name,
        fleet.generation,
        tuple(_store_variant(variant) for variant in fleet.variants),
        None if fleet.begun_at is None else fleet.begun_at.timestamp(),
        described(fleet.repeated),
        fleet.asynchronous,
        dict(fleet.repeated),
        fleet.users,
    )


def _restore_fleet(stored: _StoredFleet | None) -> Fleet | None:
    if stored is None:
        return None
    return Fleet(
        stored.config_name,
        stored.generation,
        tuple(_restore_variant(variant) for variant in stored.variants),
        None if stored.begun_at is None else datetime.fromtimestamp(stored.begun_at, UTC),
        stored.asynchronous,
        stored.repeated,
        stored.users,
    )


def _store_variant(variant: Variant) -> _StoredVariant:
    return _StoredVariant(
        name=variant.name,
        weight=variant.weight,
        location=variant.source.location,
        multi=variant.source.multi,
        environment=dict(variant.source.environment),
        version=variant.source.version,
        lazy=variant.lazy,
        pin=variant.pin,
        instances=variant.instances,
        most_calls=variant.most_calls,
        obstacle=variant.obstacle,
        image=variant.image,
        shown=_shown(variant),
        serverless=variant.serverless,
        repeated=dict(variant.repeated),
        stages=tuple(_store_stage(stage) for stage in variant.source.stages),
        direct=variant.source.direct,
        limits=variant.source.limits,
    )


def _store_stage(stage: Stage) -> _StoredStage:
    source = stage.source
    return _StoredStage(
        stage.name,
        source.location,
        source.multi,
        dict(source.environment),
        source.version,
        source.image,
        source.limits,
    )


def _restore_stage(stored: _StoredStage) -> Stage:
    environment = tuple(sorted(stored.environment.items()))
    source = ModelSource(
        stored.location, stored.multi, environment, stored.version, stored.image, limits=stored.limits
    )
    return Stage(stored.name, source)


def _shown(variant: Variant) -> dict[str, Any]:
    if variant.serverless is None:
        return dict(variant.repeated)
    return {SERVERLESS: variant.serverless.document(), **variant.repeated}


def _restore_variant(stored: _StoredVariant) -> Variant:
    environment = tuple(sorted(stored.environment.items()))
    return Variant(
        name=stored.name,
        weight=stored.weight,
        source=ModelSource(
            stored.location,
            stored.multi,
            environment,
            stored.version,
            stored.image,
            stages=tuple(_restore_stage(stage) for stage in stored.stages),
            direct=stored.direct,
            limits=stored.limits,
        ),
        lazy=stored.lazy,
        pin=stored.pin,
        instances=stored.instances,
        serverless=stored.serverless,
        obstacle=stored.obstacle,
        image=stored.image,
        repeated=stored.repeated,
    )


def _store_capacity(capacity: Capacity) -> _StoredCapacity:
    serverless = None if capacity.serverless is None else capacity.serverless.document()
    return _StoredCapacity(capacity.variant, capacity.weight, capacity.instances, serverless)


def _restore_capacity(stored: _StoredCapacity) -> Capacity:
    serverless = None if stored.serverless is None else Serverless.of(stored.serverless)
    return Capacity(stored.variant, stored.weight, stored.instances, serverless)
