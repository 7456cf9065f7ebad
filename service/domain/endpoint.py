"""What an endpoint is and how its status moves. Pure values and functions: no I/O, no clock, no async.

An endpoint serves its `active` fleet. A change prepares a `pending` fleet beside it; `settle` swaps the two once
every gateway reports the pending one warm, so that no request ever waits for a deployment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class EndpointStatus(StrEnum):
    """Statuses of an endpoint. Source: model shape EndpointStatus, contract C.6."""

    CREATING = "Creating"
    UPDATING = "Updating"
    IN_SERVICE = "InService"
    FAILED = "Failed"
    DELETING = "Deleting"


class WarmState(StrEnum):
    """What one gateway says of one variant that it was asked to make ready."""

    LOADING = "loading"
    WARM = "warm"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model's bytes are and what its code is told.

    `location` is a path or URI of a folder or archive, or of a folder of models when `multi`.
    """

    location: str
    multi: bool = False
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One production variant: a share of the traffic (`weight` over the sum) answered by one model source.

    `lazy` models load on first use and do not hold up readiness; `pin` keeps them loaded.
    """

    name: str
    weight: float
    source: ModelSource
    lazy: bool = False
    pin: bool = False

    @property
    def eager(self) -> bool:
        """Whether the variant must be warm before it takes traffic."""
        return not self.lazy and not self.source.multi


@dataclass(frozen=True, slots=True)
class Fleet:
    """The variants of one endpoint configuration; `generation` counts the fleets of one endpoint."""

    config_name: str
    generation: int
    variants: tuple[Variant, ...]

    def with_weights(self, weights: Mapping[str, float]) -> "Fleet":
        """The same fleet, the same loaded models, other shares."""
        return replace(
            self, variants=tuple(replace(v, weight=weights.get(v.name, v.weight)) for v in self.variants)
        )


@dataclass(frozen=True, slots=True)
class WarmReport:
    """One gateway's word on one variant of one generation."""

    endpoint: str
    generation: int
    variant: str
    state: WarmState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint's fleets and status."""

    name: str
    status: EndpointStatus
    active: Fleet | None = None
    pending: Fleet | None = None
    failure_reason: str = ""

    @property
    def busy(self) -> bool:
        """Whether a change is under way, so that another has to wait."""
        return self.pending is not None

    def begin(self, config_name: str, variants: tuple[Variant, ...]) -> "Endpoint":
        """Prepare a new fleet beside the one that serves; a fleet that was still pending is dropped.

        An endpoint that never served, or failed, is Creating again: there is nothing to fall back on.
        """
        generation = max((fleet.generation for fleet in (self.active, self.pending) if fleet), default=0) + 1
        serves = self.active is not None and self.status not in (
            EndpointStatus.FAILED,
            EndpointStatus.CREATING,
        )
        status = EndpointStatus.UPDATING if serves else EndpointStatus.CREATING
        return replace(
            self, status=status, pending=Fleet(config_name, generation, variants), failure_reason=""
        )

    def settle(self, gateways: Iterable[Iterable[WarmReport]]) -> "Endpoint":
        """Move the status by what the gateways report; unchanged while any of them is still loading.

        The first fleet that fails still becomes active, so that every call says what is wrong with the model and a
        mended one heals; a failed update leaves the old fleet serving.
        """
        fleet = self.pending or self.active
        if fleet is None:
            return self
        verdict, reason = judge(self.name, fleet, gateways)
        if verdict is WarmState.LOADING:
            return self
        if verdict is WarmState.WARM:
            kept = (
                self.failure_reason
                if self.pending is None and self.status is EndpointStatus.IN_SERVICE
                else ""
            )
            return Endpoint(self.name, EndpointStatus.IN_SERVICE, fleet, None, kept)
        if self.status is EndpointStatus.UPDATING:
            return replace(self, status=EndpointStatus.IN_SERVICE, pending=None, failure_reason=reason)
        if self.pending is None and self.status is EndpointStatus.IN_SERVICE:
            return self  # a model that broke later answers for itself; the endpoint stays in service
        return Endpoint(self.name, EndpointStatus.FAILED, fleet, None, reason)


def judge(endpoint: str, fleet: Fleet, gateways: Iterable[Iterable[WarmReport]]) -> tuple[WarmState, str]:
    """Whether all gateways have every eager variant of `fleet` warm, or one has failed it and why.

    No gateway at all counts as still loading.
    """
    eager = {variant.name for variant in fleet.variants if variant.eager}
    answers = [
        {r.variant: r for r in reports if r.endpoint == endpoint and r.generation == fleet.generation}
        for reports in gateways
    ]
    failed = [report for answer in answers for report in answer.values() if report.state is WarmState.FAILED]
    if failed:
        return WarmState.FAILED, f"Variant {failed[0].variant}: {failed[0].reason}"
    if not answers:
        return WarmState.LOADING, ""
    warm = all(
        name in answer and answer[name].state is WarmState.WARM for answer in answers for name in eager
    )
    return (WarmState.WARM if warm else WarmState.LOADING), ""


def endpoint_to_state(endpoint: Endpoint) -> dict[str, Any]:
    """The fleets as plain values for the store."""
    return {"active": _fleet_to_state(endpoint.active), "pending": _fleet_to_state(endpoint.pending)}


def endpoint_from_state(name: str, status: str, failure_reason: str, state: Mapping[str, Any]) -> Endpoint:
    """The reverse of `endpoint_to_state`."""
    return Endpoint(
        name,
        EndpointStatus(status),
        _fleet_from_state(state.get("active")),
        _fleet_from_state(state.get("pending")),
        failure_reason,
    )


def _fleet_to_state(fleet: Fleet | None) -> dict[str, Any] | None:
    if fleet is None:
        return None
    return {
        "config_name": fleet.config_name,
        "generation": fleet.generation,
        "variants": [
            {
                "name": variant.name,
                "weight": variant.weight,
                "location": variant.source.location,
                "multi": variant.source.multi,
                "environment": dict(variant.source.environment),
                "lazy": variant.lazy,
                "pin": variant.pin,
            }
            for variant in fleet.variants
        ],
    }


def _fleet_from_state(state: Mapping[str, Any] | None) -> Fleet | None:
    if state is None:
        return None
    variants = (
        Variant(
            variant["name"],
            variant["weight"],
            ModelSource(variant["location"], variant["multi"], tuple(sorted(variant["environment"].items()))),
            variant["lazy"],
            variant["pin"],
        )
        for variant in state["variants"]
    )
    return Fleet(state["config_name"], state["generation"], tuple(variants))
