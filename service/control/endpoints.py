"""The rules of endpoints that generic resources lack: fleets, weights, what may happen when."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from service.control.deployables import features_of, variants_of
from service.control.history import forget_changes, note_change
from service.control.ownership import check_editable
from service.control.resources import ResourceReader, Resources
from service.domain import sentences
from service.domain.endpoint import Endpoint, EndpointStatus, Fleet, Variant, retain, unknown_variants
from service.domain.endpoint_state import endpoint_from_state, endpoint_to_state
from service.domain.features import ASYNC, Serverless
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault

CONFIG = "EndpointConfigName"
DEPLOYMENT = "DeploymentConfig"


def create_endpoint(
    resources: Resources, fields: Mapping[str, Any], *, declared: bool = False
) -> dict[str, Any]:
    """CreateEndpoint: the endpoint is Creating until every gateway has its models warm.

    Generations count on from the store's revision: what gateways still say of a deleted endpoint of the same
    name must not pass for news of this one.

    Raises:
        ValidationFault: the name is taken, or the configuration or one of its models is not there.
    """
    _check_deployment(fields)
    config = resources.get(Kind.ENDPOINT_CONFIG, fields[CONFIG])
    resource = resources.create(Kind.ENDPOINT, fields, declared=declared)
    new = Endpoint(resource.name, EndpointStatus.CREATING, generation=resources.revision(), heals=declared)
    variants = variants_of(resources, config)
    begun = new.begin(config.name, variants, resource.created_at, **features_of(config))
    save_endpoint(resources, resource, begun)
    forget_changes(resources, resource.name)
    return _answer(resources, resource.name)


def update_endpoint(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """UpdateEndpoint: prepare the fleet of another configuration while the old one serves.

    Weights and counts start from the new configuration unless they are to be retained (contract Z.13).

    Raises:
        ValidationFault: no such endpoint or configuration, the one it has was deleted, a change is under way,
            the endpoint is Failed, or it would turn from instances to serverless or back, or cease to be
            asynchronous.
    """
    _check_deployment(fields)
    resource, endpoint = _open(resources, fields["EndpointName"])
    if endpoint.status is EndpointStatus.FAILED or endpoint.active is None:
        raise ValidationFault(sentences.endpoint_failed(resources.arn(Kind.ENDPOINT, resource.name)))
    resources.get(Kind.ENDPOINT_CONFIG, endpoint.active.config_name)  # AWS refuses if it was deleted (Z39)
    config = resources.get(Kind.ENDPOINT_CONFIG, fields[CONFIG])
    if endpoint.active.asynchronous and ASYNC not in config.document:
        raise ValidationFault(sentences.async_removed(resource.name))
    variants = _retained(variants_of(resources, config), endpoint.active, fields)
    if _ways_to_run(variants) != _ways_to_run(endpoint.active.variants):
        raise ValidationFault(sentences.serverless_conversion(resources.arn(Kind.ENDPOINT, resource.name)))
    document = dict(resource.document)
    if DEPLOYMENT in fields:
        document[DEPLOYMENT] = fields[DEPLOYMENT]
    elif not fields.get("RetainDeploymentConfig", False):
        document.pop(DEPLOYMENT, None)
    prepare_fleet(resources, replace(resource, document=document), config, variants)
    return _answer(resources, resource.name)


def prepare_fleet(
    resources: Resources, resource: Resource, config: Resource, variants: tuple[Variant, ...]
) -> Resource:
    """Have an endpoint go over to the fleet of a configuration, whatever it is at."""
    begun_at = resources.clock.now()
    endpoint = endpoint_of(resource).begin(config.name, variants, begun_at, **features_of(config))
    return save_endpoint(resources, resource, endpoint)


def update_weights_and_capacities(
    resources: Resources, fields: Mapping[str, Any], reason: str = "UpdateEndpointWeightsAndCapacities"
) -> dict[str, Any]:
    """UpdateEndpointWeightsAndCapacities: other shares and counts for the fleet that serves.

    Every gateway has them within a second; the endpoint is Updating until then (contract Z.12). Its history
    keeps the `reason`.

    Raises:
        ValidationFault: no such endpoint or variant, a variant twice, a change under way, or it is Failed.
    """
    resource, endpoint = _open(resources, fields["EndpointName"])
    fleet = endpoint.active
    if endpoint.status is EndpointStatus.FAILED or fleet is None:
        raise ValidationFault(sentences.endpoint_failed(resources.arn(Kind.ENDPOINT, resource.name)))
    desired = _by_variant(fields["DesiredWeightsAndCapacities"])
    unknown = unknown_variants(fleet, desired)
    if unknown:
        raise ValidationFault(sentences.variants_unknown(unknown, fleet.config_name))
    variants = tuple(
        _with_capacity(variant, desired[variant.name]) if variant.name in desired else variant
        for variant in fleet.variants
    )
    scaled = endpoint.scale(variants, resources.next_revision())
    save_endpoint(resources, resource, scaled)
    note_change(resources, resource.name, fleet, scaled.active or fleet, reason)
    return _answer(resources, resource.name)


def delete_endpoint(resources: Resources, fields: Mapping[str, Any]) -> None:
    """DeleteEndpoint: it takes no more requests, and is gone once every gateway knows.

    Raises:
        ValidationFault: there is none, or a change is under way: "Cannot update" says AWS here too.
    """
    resource, _ = _open(resources, fields["EndpointName"])
    remove_endpoint(resources, resource)


def remove_endpoint(resources: Resources, resource: Resource) -> None:
    """Delete an endpoint, whatever it is at."""
    save_endpoint(resources, resource, endpoint_of(resource).remove(resources.next_revision()))


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


def _open(resources: Resources, name: str) -> tuple[Resource, Endpoint]:
    """An endpoint that the caller may change now."""
    resource = resources.get(Kind.ENDPOINT, name)
    check_editable(resources, resource)
    endpoint = endpoint_of(resource)
    if endpoint.busy:
        raise ValidationFault(sentences.endpoint_busy(resources.arn(Kind.ENDPOINT, name)))
    return resource, endpoint


def _answer(resources: ResourceReader, name: str) -> dict[str, Any]:
    return {"EndpointArn": resources.arn(Kind.ENDPOINT, name)}


def _check_deployment(fields: Mapping[str, Any]) -> None:
    if {"BlueGreenUpdatePolicy", "RollingUpdatePolicy"} <= fields.get(DEPLOYMENT, {}).keys():
        raise ValidationFault(sentences.both_update_policies())


def _retained(
    variants: tuple[Variant, ...], current: Fleet, fields: Mapping[str, Any]
) -> tuple[Variant, ...]:
    excluded = {one["VariantPropertyType"] for one in fields.get("ExcludeRetainedVariantProperties", ())}
    if not fields.get("RetainAllVariantProperties", False):
        if excluded:
            raise ValidationFault(sentences.exclusions_without_retaining())
        return variants
    return retain(
        variants,
        current,
        weights="DesiredWeight" not in excluded,
        instances="DesiredInstanceCount" not in excluded,
    )


def _ways_to_run(variants: Iterable[Variant]) -> set[bool]:
    """Whether on instances, serverless, or both. AWS converts neither into the other (contract C.11)."""
    return {variant.serverless is not None for variant in variants}


def _by_variant(desired: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for one in desired:
        if one["VariantName"] in found:
            raise ValidationFault(sentences.variant_twice(one["VariantName"]))
        found[one["VariantName"]] = one
    return found


def _with_capacity(variant: Variant, desired: Mapping[str, Any]) -> Variant:
    if not desired.keys() & {"DesiredWeight", "DesiredInstanceCount", "ServerlessUpdateConfig"}:
        raise ValidationFault(sentences.nothing_desired(variant.name))
    weight = desired.get("DesiredWeight", variant.weight)
    if not isfinite(weight):
        raise ValidationFault(sentences.weight_not_finite(variant.name))
    changed = replace(variant, weight=weight)
    if "DesiredInstanceCount" in desired:
        if variant.serverless is not None:
            raise ValidationFault(sentences.is_serverless(variant.name))
        if desired["DesiredInstanceCount"] < 1:
            raise ValidationFault(sentences.instance_count(variant.name))
        changed = replace(changed, instances=desired["DesiredInstanceCount"])
    if "ServerlessUpdateConfig" in desired:
        if variant.serverless is None:
            raise ValidationFault(sentences.not_serverless(variant.name))
        serverless = Serverless.of({**variant.serverless.document(), **desired["ServerlessUpdateConfig"]})
        if serverless.provisioned is not None and serverless.provisioned > serverless.most_calls:
            raise ValidationFault(sentences.serverless_provisioned(variant.name))
        changed = replace(changed, serverless=serverless)
    return changed
