"""The rules of models that generic resources lack: what a container definition must and must not hold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.control.deployables import (
    container_location,
    containers_of,
    is_direct,
    is_multi,
    names_of,
    obstacle_of,
)
from service.control.packaged import packaged
from service.control.resources import ResourceReader, Resources
from service.domain import container_sentences, sentences
from service.domain.kinds import Kind
from service.errors import ModelFault, ValidationFault

MOST_CONTAINERS = 15
"""Source: botocore, shape ContainerDefinitionList."""

MOST_ENVIRONMENT_BYTES = 32 * 1024
"""Over all containers of a model, names and values together. Source: contract A.4."""


def create_model(resources: Resources, fields: Mapping[str, Any]) -> dict[str, Any]:
    """CreateModel.

    What cannot run here is taken as AWS takes it, and fails its endpoint.

    Raises:
        ValidationFault: the name is taken, the containers break a rule, a package is missing, or a model
            that could run here has no data where it says.
    """
    asked = containers_of(fields)
    if not asked or {"PrimaryContainer", "Containers"} <= fields.keys():
        raise ValidationFault(sentences.one_of("PrimaryContainer", "Containers"))
    for container in asked:
        _check_container(container)
    containers = packaged(resources, asked)
    if len(containers) > MOST_CONTAINERS:
        raise ValidationFault(container_sentences.too_many_containers(MOST_CONTAINERS))
    _check_environment(containers)
    if "Containers" in fields:
        _check_list(containers, direct=is_direct(fields))
    if not obstacle_of(containers, resources.context.runs_images):
        for container in containers:
            if not is_multi(container) and container_location(container):
                _check_data(resources, container)
    created = resources.create(Kind.MODEL, fields)
    if containers != asked:
        resources.put(replace(created, state=_running(fields, containers)))
    return {"ModelArn": resources.arn(Kind.MODEL, created.name)}


def describe_model(resources: ResourceReader, fields: Mapping[str, Any]) -> dict[str, Any]:
    """DescribeModel: what was asked for, with the defaults that AWS fills in."""
    found = resources.described(Kind.MODEL, fields["ModelName"])
    if "PrimaryContainer" in found:
        found["PrimaryContainer"] = {"Mode": "SingleModel", **found["PrimaryContainer"]}
    if "Containers" in found:
        found["Containers"] = [{"Mode": "SingleModel", **container} for container in found["Containers"]]
    return {"EnableNetworkIsolation": False, **found}


def _running(fields: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The member of a model's document that differs in what runs."""
    one = "PrimaryContainer" in fields and len(containers) == 1
    return {"PrimaryContainer": containers[0]} if one else {"Containers": list(containers)}


def _check_container(container: Mapping[str, Any]) -> None:
    if ("Image" in container) == ("ModelPackageName" in container):
        raise ValidationFault(sentences.container_source())
    if "ModelDataUrl" in container and "ModelDataSource" in container:
        raise ValidationFault(sentences.only_one_of("ModelDataUrl", "ModelDataSource"))
    has_data = not container.keys().isdisjoint(("ModelDataUrl", "ModelDataSource"))
    if is_multi(container) and not has_data and "Image" in container:
        raise ValidationFault(sentences.multi_model_needs_data())


def _check_list(containers: list[Mapping[str, Any]], *, direct: bool) -> None:
    """The rules of containers that belong together. Source: contract A.6; botocore, ContainerDefinition."""
    named = ["ContainerHostname" in container for container in containers]
    if not all(named) and (direct or any(named)):
        raise ValidationFault(container_sentences.hostnames_of_all())
    names = names_of(containers)
    for name in names:
        if names.count(name) > 1:
            raise ValidationFault(container_sentences.hostname_twice(name))
    many = sum(map(is_multi, containers))
    if direct and many:
        raise ValidationFault(container_sentences.no_direct_multi_model())
    if many > 1:
        raise ValidationFault(container_sentences.one_multi_model())


def _check_environment(containers: list[Mapping[str, Any]]) -> None:
    size = sum(
        len(name.encode()) + len(value.encode())
        for container in containers
        for name, value in container.get("Environment", {}).items()
    )
    if size > MOST_ENVIRONMENT_BYTES:
        raise ValidationFault(sentences.too_much_environment(MOST_ENVIRONMENT_BYTES))


def _check_data(resources: Resources, container: Mapping[str, Any]) -> None:
    location = container_location(container)
    try:
        resources.context.version_of(location)
    except ModelFault:
        raise ValidationFault(sentences.model_data_missing(location)) from None
