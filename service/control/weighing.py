"""Weights that are changed for a plan, such as a ramp: by the function of AWS's own operation."""

from collections.abc import Mapping
from typing import Protocol

from service.control.endpoints import update_weights_and_capacities
from service.control.resources import OperationContext, Resources
from service.domain.endpoint import Endpoint


class TrafficPlan(Protocol):
    """What is to become of the traffic of one endpoint, as long as nobody else has a hand in it."""

    @property
    def generation(self) -> int:
        """Of the fleet that it is about."""
        ...

    @property
    def weights(self) -> Mapping[str, float]:
        """Those of now."""
        ...


def weigh(resources: Resources, name: str, weights: Mapping[str, float], reason: str) -> None:
    """Give an endpoint's variants these weights; its history keeps the reason.

    Raises:
        ValidationFault: as UpdateEndpointWeightsAndCapacities.
    """
    desired = [{"VariantName": variant, "DesiredWeight": weight} for variant, weight in weights.items()]
    fields = {"EndpointName": name, "DesiredWeightsAndCapacities": desired}
    update_weights_and_capacities(resources, fields, reason)


def reasoned(reason: str, said: str) -> str:
    """What the history keeps of a change: why people wanted it, and why it is this one."""
    return f"{reason}: {said}" if reason else said


def on_behalf(context: OperationContext, plan: str, by: str) -> OperationContext:
    """The context in which a plan of somebody, a "ramp", say, goes on by itself: the history names both."""
    return context.of(context.caller._replace(principal=f"{plan} of {by}"))


def hindrance(endpoint: Endpoint | None, plan: TrafficPlan) -> str:
    """Why a plan cannot go on, "" if it can."""
    fleet = None if endpoint is None else endpoint.serving
    if fleet is None:
        return "The endpoint takes no calls any more."
    if fleet.generation != plan.generation:
        return "The endpoint has other models now."
    if dict(fleet.weights) != dict(plan.weights):
        return "Somebody else changed the weights."
    return ""
