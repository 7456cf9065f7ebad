"""What a job may be asked: limits, precedence, and what is refused in which words."""

from typing import Any

import pytest

from service.domain.transform.options import ContainerParameters, TransformOptions, check_options
from service.errors import ValidationFault

NOTHING = ContainerParameters()
JOIN: dict[str, Any] = {
    "content_type": "text/csv",
    "accept": "text/csv",
    "split_type": "Line",
    "assemble_with": "Line",
    "join_source": "Input",
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"split_type": "Line", "batch_strategy": "MultiRecord", "max_payload_in_mb": 100},
        {"split_type": "RecordIO", "batch_strategy": "SingleRecord"},
        {"max_payload_in_mb": 20, "max_concurrent_transforms": 5},
        {"max_payload_in_mb": 0, "max_concurrent_transforms": 50},
        {"batch_strategy": "SingleRecord"},
        JOIN,
        JOIN
        | {"content_type": "text/csv; charset=utf-8", "output_filter": "$[0,-1]", "input_filter": "$[1:]"},
        {"content_type": "application/jsonlines", "input_filter": "$.features"},
        {"accept": "application/json", "output_filter": "$['a','b']"},
    ],
)
def test_what_makes_sense_is_accepted(options: dict[str, Any]) -> None:
    check_options(TransformOptions(**options))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"split_type": "Lines"}, "SplitType must be None or Line or RecordIO or TFRecord, not 'Lines'"),
        ({"compression_type": "gzip"}, "CompressionType must be None or Gzip"),
        ({"assemble_with": "None "}, "AssembleWith must be"),
        ({"join_source": "Output"}, "JoinSource must be"),
        ({"data_type": "AugmentedManifestFile"}, "S3DataType must be"),
        ({"batch_strategy": "MultiRecord"}, "needs records: set SplitType"),
        ({"max_payload_in_mb": 101}, "MaxPayloadInMB must be from 0 to 100"),
        ({"max_concurrent_transforms": -1}, "MaxConcurrentTransforms must be 0 or more"),
        ({"max_payload_in_mb": 51, "max_concurrent_transforms": 2}, "at most 100 MB, but it is 102 MB"),
        ({"max_concurrent_transforms": 17}, "but it is 102 MB"),
        ({"timeout_s": 0}, "InvocationsTimeoutInSeconds"),
        ({"timeout_s": 3601}, "InvocationsTimeoutInSeconds"),
        ({"max_retries": 4}, "InvocationsMaxRetries"),
        ({"content_type": "x" * 257}, "ContentType must have at most 256"),
        ({"accept": "text/csv", "output_filter": "$" + "[0]" * 21}, "OutputFilter must have at most 63"),
        ({"environment": {str(n): "" for n in range(17)}}, "at most 16 entries"),
        ({"environment": {"a-b": ""}}, "no name of a variable"),
        ({"environment": {"A": "x" * 10241}}, "longer than 10240"),
        ({"input_filter": "$.a"}, "InputFilter needs ContentType"),
        ({"output_filter": "$.a", "content_type": "text/csv"}, "OutputFilter needs Accept"),
        ({"content_type": "text/csv", "input_filter": "$.a"}, "of CSV takes columns by number"),
        ({"content_type": "text/csv", "input_filter": "$[0"}, "a bracket is not closed"),
        (JOIN | {"accept": "application/json"}, "needs Accept to equal ContentType"),
        (JOIN | {"accept": None}, r"\(none is not text/csv\)"),
        (JOIN | {"assemble_with": "None"}, "needs AssembleWith to equal SplitType"),
        (JOIN | {"content_type": "image/png", "accept": "image/png"}, "JoinSource Input needs ContentType"),
        (JOIN | {"max_payload_in_mb": 0}, "streams whole files"),
        (JOIN | {"split_type": "RecordIO"}, "need SplitType None or Line"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationFault, match=reason):
        check_options(TransformOptions(**options))


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ValidationFault) as caught:
        check_options(TransformOptions(split_type="x", timeout_s=0, max_retries=9))

    assert [word in caught.value.message for word in ("SplitType", "Timeout", "Retries")] == [True] * 3


@pytest.mark.provenance("documented")
def test_a_job_wins_over_its_container_and_both_over_the_defaults() -> None:
    told = ContainerParameters(4, "SingleRecord", 20)
    plain = TransformOptions(split_type="Line")
    own = TransformOptions(
        split_type="Line", batch_strategy="MultiRecord", max_payload_in_mb=1, max_concurrent_transforms=2
    )

    assert (plain.concurrency(NOTHING), plain.strategy(NOTHING), plain.payload_mb(NOTHING)) == (
        1,
        "MultiRecord",
        6,
    )
    assert (plain.concurrency(told), plain.strategy(told), plain.payload_mb(told)) == (4, "SingleRecord", 20)
    assert (own.concurrency(told), own.strategy(told), own.payload_mb(told)) == (2, "MultiRecord", 1)
    assert TransformOptions(max_concurrent_transforms=0).concurrency(told) == 4


def test_a_container_cannot_exceed_the_megabytes_at_once() -> None:
    assert TransformOptions(max_payload_in_mb=30).concurrency(ContainerParameters(50)) == 3


@pytest.mark.provenance("documented")
def test_a_container_is_told_limits_only_where_the_caller_set_them() -> None:
    own = TransformOptions(
        split_type="Line",
        batch_strategy="SingleRecord",
        max_payload_in_mb=0,
        max_concurrent_transforms=3,
        environment={"A": "b", "SAGEMAKER_BATCH": "mine"},
    )

    assert TransformOptions().container_environment() == {"SAGEMAKER_BATCH": "true"}
    assert own.container_environment() == {
        "SAGEMAKER_BATCH": "mine",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "0",
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "3",
        "A": "b",
    }
