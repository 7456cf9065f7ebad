"""What an endpoint is and how its status moves. Pure values and functions: no I/O, no clock, no async.

An endpoint serves its `active` fleet. A change prepares a `pending` fleet beside it; `settle` swaps the two
once every gateway reports the pending one warm, so that no request ever waits for a deployment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from service.domain import sentences


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
    """The variants of one endpoint configuration; no two fleets of an endpoint have the same `generation`."""

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
    """An endpoint's fleets and status.

    `generation` is that of the fleet prepared last, also if that was given up: gateways may still talk of it.
    """

    name: str
    status: EndpointStatus
    active: Fleet | None = None
    pending: Fleet | None = None
    failure_reason: str = ""
    generation: int = 0

    @property
    def busy(self) -> bool:
        """Whether a change is under way, so that another has to wait."""
        return self.pending is not None

    def begin(self, config_name: str, variants: tuple[Variant, ...]) -> "Endpoint":
        """Prepare a new fleet beside the one that serves; a fleet that was still pending is dropped.

        An endpoint that never served, or failed, is Creating again: there is nothing to fall back on.
        """
        serves = self.status in (EndpointStatus.IN_SERVICE, EndpointStatus.UPDATING)
        generation = self.generation + 1
        return replace(
            self,
            status=EndpointStatus.UPDATING if serves else EndpointStatus.CREATING,
            pending=Fleet(config_name, generation, variants),
            failure_reason="",
            generation=generation,
        )

    def settle(self, gateways: Iterable[Iterable[WarmReport]]) -> "Endpoint":
        """Move the status by what the gateways report; unchanged while any of them is still loading.

        The first fleet that fails still becomes active, so that every call says what is wrong with the model
        and a mended one heals; a failed update leaves the old fleet serving. A model that breaks in service
        answers for itself: the endpoint stays as it is.
        """
        fleet = self.active if self.status is EndpointStatus.FAILED else self.pending
        if fleet is None:
            return self
        verdict, reason = judge(self.name, fleet, gateways)
        if verdict is WarmState.LOADING:
            return self
        if verdict is WarmState.WARM:
            return replace(
                self, status=EndpointStatus.IN_SERVICE, active=fleet, pending=None, failure_reason=""
            )
        if self.status is EndpointStatus.UPDATING:
            return replace(self, status=EndpointStatus.IN_SERVICE, pending=None, failure_reason=reason)
        return replace(self, status=EndpointStatus.FAILED, active=fleet, pending=None, failure_reason=reason)


def judge(endpoint: str, fleet: Fleet, gateways: Iterable[Iterable[WarmReport]]) -> tuple[WarmState, str]:
    """Whether all gateways have every eager variant of `fleet` warm, or one has failed it and why.

    No gateway at all counts as still loading.
    """
    eager = {variant.name for variant in fleet.variants if variant.eager}
    answers = [
        {
            report.variant: report
            for report in reports
            if (report.endpoint, report.generation) == (endpoint, fleet.generation)
            and report.variant in eager
        }
        for reports in gateways
    ]
    for answer in answers:
        for report in answer.values():
            if report.state is WarmState.FAILED:
                return WarmState.FAILED, sentences.variant_failed(report.variant, report.reason)
    warm = all(
        name in answer and answer[name].state is WarmState.WARM for answer in answers for name in eager
    )
    return (WarmState.WARM if answers and warm else WarmState.LOADING), ""


def endpoint_to_state(endpoint: Endpoint) -> dict[str, Any]:
    """What the store keeps of an endpoint beside its name, status and failure reason, as plain values."""
    return {
        "active": _fleet_to_state(endpoint.active),
        "pending": _fleet_to_state(endpoint.pending),
        "generation": endpoint.generation,
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
