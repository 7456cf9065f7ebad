"""Stock clients of services that are not served, as AWS_ENDPOINT_URL points all of a program's here."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.conftest import Stage
from tests.harness import web

_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}

_FLOW = "arn:aws:sagemaker:us-east-1:000000000000:flow-definition/f"


def _client(service: str, url: str, **config: Any) -> Any:
    settings = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, **config)
    return boto3.client(service, endpoint_url=url, config=settings, **_KEYS)


_OUTPOSTS = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3-outposts/aws4_request, "
    "SignedHeaders=host, Signature=0"
}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_a_kin_of_s3_is_told_in_its_own_document_that_a_bucket_is_a_folder(stage: Stage, method: str) -> None:
    body = b"" if method == "GET" else b"1,2\n" * 50_000
    for _ in range(2):  # the connection goes on, or is opened anew
        answer = web.request(method, f"{stage.url}/b/k", headers=_OUTPOSTS, content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (501, "application/xml")
        assert "<Code>NotImplemented</Code>" in answer.text
        assert "A bucket is a folder here" in answer.text
        assert "<Resource>/b/k</Resource>" in answer.text
        assert answer.headers["x-amz-request-id"]


def test_a_head_of_such_has_the_status_and_no_body(stage: Stage) -> None:
    answer = web.head(f"{stage.url}/b/k", headers=_OUTPOSTS)
    assert (answer.status_code, answer.content) == (501, b"")


def test_an_operation_of_s3_that_is_not_served_is_refused_by_its_name(stage: Stage) -> None:
    s3 = _client("s3", stage.url)
    with pytest.raises(ClientError) as caught:
        s3.create_bucket_metadata_table_configuration(
            Bucket="b",
            MetadataTableConfiguration={
                "S3TablesDestination": {"TableBucketArn": "arn:aws:s3tables:::bucket/x", "TableName": "t"}
            },
        )
    error = caught.value.response["Error"]
    assert error["Code"] == "NotImplemented"
    assert "CreateBucketMetadataTableConfiguration" in error["Message"]


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("service", "method"),
    [("lambda", "list_functions"), ("route53", "list_hosted_zones"), ("efs", "describe_file_systems")],
)
def test_services_with_paths_of_their_own_hear_it_in_their_protocol(
    stage: Stage, service: str, method: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(_client(service, stage.url), method)()
    error = caught.value.response["Error"]
    assert error["Code"] in ("UnknownOperationException", "InvalidAction")
    assert "sagebird does not serve GET /" in error["Message"]


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("service", "method", "members"),
    [
        (
            "sagemaker-featurestore-runtime",
            "get_record",
            {"FeatureGroupName": "a", "RecordIdentifierValueAsString": "b"},
        ),
        (
            "sagemaker-metrics",
            "batch_put_metrics",
            {"TrialComponentName": "x", "MetricData": [{"MetricName": "a", "Timestamp": 1, "Value": 1.0}]},
        ),
        ("sagemaker-edge", "get_device_registration", {"DeviceName": "ab", "DeviceFleetName": "ab"}),
        ("sagemaker-a2i-runtime", "list_human_loops", {"FlowDefinitionArn": _FLOW}),
        ("sagemaker-geospatial", "list_raster_data_collections", {}),
    ],
)
def test_services_that_sign_as_sagemaker_are_told_apart_by_their_paths(
    stage: Stage, service: str, method: str, members: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(_client(service, stage.url), method)(**members)
    error = caught.value.response["Error"]
    assert error["Code"] == "UnknownOperationException"
    assert f" of {service}: " in error["Message"]


def test_cbor_is_answered_in_cbor(stage: Stage) -> None:
    from botocore.parsers import create_parser

    answer = web.post(
        f"{stage.url}/service/Other/operation/Do",
        headers={
            "smithy-protocol": "rpc-v2-cbor",
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/other/aws4_request, "
            "SignedHeaders=host, Signature=0",
        },
        content=b"\xa0",
    )
    parsed = create_parser("smithy-rpc-v2-cbor").parse(
        {"status_code": answer.status_code, "headers": answer.headers, "body": answer.content}, None
    )
    assert parsed["Error"]["Code"] == "UnknownOperationException"
    assert "does not serve" in parsed["Error"]["Message"]


def test_a_browser_still_gets_its_page(stage: Stage) -> None:
    answer = web.get(stage.url, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
