"""From AWS's documents to what can be deployed: a configuration's variants, and why one cannot run here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from service.control.resources import Resources
from service.domain import obstacles, sentences
from service.domain.endpoint import ModelSource, Stage, Variant
from service.domain.features import (
    ASYNC,
    LoadLimits,
    repeated_of_config,
    repeated_of_variant,
    serverless_of,
)
from service.domain.image import needs_engine
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.submitted_code import code_address
from service.errors import ModelFault

_OF_CONTAINERS: Final = ("PrimaryContainer", "Containers")


def containers_of(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The container definitions of a model's document."""
    return [model["PrimaryContainer"]] if "PrimaryContainer" in model else list(model.get("Containers", ()))


def running_document(model: Resource) -> Mapping[str, Any]:
    """A model's document with the containers that run: those of packages in the places of their names."""
    if not model.state:
        return model.document
    kept = {name: value for name, value in model.document.items() if name not in _OF_CONTAINERS}
    return {**kept, **model.state}


def container_location(container: Mapping[str, Any]) -> str:
    """Where a container's model data is; without any, where its code is, which is all then; else ""."""
    if "ModelDataUrl" in container:
        return str(container["ModelDataUrl"])
    if "ModelDataSource" in container:
        return str(container["ModelDataSource"].get("S3DataSource", {}).get("S3Uri", ""))
    return code_address(container.get("Environment", {})) or ""


def names_of(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the containers of a model are called. Source: contract A.6."""
    return [
        container.get("ContainerHostname", f"container-{number}")
        for number, container in enumerate(containers, 1)
    ]


def is_direct(model: Mapping[str, Any]) -> bool:
    """Whether callers name the container of a model that they mean."""
    return "Containers" in model and model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct"


def is_multi(container: Mapping[str, Any]) -> bool:
    """Whether a container has a folder of models, of which callers name one."""
    return bool(container.get("Mode") == "MultiModel")


def obstacle_of(containers: Sequence[Mapping[str, Any]], runs_images: bool = False) -> str:
    """Why a model of these containers can never run here, "" if it can; of several it says which.

    Images of others may do where the server `runs_images`.
    """
    for name, container in zip(names_of(containers), containers, strict=True):
        obstacle = _obstacle(container, runs_images)
        if obstacle:
            return obstacles.of_container(name, obstacle) if len(containers) > 1 else obstacle
    return ""


def _obstacle(container: Mapping[str, Any], runs_images: bool) -> str:
    if "Image" not in container:
        return obstacles.no_image()
    if "#" in container["Image"]:
        return obstacles.no_name_of_an_image(container["Image"])
    if needs_engine(container["Image"]):
        if not runs_images:
            return obstacles.image_cannot_run(container["Image"])
        return obstacles.image_has_one_model(container["Image"]) if is_multi(container) else ""
    return "" if container_location(container) else obstacles.no_model_data()


def variants_of(resources: Resources, config: Resource) -> tuple[Variant, ...]:
    """The variants that an endpoint configuration describes, with the model files as they are now.

    Raises:
        ValidationFault: one of its models is not there.
    """
    return tuple(_variant(resources, document, config) for document in config.document["ProductionVariants"])


def features_of(config: Resource) -> dict[str, Any]:
    """What a configuration asks of its fleets beside their variants, as keywords."""
    return {"asynchronous": ASYNC in config.document, "repeated": repeated_of_config(config.document)}


def _variant(resources: Resources, document: Mapping[str, Any], config: Resource) -> Variant:
    """A variant from AWS's document; `lazy` and `pin`, unknown to AWS, from the configuration's state."""
    own = config.state.get(document["VariantName"], {})
    common = {
        "name": document["VariantName"],
        "weight": document.get("InitialVariantWeight", 1.0),
        "lazy": own.get("lazy", False),
        "pin": own.get("pin", False),
        "instances": document.get("InitialInstanceCount", 1),
        "serverless": serverless_of(document),
        "repeated": repeated_of_variant(document),
    }
    if "ModelName" not in document:
        return Variant(source=ModelSource(""), obstacle=obstacles.components_cannot_run(), **common)
    model = resources.get(Kind.MODEL, document["ModelName"])
    running = running_document(model)
    containers = containers_of(running)
    context = resources.context
    version_of = context.version_of_declared if model.declared else context.version_of
    obstacle = obstacle_of(containers, context.runs_images)
    versions = [""] * len(containers)
    if not obstacle:
        found = [_version(container, number, version_of) for number, container in enumerate(containers, 1)]
        versions = [version for version, _ in found]
        obstacle = next((missing for _, missing in found if missing), "")
    limits = LoadLimits.of(document)
    sources = [
        _source(container, version, limits, str if obstacle else context.image_now)
        for container, version in zip(containers, versions, strict=True)
    ]
    if len(containers) == 1 and not is_direct(running):
        return Variant(source=sources[0], obstacle=obstacle, image=sources[0].image, **common)
    stages = tuple(map(Stage, names_of(containers), sources))
    source = ModelSource("", stages=stages, direct=is_direct(running))
    return Variant(source=source, obstacle=obstacle, **common)


def _source(
    container: Mapping[str, Any], version: str, limits: LoadLimits, image_now: Callable[[str], str]
) -> ModelSource:
    environment = tuple(sorted(container.get("Environment", {}).items()))
    location, image = container_location(container), container.get("Image", "")
    if needs_engine(image):
        image = image_now(image)
    return ModelSource(location, is_multi(container), environment, version, image, limits=limits)


def _version(container: Mapping[str, Any], number: int, version_of: Callable[[str], str]) -> tuple[str, str]:
    """The version of a container's files and "", or "" and why they are not there."""
    # The models below a prefix may come later.
    location = container_location(container)
    addresses = [location] if location and not is_multi(container) else []
    code = code_address(container.get("Environment", {}))
    if code is not None:
        addresses.append(code)
    versions = []
    for address in addresses:
        try:
            versions.append(version_of(address))
        except ModelFault:
            return "", sentences.model_data_not_downloaded(address, number)
    return "-".join(version for version in versions if version), ""
