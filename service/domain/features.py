"""What a configuration asks for beside models, weights and counts: typed where it decides something.

The rest is kept as it was asked for, in AWS spelling, and only ever repeated by DescribeEndpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

ASYNC: Final = "AsyncInferenceConfig"
"""The member of a configuration that makes its endpoints asynchronous."""

SERVERLESS: Final = "ServerlessConfig"
"""The member of a production variant that lets it run without instances."""

_CAPTURE: Final = "DataCaptureConfig"
_REPEATED_OF_CONFIG: Final = (ASYNC, "ExplainerConfig", "MetricsConfig", _CAPTURE)
_REPEATED_OF_VARIANT: Final = ("ManagedInstanceScaling", "RoutingConfig")


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """Seconds in which a variant's model has to be fetched and unpacked, and its container has to start.

    None: as long as the server lets any.
    """

    download_s: float | None = None
    startup_s: float | None = None

    @classmethod
    def of(cls, variant: Mapping[str, Any]) -> "LoadLimits":
        """From a production variant, in AWS spelling."""
        return cls(
            variant.get("ModelDataDownloadTimeoutInSeconds"),
            variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        )


@dataclass(frozen=True, slots=True)
class Serverless:
    """How a variant without instances runs: how many calls at once, how many of them it is kept ready for."""

    memory_mb: int
    most_calls: int
    provisioned: int | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Serverless":
        """From a ServerlessConfig."""
        return cls(
            document["MemorySizeInMB"], document["MaxConcurrency"], document.get("ProvisionedConcurrency")
        )

    def document(self) -> dict[str, Any]:
        """As a ServerlessConfig."""
        found = {"MemorySizeInMB": self.memory_mb, "MaxConcurrency": self.most_calls}
        return found if self.provisioned is None else {**found, "ProvisionedConcurrency": self.provisioned}


def serverless_of(variant: Mapping[str, Any]) -> Serverless | None:
    """How a production variant runs, in AWS spelling; None if it has instances."""
    return Serverless.of(variant[SERVERLESS]) if SERVERLESS in variant else None


def repeated_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What DescribeEndpoint repeats of a configuration, as it was asked for."""
    return {member: config[member] for member in _REPEATED_OF_CONFIG if member in config}


def repeated_of_variant(variant: Mapping[str, Any]) -> dict[str, Any]:
    """What DescribeEndpoint repeats of a production variant, as it was asked for."""
    return {member: variant[member] for member in _REPEATED_OF_VARIANT if member in variant}


def described(repeated: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for as DescribeEndpoint shows it. Source: contract C.5."""
    if _CAPTURE not in repeated:
        return dict(repeated)
    asked = repeated[_CAPTURE]
    capture = {
        "EnableCapture": asked.get("EnableCapture", True),
        "CaptureStatus": "Stopped",  # nothing is captured yet, and nobody is told otherwise
        "CurrentSamplingPercentage": asked["InitialSamplingPercentage"],
        "DestinationS3Uri": asked["DestinationS3Uri"],
        "KmsKeyId": asked.get("KmsKeyId", ""),
    }
    return {**repeated, _CAPTURE: capture}


def asked_for(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `described`, as far as it can be told."""
    if _CAPTURE not in shown:
        return dict(shown)
    capture = {
        "EnableCapture": shown[_CAPTURE]["EnableCapture"],
        "InitialSamplingPercentage": shown[_CAPTURE]["CurrentSamplingPercentage"],
        "DestinationS3Uri": shown[_CAPTURE]["DestinationS3Uri"],
        "KmsKeyId": shown[_CAPTURE]["KmsKeyId"],
    }
    return {**shown, _CAPTURE: capture}
