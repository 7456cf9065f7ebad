from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from service.errors import SerializationFault, ServiceFault, UnknownOperation, ValidationFault
from service.http.reply import Asked, Reply
from service.wire.protocols.query import QueryCall, QueryProtocol, read_call
from service.wire.spec import load_service

_FORM = b"application/x-www-form-urlencoded; charset=utf-8"
_CALL = QueryCall("GetCallerIdentity", "2011-06-15")
_NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def sts() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sts", "service-2"), "sts")


@pytest.fixture(scope="module")
def cloudwatch() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("cloudwatch", "service-2"), "cloudwatch")


@pytest.fixture(scope="module")
def protocol() -> QueryProtocol:
    return QueryProtocol(load_service("cloudwatch"))


def asked(fields: Any) -> Asked:
    return Asked([(b"content-type", _FORM)], urlencode(fields).encode(), "id-1")


def parsed(reply: Reply, shape: Any) -> Any:
    answer = {"status_code": reply.status, "headers": HeadersDict({}), "body": reply.body}
    return create_parser("query").parse(answer, shape)


@pytest.mark.provenance("botocore")
def test_a_call_that_botocore_writes_is_recognised(sts: ServiceModel) -> None:
    operation = sts.operation_model("GetCallerIdentity")
    sent = create_serializer("query").serialize_to_request({}, operation)
    content_type = sent["headers"]["Content-Type"].encode()
    assert read_call(content_type, urlencode(sent["body"]).encode()) == _CALL


@pytest.mark.provenance("botocore")
def test_botocore_reads_the_answer(sts: ServiceModel) -> None:
    identity = {"UserId": "000000000000", "Account": "<&>", "Arn": "arn:aws:iam::000000000000:root"}
    reply = QueryProtocol(load_service("sts")).write(_CALL.action, identity, "id-1")
    told = parsed(reply, sts.operation_model("GetCallerIdentity").output_shape)
    assert told.pop("ResponseMetadata")["RequestId"] == "id-1"
    assert told == identity


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("ListMetrics", {}),
        ("ListMetrics", {"Dimensions": [{"Name": "a", "Value": "b&=+ü"}, {"Name": "c"}]}),
        ("DeleteAlarms", {"AlarmNames": [f"a{number}" for number in range(12)]}),
        ("PutMetricAlarm", {"AlarmName": "a", "ActionsEnabled": False, "Threshold": -1.5, "OKActions": []}),
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
    cloudwatch: ServiceModel, protocol: QueryProtocol, operation: str, members: dict[str, Any]
) -> None:
    sent = create_serializer("query").serialize_to_request(members, cloudwatch.operation_model(operation))
    assert protocol.read(operation, asked(sent["body"])) == members


@pytest.mark.provenance("botocore")
def test_botocore_reads_lists_maps_times_and_numbers(
    cloudwatch: ServiceModel, protocol: QueryProtocol
) -> None:
    datapoint = {
        "Timestamp": _NOON,
        "Sum": 1e-7,
        "ExtendedStatistics": {"p99": 2.0, "p50": 1.5},
        "Unit": "None",
    }
    output = {"Label": "<m>", "Datapoints": [datapoint, {"Timestamp": _NOON}]}
    shape = cloudwatch.operation_model("GetMetricStatistics").output_shape
    told = parsed(protocol.write("GetMetricStatistics", output, "id"), shape)
    del told["ResponseMetadata"]
    assert told == output
    empty = parsed(
        protocol.write("ListMetrics", {"Metrics": []}, "id"),
        cloudwatch.operation_model("ListMetrics").output_shape,
    )
    assert empty["Metrics"] == []


@pytest.mark.provenance("botocore")
def test_an_operation_without_output_answers_its_request_id(
    cloudwatch: ServiceModel, protocol: QueryProtocol
) -> None:
    assert (
        parsed(protocol.write("PutMetricData", {}, "id-7"), None)["ResponseMetadata"]["RequestId"] == "id-7"
    )


@pytest.mark.provenance("botocore")
def test_an_error_has_the_code_and_the_status_of_its_model(protocol: QueryProtocol) -> None:
    reply = protocol.write_fault(
        ServiceFault("ResourceNotFound", "no <alarm>"), asked({"Action": "DeleteAlarms"})
    )
    told = parsed(reply, None)
    assert reply.status == 404
    assert told["Error"] == {"Type": "Sender", "Code": "ResourceNotFound", "Message": "no <alarm>"}


@pytest.mark.parametrize(
    "fields",
    [
        [("AlarmNames", "a")],
        [("AlarmNames.member.1.x", "a")],
        [("AlarmNames.member.x", "a")],
        [("AlarmNames.member.1", "a"), ("AlarmNames.member.01", "b")],
        [("AlarmNames.member.1", "a"), ("AlarmNames.member.1", "b")],
        [("AlarmNames.member.1", "a"), ("AlarmNames.member.1.b", "b")],
        [("a", "b")] * 50_001,
    ],
)
def test_a_form_that_cannot_be_understood_is_refused(
    protocol: QueryProtocol, fields: list[tuple[str, str]]
) -> None:
    with pytest.raises(SerializationFault):
        protocol.read("DeleteAlarms", asked(fields))


def test_constraints_hold_for_forms_too(protocol: QueryProtocol) -> None:
    with pytest.raises(ValidationFault, match="alarmNames"):
        protocol.read("DeleteAlarms", asked({"Action": "DeleteAlarms"}))
    with pytest.raises(UnknownOperation):
        protocol.read("NoSuch", asked({}))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"", b"Action=GetCallerIdentity"),
        (b"application/json", b"Action=GetCallerIdentity"),
        (_FORM, b""),
        (_FORM, b"5.1,3.5"),
        (_FORM, b"Version=2011-06-15"),
        (_FORM, b"Action=%00"),
        (_FORM, b"Action=" + b"a" * 129),
        (_FORM, b"Action=\xff"),
        (_FORM, b"a=1&" * 1001 + b"Action=Do"),
    ],
)
def test_what_names_no_operation_is_no_call(content_type: bytes, body: bytes) -> None:
    assert read_call(content_type, body) is None


def test_a_call_may_lack_its_version() -> None:
    assert read_call(b"Application/X-WWW-form-urlencoded", b"Action=Do") == QueryCall("Do", "")
