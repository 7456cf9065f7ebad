"""The rules of endpoint configurations that generic resources lack: what production variants must hold."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from service.control.deployables import containers_of, running_document
from service.control.resources import ResourceReader, Resources
from service.domain import sentences
from service.domain.features import ASYNC, SERVERLESS
from service.domain.kinds import Kind
from service.errors import ValidationFault

_MEMORY_STEP_MB = 1024
_SHADOW = "ShadowProductionVariants"
_CONTAINERS = ("a model of several containers", "a model with Mode MultiModel")


def create_endpoint_config(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """CreateEndpointConfig.

    Raises:
        ValidationFault: the name is taken, a model is not there, or the variants break a rule.
    """
    variants = [*fields["ProductionVariants"], *fields.get(_SHADOW, ())]
    names: set[str] = set()
    for variant in variants:
        if variant["VariantName"] in names:
            raise ValidationFault(sentences.variant_twice(variant["VariantName"]))
        names.add(variant["VariantName"])
        if not isfinite(variant.get("InitialVariantWeight", 1.0)):
            raise ValidationFault(sentences.weight_not_finite(variant["VariantName"]))
        _check_capacity(variant)
        _check_model(resources, variant, with_role="ExecutionRoleArn" in fields)
    _check_shadow(resources, variants, fields)
    if _SHADOW in fields and len(variants) != 2:
        raise ValidationFault(sentences.one_shadow())
    _check_serverless(resources, variants, fields)
    created = resources.create(Kind.ENDPOINT_CONFIG, fields)
    return {"EndpointConfigArn": resources.arn(Kind.ENDPOINT_CONFIG, created.name)}


def describe_endpoint_config(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeEndpointConfig: what was asked for, with the defaults that AWS fills in."""
    found = resources.described(Kind.ENDPOINT_CONFIG, fields["EndpointConfigName"])
    for member in ("ProductionVariants", "ShadowProductionVariants"):
        if member in found:
            found[member] = [{"InitialVariantWeight": 1.0, **variant} for variant in found[member]]
    return {"EnableNetworkIsolation": False, **found}


def _check_capacity(variant: Mapping[str, Any]) -> None:
    name = variant["VariantName"]
    counted = "InitialInstanceCount" in variant or "InstanceType" in variant
    if counted + (SERVERLESS in variant) + ("InstancePools" in variant) != 1:
        raise ValidationFault(sentences.variant_capacity(name))
    if counted and not ("InitialInstanceCount" in variant and "InstanceType" in variant):
        raise ValidationFault(sentences.variant_capacity(name))
    serverless = variant.get(SERVERLESS)
    if serverless is not None:
        if serverless["MemorySizeInMB"] % _MEMORY_STEP_MB:
            raise ValidationFault(sentences.serverless_memory(name, serverless["MemorySizeInMB"]))
        if serverless.get("ProvisionedConcurrency", 0) > serverless["MaxConcurrency"]:
            raise ValidationFault(sentences.serverless_provisioned(name))


def _check_shadow(resources: Resources, variants: list[Mapping[str, Any]], fields: Mapping[str, Any]) -> None:
    """What does not go with shadow variants. Source: AWS's guide, exclusions of shadow tests."""
    if _SHADOW not in fields:
        return
    if ASYNC in fields:
        raise ValidationFault(sentences.features_exclude(_SHADOW, ASYNC))
    for variant in variants:
        if SERVERLESS in variant:
            raise ValidationFault(sentences.features_exclude(_SHADOW, SERVERLESS))
        for feature in _features_of(_model_of(resources, variant)):
            if feature in _CONTAINERS:
                raise ValidationFault(sentences.features_exclude(_SHADOW, feature))


def _check_serverless(
    resources: Resources, variants: list[Mapping[str, Any]], fields: Mapping[str, Any]
) -> None:
    """What does not go with serverless variants. Source: AWS's guide, feature exclusions."""
    serverless = [variant for variant in variants if SERVERLESS in variant]
    if not serverless:
        return
    if len(serverless) < len(variants):
        raise ValidationFault(sentences.features_exclude(SERVERLESS, "variants on instances"))
    for member in ("DataCaptureConfig", ASYNC):
        if member in fields:
            raise ValidationFault(sentences.features_exclude(SERVERLESS, member))
    for document in (fields, *(_model_of(resources, variant) for variant in serverless)):
        for feature in _features_of(document):
            raise ValidationFault(sentences.features_exclude(SERVERLESS, feature))


def _features_of(document: Mapping[str, Any]) -> list[str]:
    """What a model, or a configuration, has that some kinds of endpoints exclude, by AWS's names."""
    containers = containers_of(document)
    several, multi = _CONTAINERS
    found = [several] if len(containers) > 1 else []
    found += [multi] if any(container.get("Mode") == "MultiModel" for container in containers) else []
    return found + [member for member in ("VpcConfig", "EnableNetworkIsolation") if document.get(member)]


def _model_of(resources: Resources, variant: Mapping[str, Any]) -> Mapping[str, Any]:
    return running_document(resources.get(Kind.MODEL, variant["ModelName"])) if "ModelName" in variant else {}


def _check_model(resources: Resources, variant: Mapping[str, Any], *, with_role: bool) -> None:
    if "ModelName" in variant:
        resources.get(Kind.MODEL, variant["ModelName"])
    elif not with_role:
        raise ValidationFault(sentences.variant_model_missing(variant["VariantName"]))
