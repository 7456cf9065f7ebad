"""Finds the code that lies apart from its model, for whoever loads the model: endpoints and jobs alike."""

from collections.abc import Mapping
from pathlib import Path

from service.domain.submitted_code import SUBMITTED, code_address
from service.errors import ModelFailure, ModelNotFound
from service.hosting.artifacts.artifact import ArtifactStore


def find_code(artifacts: ArtifactStore, environment: Mapping[str, str]) -> Path | None:
    """The archive or folder of code that a model's environment names; None where the model has its own.

    Raises: ModelFailure where nothing is.
    """
    address = code_address(environment)
    if address is None:
        return None
    try:
        return artifacts.resolve(address)
    except ModelNotFound:
        raise ModelFailure(f"{SUBMITTED} names {address}, where nothing is") from None


def open_code(artifacts: ArtifactStore, environment: Mapping[str, str]) -> Path | None:
    """The same, unpacked. Raises: ModelFault."""
    code = find_code(artifacts, environment)
    return None if code is None else artifacts.open(code)


def fingerprint(artifacts: ArtifactStore, model: Path, environment: Mapping[str, str]) -> str:
    """Short text that changes with any file of the model or of its code. Raises: ModelFault."""
    version, code = artifacts.fingerprint(model), find_code(artifacts, environment)
    return version if code is None else f"{version}-{artifacts.fingerprint(code)}"
