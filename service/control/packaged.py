"""The containers that a model gets from model packages: looked up when it is made, and kept with it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.control.model_packages import ADDITIONAL, PACKAGE, SPECIFICATION, find_package
from service.control.resources import ResourceReader
from service.domain import package_sentences
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import ValidationFault

_WANTED: Final = "InferenceSpecificationName"
_OF_CONTAINERS: Final = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource")


def packaged(resources: ResourceReader, containers: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The same containers, with those of packages in the places of containers that name one.

    A package of somebody else's account is left as it is: it is taken as AWS takes it, and cannot run here.

    Raises:
        ValidationFault: a package is not there, or has no containers.
    """
    return [each for container in containers for each in _of(resources, container)]


def _of(resources: ResourceReader, container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if PACKAGE not in container or _is_elsewhere(resources, container[PACKAGE]):
        yield container
        return
    package = find_package(resources, container[PACKAGE])
    found = _containers(resources, package, container.get(_WANTED, ""))
    for each in found:
        own = {member: each[member] for member in _OF_CONTAINERS if member in each}
        environment = {**each.get("Environment", {}), **container.get("Environment", {})}
        if environment:
            own["Environment"] = environment
        if len(found) == 1 and "ContainerHostname" in container:
            own["ContainerHostname"] = container["ContainerHostname"]
        yield own


def _is_elsewhere(resources: ResourceReader, name_or_arn: str) -> bool:
    parts = name_or_arn.split(":")
    return len(parts) > 4 and parts[4] != resources.context.caller.account


def _containers(resources: ResourceReader, package: Resource, wanted: str) -> list[Mapping[str, Any]]:
    named = {each["Name"]: each for each in package.document.get(ADDITIONAL, ())}
    found = named.get(wanted) if wanted else package.document.get(SPECIFICATION)
    if found is None:
        arn = resources.arn(Kind.MODEL_PACKAGE, package.name)
        raise ValidationFault(package_sentences.nothing_to_run(arn, wanted))
    return list(found["Containers"])
