"""What is said of models of several containers: AWS's sentences where they are known, else ours.

As in sentences, one function each with its source; theirs of one container are there.
"""

from service.errors import REQUEST_ID


def too_many_containers(most: int) -> str:
    """Ours: packages may have more containers together than a model."""
    return f"A model has at most {most} containers, those of its model packages among them."


def container_hostname_not_supported(endpoint: str) -> str:
    """Ours: AWS's text is not confirmed (contract Y)."""
    return (
        f"Endpoint {endpoint} is not a multi-container endpoint with direct invocation and does not support "
        "the target container hostname header."
    )


def container_hostname_missing(endpoint: str, known: list[str]) -> str:
    """Ours; that it is refused is documented, contract A.6."""
    return (
        f"Request {REQUEST_ID} is missing a target container hostname header: endpoint {endpoint} has "
        "several containers that are called directly, so name one in the "
        f"X-Amzn-SageMaker-Target-Container-Hostname header: {', '.join(known)}."
    )


def container_hostname_unknown(hostname: str, endpoint: str, known: list[str]) -> str:
    """Ours: AWS's text is not confirmed (contract Y)."""
    return (
        f"Container {hostname!r} is not found in endpoint {endpoint}; its containers are {', '.join(known)}."
    )


def hop_too_large(container: str, status: int, following: str, size_bytes: int) -> str:
    """Source: contract B.4, documented."""
    return (
        f"Received response from {container} with status code {status}. However, the request payload from "
        f"{container} to {following} is {size_bytes} bytes, which has exceeded the maximum limit of 5 MB."
    )


def one_multi_model() -> str:
    """Source: contract Z.46, observed."""
    return "More than one container in MultiModel mode is not supported with inference pipeline."


def no_direct_multi_model() -> str:
    """Ours; the rule is documented, contract A.6."""
    return "A container of Mode MultiModel cannot be called directly: give it a model of its own."


def hostnames_of_all() -> str:
    """Ours; the rules are documented: botocore, shape ContainerDefinition, and contract A.6."""
    return (
        "Give each container a ContainerHostname: all of them need one where containers are called directly, "
        "or where one of them has one."
    )


def hostname_twice(hostname: str) -> str:
    """Ours; that it identifies its container is documented, botocore, shape ContainerDefinition."""
    return f'The ContainerHostname "{hostname}" was non-unique within the request.'
