"""The rules of endpoints that generic resources lack: fleets, weights, what may happen when."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.control.resources import Resources
from service.domain import sentences
from service.domain.endpoint import (
    Endpoint,
    EndpointStatus,
    ModelSource,
    Variant,
    endpoint_from_state,
    endpoint_to_state,
)
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault


def create_endpoint(resources: Resources, document: Mapping[str, Any], *, declared: bool = False) -> Resource:
    """CreateEndpoint: the endpoint is Creating until every gateway has its models warm.

    Generations count on from the store's revision: what gateways still say of a deleted endpoint of the same
    name must not pass for news of this one.

    Raises:
        ValidationFault: the name is taken, or the configuration or one of its models is not there.
    """
    name, config_name = document["EndpointName"], document["EndpointConfigName"]
    variants = variants_of(resources, config_name)
    resource = resources.create(Kind.ENDPOINT, document, declared=declared)
    new = Endpoint(name, EndpointStatus.CREATING, generation=resources.revision())
    return save_endpoint(resources, resource, new.begin(config_name, variants))


def update_endpoint(resources: Resources, name: str, config_name: str, *, force: bool = False) -> Resource:
    """UpdateEndpoint: prepare the fleet of another configuration while the old one serves.

    `force` lets a newer declaration replace a change that is still under way.

    Raises:
        ValidationFault: no such endpoint or configuration, or a change is under way.
    """
    resource = resources.get(Kind.ENDPOINT, name)
    endpoint = endpoint_of(resource)
    if endpoint.busy and not force:
        raise ValidationFault(sentences.endpoint_busy(resources.arn(Kind.ENDPOINT, name)))
    document = {**resource.document, "EndpointConfigName": config_name}
    changed = endpoint.begin(config_name, variants_of(resources, config_name))
    return save_endpoint(resources, replace(resource, document=document), changed)


def delete_endpoint(resources: Resources, name: str) -> None:
    """DeleteEndpoint. Raises ValidationFault when there is none."""
    resources.delete(Kind.ENDPOINT, name)


def endpoint_of(resource: Resource) -> Endpoint:
    """The endpoint that a resource stands for."""
    return endpoint_from_state(resource.name, resource.status, resource.failure_reason, resource.state)


def save_endpoint(resources: Resources, resource: Resource, endpoint: Endpoint) -> Resource:
    """Write an endpoint back into its resource."""
    changed = replace(
        resource,
        status=endpoint.status.value,
        failure_reason=endpoint.failure_reason,
        state=endpoint_to_state(endpoint),
        modified_at=resources.clock.now(),
    )
    resources.put(changed)
    return changed


def variants_of(resources: Resources, config_name: str) -> tuple[Variant, ...]:
    """The variants that an endpoint configuration describes. Raises ValidationFault: a part is missing."""
    config = resources.get(Kind.ENDPOINT_CONFIG, config_name)
    return tuple(
        _variant_of(resources, document, config.state) for document in config.document["ProductionVariants"]
    )


def _variant_of(resources: Resources, document: Mapping[str, Any], extras: Mapping[str, Any]) -> Variant:
    """A variant from AWS's document; `lazy` and `pin`, unknown to AWS, from the configuration's state."""
    model = resources.get(Kind.MODEL, document["ModelName"])
    container = model.document["PrimaryContainer"]
    source = ModelSource(
        container["ModelDataUrl"],
        container.get("Mode") == "MultiModel",
        tuple(sorted(container.get("Environment", {}).items())),
    )
    own = extras.get(document["VariantName"], {})
    return Variant(
        document["VariantName"],
        document.get("InitialVariantWeight", 1.0),
        source,
        lazy=own.get("lazy", False),
        pin=own.get("pin", False),
    )
