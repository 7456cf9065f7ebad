"""An endpoint as plain values that the store keeps, and back; what its record has places for is not there."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.domain.endpoint import Capacity, Endpoint, EndpointStatus, Fleet, ModelSource, Variant


def endpoint_to_state(endpoint: Endpoint) -> dict[str, Any]:
    """What the store keeps of an endpoint beside its name, status and failure reason, as plain values."""
    return {
        "active": _fleet_to_state(endpoint.active),
        "pending": _fleet_to_state(endpoint.pending),
        "generation": endpoint.generation,
        "awaited": endpoint.awaited,
        "before": [[one.variant, one.weight, one.instances, one.serverless] for one in endpoint.before],
        "heals": endpoint.heals,
    }


def endpoint_from_state(name: str, status: str, failure_reason: str, state: Mapping[str, Any]) -> Endpoint:
    """The reverse of `endpoint_to_state`."""
    return Endpoint(
        name,
        EndpointStatus(status),
        _fleet_from_state(state["active"]),
        _fleet_from_state(state["pending"]),
        failure_reason,
        state["generation"],
        state["awaited"],
        tuple(Capacity(*one) for one in state["before"]),
        state["heals"],
    )


def _fleet_to_state(fleet: Fleet | None) -> dict[str, Any] | None:
    if fleet is None:
        return None
    return {
        "config_name": fleet.config_name,
        "generation": fleet.generation,
        "begun_at": None if fleet.begun_at is None else fleet.begun_at.timestamp(),
        "shown": dict(fleet.shown),
        "variants": [_variant_to_state(variant) for variant in fleet.variants],
    }


def _fleet_from_state(state: Mapping[str, Any] | None) -> Fleet | None:
    if state is None:
        return None
    begun_at = state["begun_at"]
    return Fleet(
        state["config_name"],
        state["generation"],
        tuple(_variant_from_state(variant) for variant in state["variants"]),
        None if begun_at is None else datetime.fromtimestamp(begun_at, UTC),
        state["shown"],
    )


def _variant_to_state(variant: Variant) -> dict[str, Any]:
    return {
        "name": variant.name,
        "weight": variant.weight,
        "location": variant.source.location,
        "multi": variant.source.multi,
        "environment": dict(variant.source.environment),
        "version": variant.source.version,
        "lazy": variant.lazy,
        "pin": variant.pin,
        "instances": variant.instances,
        "most_calls": variant.most_calls,
        "obstacle": variant.obstacle,
        "image": variant.image,
        "shown": dict(variant.shown),
    }


def _variant_from_state(state: Mapping[str, Any]) -> Variant:
    environment = tuple(sorted(state["environment"].items()))
    return Variant(
        state["name"],
        state["weight"],
        ModelSource(state["location"], state["multi"], environment, state["version"]),
        state["lazy"],
        state["pin"],
        state["instances"],
        state["most_calls"],
        state["obstacle"],
        state["image"],
        state["shown"],
    )
