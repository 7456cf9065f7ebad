"""RPC over CBOR, byte by byte against botocore's own serializer and parser."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from service.errors import SerializationFault, ServiceFault, UnknownOperation, ValidationFault
from service.http.reply import Asked, Reply
from service.wire.protocols.cbor import CborFaults, CborProtocol, read_path
from service.wire.spec import load_service

_NOON = datetime(2026, 1, 2, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def cloudwatch() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("cloudwatch", "service-2"), "cloudwatch")


@pytest.fixture(scope="module")
def protocol() -> CborProtocol:
    return CborProtocol(load_service("cloudwatch"))


def asked(body: bytes) -> Asked:
    return Asked([(b"smithy-protocol", b"rpc-v2-cbor")], body, "id-1")


def parsed(reply: Reply, shape: Any) -> Any:
    headers = HeadersDict({name.decode(): value.decode() for name, value in reply.headers})
    assert headers["smithy-protocol"] == "rpc-v2-cbor"
    answer = {"status_code": reply.status, "headers": headers, "body": reply.body}
    return create_parser("smithy-rpc-v2-cbor").parse(answer, shape)


@pytest.mark.provenance("botocore")
def test_the_path_that_botocore_writes_names_service_and_operation(cloudwatch: ServiceModel) -> None:
    sent = create_serializer("smithy-rpc-v2-cbor").serialize_to_request(
        {}, cloudwatch.operation_model("ListMetrics")
    )
    assert read_path(sent["url_path"]) == ("GraniteServiceVersion20100801", "ListMetrics")
    assert read_path("/service/com.amazonaws.x.Granite/operation/Do") == ("Granite", "Do")


@pytest.mark.parametrize(
    "path", ["/", "/service/a/operation/", "/service/a/operation/b/c", "/service/a b/operation/c"]
)
def test_other_paths_name_nothing(path: str) -> None:
    assert read_path(path) is None


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("ListMetrics", {}),
        ("ListMetrics", {"Dimensions": [{"Name": "a", "Value": "ü"}], "IncludeLinkedAccounts": True}),
        ("PutMetricAlarm", {"AlarmName": "a", "ActionsEnabled": False, "Threshold": -1.5, "Period": 86_400}),
        ("GetMetricData", {"MetricDataQueries": [], "StartTime": _NOON, "EndTime": _NOON}),
        (
            "PutMetricData",
            {
                "Namespace": "n",
                "MetricData": [
                    {"MetricName": "m", "Values": [1.0, 2.5], "Counts": [1.0, 2.0], "Timestamp": _NOON}
                ],
                "EntityMetricData": [{"Entity": {"KeyAttributes": {"Type": "t", "Name": "n"}}}],
            },
        ),
    ],
)
def test_members_that_botocore_writes_are_read(
    cloudwatch: ServiceModel, protocol: CborProtocol, operation: str, members: dict[str, Any]
) -> None:
    model = cloudwatch.operation_model(operation)
    sent = create_serializer("smithy-rpc-v2-cbor").serialize_to_request(members, model)
    assert protocol.read(operation, asked(sent["body"])) == members


@pytest.mark.provenance("botocore")
def test_botocore_reads_lists_maps_times_and_numbers(
    cloudwatch: ServiceModel, protocol: CborProtocol
) -> None:
    datapoint = {
        "Timestamp": _NOON,
        "Sum": 1e-7,
        "ExtendedStatistics": {"p99": 2.0, "p50": 1.5},
        "Unit": "None",
    }
    output = {"Label": "<m>", "Datapoints": [datapoint, {"Timestamp": _NOON, "Sum": 3}]}
    shape = cloudwatch.operation_model("GetMetricStatistics").output_shape
    told = parsed(protocol.write("GetMetricStatistics", output, "id"), shape)
    assert told.pop("ResponseMetadata")["HTTPHeaders"]["content-type"] == "application/cbor"
    assert told == output


@pytest.mark.provenance("botocore")
def test_an_operation_without_output_has_no_body(protocol: CborProtocol) -> None:
    reply = protocol.write("PutMetricData", {}, "id")
    assert reply.body == b""
    assert "Error" not in parsed(reply, None)


@pytest.mark.provenance("botocore")
def test_an_error_has_its_shapes_name_and_the_code_that_forms_are_told(protocol: CborProtocol) -> None:
    fault = ServiceFault("InvalidParameterValue", "x" * 70_000)
    reply = protocol.write_fault(fault, asked(b""))
    told = parsed(reply, None)
    assert reply.status == 400
    assert b"InvalidParameterValueException" in reply.body
    assert told["Error"]["Code"] == "InvalidParameterValue"
    assert told["Error"]["Message"] == "x" * 70_000


@pytest.mark.provenance("botocore")
def test_an_error_of_a_service_that_is_not_served_is_readable_too() -> None:
    told = parsed(CborFaults().write_fault(UnknownOperation("none such"), asked(b"")), None)
    assert (told["Error"]["Code"], told["Error"]["Message"]) == ("UnknownOperationException", "none such")


@pytest.mark.parametrize("body", [b"\xff", b"\x80", b"\xa1\x61a", b"{}", b"\xa1\x6aAlarmNames\x80\x00"])
def test_a_body_that_is_none_is_refused(protocol: CborProtocol, body: bytes) -> None:
    with pytest.raises((SerializationFault, ValidationFault)):
        protocol.read("DeleteAlarms", asked(body))
