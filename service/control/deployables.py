"""From AWS's documents to what can be deployed: a configuration's variants, and why one cannot run here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.control.resources import Resources
from service.domain import obstacles, sentences
from service.domain.endpoint import ModelSource, Variant
from service.domain.features import ASYNC, repeated_of_config, repeated_of_variant, serverless_of
from service.domain.image import runs_here
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.domain.submitted_code import code_address
from service.errors import ModelFault


def containers_of(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The container definitions of a model's document."""
    return [model["PrimaryContainer"]] if "PrimaryContainer" in model else list(model.get("Containers", ()))


def container_location(container: Mapping[str, Any]) -> str:
    """Where a container's model data is; without any, where its code is, which is all then; else ""."""
    if "ModelDataUrl" in container:
        return str(container["ModelDataUrl"])
    if "ModelDataSource" in container:
        return str(container["ModelDataSource"].get("S3DataSource", {}).get("S3Uri", ""))
    return code_address(container.get("Environment", {})) or ""


def obstacle_of(containers: Sequence[Mapping[str, Any]]) -> str:
    """Why a model of these containers can never run here, "" if it can."""
    if len(containers) != 1:
        return obstacles.pipeline_cannot_run(len(containers))
    (container,) = containers
    if "Image" not in container:
        return obstacles.no_image()
    if not runs_here(container["Image"]):
        return obstacles.image_cannot_run(container["Image"])
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
    containers = containers_of(model.document)
    context = resources.context
    version_of = context.version_of_declared if model.declared else context.version_of
    obstacle, version = obstacle_of(containers), ""
    if not obstacle:
        version, obstacle = _version(containers[0], version_of)
    source = ModelSource(
        container_location(containers[0]),
        _is_multi(containers[0]),
        tuple(sorted(containers[0].get("Environment", {}).items())),
        version,
    )
    return Variant(source=source, obstacle=obstacle, image=containers[0].get("Image", ""), **common)


def _version(container: Mapping[str, Any], version_of: Callable[[str], str]) -> tuple[str, str]:
    """The version of a container's files and "", or "" and why they are not there."""
    # The models below a prefix may come later.
    addresses = [] if _is_multi(container) else [container_location(container)]
    code = code_address(container.get("Environment", {}))
    if code is not None:
        addresses.append(code)
    versions = []
    for address in addresses:
        try:
            versions.append(version_of(address))
        except ModelFault:
            return "", sentences.model_data_not_downloaded(address)
    return "-".join(version for version in versions if version), ""


def _is_multi(container: Mapping[str, Any]) -> bool:
    return bool(container.get("Mode") == "MultiModel")
