"""DescribeEndpoint: an endpoint's fleets as AWS shows them. Changes nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.control.endpoints import DEPLOYMENT, endpoint_of
from service.control.resources import ResourceReader
from service.domain.endpoint import Capacity, Endpoint, EndpointStatus, Fleet, Variant
from service.domain.features import described
from service.domain.image import resolved_image
from service.domain.kinds import Kind
from service.domain.resource import Resource

_VARIANT_STATUS = {
    EndpointStatus.CREATING: "Creating",
    EndpointStatus.UPDATING: "Updating",
    EndpointStatus.DELETING: "Deleting",
}


def describe_endpoint(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeEndpoint; members that are not set are absent. Source: contract C.5."""
    resource = resources.get(Kind.ENDPOINT, fields["EndpointName"])
    endpoint = endpoint_of(resource)
    fleet = endpoint.active or endpoint.pending
    found = {
        "EndpointName": resource.name,
        "EndpointArn": resources.arn(Kind.ENDPOINT, resource.name),
        "EndpointStatus": resource.status,
        "CreationTime": resource.created_at,
        "LastModifiedTime": resource.modified_at,
    }
    if fleet is not None:
        found["EndpointConfigName"] = fleet.config_name
        found["ProductionVariants"] = [
            _variant(variant, fleet, endpoint, resource) for variant in fleet.variants
        ]
        found |= described(fleet.repeated)
    if resource.failure_reason:
        found["FailureReason"] = resource.failure_reason
    if DEPLOYMENT in resource.document:
        found["LastDeploymentConfig"] = resource.document[DEPLOYMENT]
    if endpoint.active is not None and endpoint.pending is not None:
        found["PendingDeploymentSummary"] = _pending(endpoint.pending, resource)
    return found


def _variant(variant: Variant, fleet: Fleet, endpoint: Endpoint, resource: Resource) -> dict[str, Any]:
    shown = _shown(variant, fleet, resource) | _capacity(variant, _current_capacity(variant, endpoint))
    if endpoint.status in _VARIANT_STATUS:
        shown["VariantStatus"] = [
            {"Status": _VARIANT_STATUS[endpoint.status], "StartTime": resource.modified_at}
        ]
    return shown


def _pending(fleet: Fleet, resource: Resource) -> dict[str, Any]:
    return {
        "EndpointConfigName": fleet.config_name,
        "StartTime": _begun_at(fleet, resource),
        "ProductionVariants": [
            {
                **_shown(variant, fleet, resource),
                **_capacity(variant, _nothing(variant)),
                "VariantStatus": [{"Status": "Creating", "StartTime": _begun_at(fleet, resource)}],
            }
            for variant in fleet.variants
        ],
    }


def _capacity(variant: Variant, current: Capacity) -> dict[str, Any]:
    shown: dict[str, Any] = {"CurrentWeight": current.weight, "DesiredWeight": variant.weight}
    if variant.serverless is None:
        shown |= {"CurrentInstanceCount": current.instances, "DesiredInstanceCount": variant.instances}
    else:
        shown["DesiredServerlessConfig"] = variant.serverless.document()
        if current.serverless is not None:
            shown["CurrentServerlessConfig"] = current.serverless.document()
    return shown


def _nothing(variant: Variant) -> Capacity:
    """What a variant has that does not run yet."""
    return Capacity(variant.name, 0.0, 0)


def _shown(variant: Variant, fleet: Fleet, resource: Resource) -> dict[str, Any]:
    shown: dict[str, Any] = {"VariantName": variant.name}
    if variant.images:
        shown["DeployedImages"] = [
            {
                "SpecifiedImage": image,
                "ResolvedImage": resolved_image(image),
                "ResolutionTime": _begun_at(fleet, resource),
            }
            for image in variant.images
        ]
    return shown | dict(variant.repeated)


def _current_capacity(variant: Variant, endpoint: Endpoint) -> Capacity:
    if endpoint.active is None:  # nothing runs yet
        return _nothing(variant)
    for capacity in endpoint.before:
        if capacity.variant == variant.name:
            return capacity
    return Capacity.of(variant)


def _begun_at(fleet: Fleet, resource: Resource) -> datetime:
    return resource.created_at if fleet.begun_at is None else fleet.begun_at
