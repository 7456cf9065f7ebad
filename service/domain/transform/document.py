"""From a CreateTransformJob, in AWS's spelling, to what is to be done (contract D.1)."""

from collections.abc import Mapping
from typing import Any, Final

from service.domain.transform.options import NONE, TransformOptions

REPORT_VARIABLE: Final = "SAGEBIRD_TRANSFORM_REPORT"
QUARANTINE_VARIABLE: Final = "SAGEBIRD_TRANSFORM_QUARANTINE"
"""Entries of a job's Environment that ask for what AWS does not have; `on` is what counts."""


def options_of(document: Mapping[str, Any]) -> TransformOptions:
    """The options that a job's document asks for; what it leaves out has AWS's default."""
    given, wanted = document["TransformInput"], document["TransformOutput"]
    processing, client = document.get("DataProcessing", {}), document.get("ModelClientConfig", {})
    return TransformOptions(
        data_type=given["DataSource"]["S3DataSource"]["S3DataType"],
        content_type=given.get("ContentType"),
        accept=wanted.get("Accept"),
        compression_type=given.get("CompressionType", NONE),
        split_type=given.get("SplitType", NONE),
        assemble_with=wanted.get("AssembleWith", NONE),
        batch_strategy=document.get("BatchStrategy"),
        max_payload_in_mb=document.get("MaxPayloadInMB"),
        max_concurrent_transforms=document.get("MaxConcurrentTransforms"),
        input_filter=processing.get("InputFilter", "$"),
        output_filter=processing.get("OutputFilter", "$"),
        join_source=processing.get("JoinSource", NONE),
        environment=document.get("Environment", {}),
        timeout_s=client.get("InvocationsTimeoutInSeconds", 600),
        max_retries=client.get("InvocationsMaxRetries", 3),
    ).settled()


def source_of(document: Mapping[str, Any]) -> str:
    """The address of a job's inputs, or of its manifest."""
    return str(document["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])


def target_of(document: Mapping[str, Any]) -> str:
    """The address below which a job's outputs go."""
    return str(document["TransformOutput"]["S3OutputPath"])


def asks_for(document: Mapping[str, Any], variable: str) -> bool:
    """Whether the Environment switches something on."""
    return str(document.get("Environment", {}).get(variable, "")).lower() in ("on", "true", "1")
