from typing import Any

import pytest

from service.domain.transform.document import (
    QUARANTINE_VARIABLE,
    asks_for,
    options_of,
    source_of,
    target_of,
)
from service.domain.transform.options import TransformOptions

LEAST: dict[str, Any] = {
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}}},
    "TransformOutput": {"S3OutputPath": "s3://b/out"},
}


@pytest.mark.provenance("documented")
def test_what_is_left_out_has_the_defaults() -> None:
    assert options_of(LEAST) == TransformOptions()
    assert (source_of(LEAST), target_of(LEAST)) == ("s3://b/in", "s3://b/out")


@pytest.mark.provenance("documented")
def test_every_option_is_read() -> None:
    document = {
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/m"}},
            "ContentType": "text/csv",
            "CompressionType": "Gzip",
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out", "Accept": "text/csv", "AssembleWith": "Line"},
        "BatchStrategy": "SingleRecord",
        "MaxPayloadInMB": 0,
        "MaxConcurrentTransforms": 3,
        "Environment": {"A": "1"},
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": 7, "InvocationsMaxRetries": 0},
        "DataProcessing": {"InputFilter": "$[1:]", "OutputFilter": "$[0]", "JoinSource": "Input"},
    }

    assert options_of(document) == TransformOptions(
        "ManifestFile",
        "text/csv",
        "text/csv",
        "Gzip",
        "Line",
        "Line",
        "SingleRecord",
        0,
        3,
        "$[1:]",
        "$[0]",
        "Input",
        {"A": "1"},
        7,
        0,
    )


@pytest.mark.parametrize(
    ("text", "on"), [("on", True), ("TRUE", True), ("1", True), ("off", False), ("", False)]
)
def test_the_environment_switches_on_what_aws_does_not_have(text: str, on: bool) -> None:
    assert asks_for({"Environment": {QUARANTINE_VARIABLE: text}}, QUARANTINE_VARIABLE) is on
    assert not asks_for({}, QUARANTINE_VARIABLE)
