"""Every operation: requests are written by botocore's own serialiser, replies read by its own parser."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from service.errors import SerializationFault, ValidationFault
from service.http.reply import Reply
from service.wire.protocols.json import JsonProtocol, JsonRpc
from service.wire.spec import Service, build_service
from tests.wire.legal_values import LegalValues

_VARIANT = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


@pytest.fixture(scope="module")
def botocore_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@pytest.fixture(scope="module")
def rpc(sagemaker: Service) -> JsonProtocol:
    return JsonProtocol(sagemaker)


@pytest.fixture(scope="module")
def create_config(rpc: JsonProtocol) -> JsonRpc:
    return _operation(rpc, "CreateEndpointConfig")


def _operation(rpc: JsonProtocol, name: str) -> JsonRpc:
    operation = rpc.operation(name)
    assert operation is not None
    return operation


def _parsed(model: ServiceModel, operation: str, reply: Reply) -> dict[str, Any]:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    parsed: dict[str, Any] = create_parser("json").parse(
        {"status_code": reply.status, "headers": headers, "body": reply.body},
        model.operation_model(operation).output_shape,
    )
    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    return parsed


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("lean", [False, True], ids=["all members", "required members"])
def test_every_request_that_botocore_writes_is_read_back_equal(
    rpc: JsonProtocol, botocore_model: ServiceModel, *, lean: bool
) -> None:
    assert set(rpc.spec.operations) == set(botocore_model.operation_names)
    serializer = create_serializer("json")
    for name, operation in rpc.spec.operations.items():
        values = LegalValues(seed=1, lean=lean)
        request = values.value(operation.input) if operation.input else {}
        sent = serializer.serialize_to_request(request, botocore_model.operation_model(name))
        assert (sent["method"], sent["url_path"]) == ("POST", "/")
        assert sent["headers"]["X-Amz-Target"] == f"{rpc.spec.target_prefix}.{name}"
        assert sent["headers"]["Content-Type"].encode() == rpc.content_type
        assert _operation(rpc, name).read(sent["body"]) == request, name


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("lean", [False, True], ids=["all members", "required members"])
def test_every_reply_is_read_by_botocore_as_it_was_meant(
    rpc: JsonProtocol, botocore_model: ServiceModel, *, lean: bool
) -> None:
    for name, operation in rpc.spec.operations.items():
        values = LegalValues(seed=2, lean=lean)
        output = values.value(operation.output) if operation.output else {}
        reply = _operation(rpc, name).write(output)
        assert _parsed(botocore_model, name, reply) == output, name
        assert reply.headers == [(b"Content-Type", b"application/x-amz-json-1.1")]
        assert (reply.body == b"") == (operation.output is None)


def test_an_operation_is_compiled_once_and_only_if_the_model_has_it(rpc: JsonProtocol) -> None:
    assert rpc.operation("DescribeEndpoint") is rpc.operation("DescribeEndpoint")
    assert rpc.operation("DescribeEverything") is None
    rpc.prepare(["ListEndpoints", "DescribeEverything"])
    assert rpc.operation("DescribeEverything") is None


def test_a_service_may_have_no_prefix_and_operations_no_members() -> None:
    model = {
        "metadata": {"protocol": "json", "jsonVersion": "1.0"},
        "operations": {"Do": {"http": {"method": "POST", "requestUri": "/"}}},
        "shapes": {},
    }
    rpc = JsonProtocol(build_service("tiny", model))
    assert rpc.spec.target_prefix is None
    operation = _operation(rpc, "Do")
    assert operation.read(b'{"Anything":1}') == {}
    assert operation.write({}) == Reply(200, [(b"Content-Type", b"application/x-amz-json-1.0")], b"")


@pytest.mark.provenance("botocore")
def test_times_are_written_to_the_millisecond_and_read_as_number_or_text(
    rpc: JsonProtocol, botocore_model: ServiceModel
) -> None:
    when = datetime(2018, 4, 10, 20, 12, 11, 317_000, tzinfo=UTC)
    described = _operation(rpc, "DescribeModel").write({"CreationTime": when})
    assert described.body == b'{"CreationTime":1523391131.317}'
    assert _parsed(botocore_model, "DescribeModel", described) == {"CreationTime": when}
    listed = _operation(rpc, "ListModels")
    for text in ("1523391131.317", '"2018-04-10T20:12:11.317Z"', '"2018-04-10T22:12:11.317+02:00"'):
        assert listed.read(b'{"CreationTimeAfter":' + text.encode() + b"}") == {"CreationTimeAfter": when}


def test_null_and_unknown_members_are_absent(rpc: JsonProtocol) -> None:
    body = b'{"NameContains":null,"SortedByMood":true,"MaxResults":7}'
    assert _operation(rpc, "ListModels").read(body) == {"MaxResults": 7}
    assert _operation(rpc, "ListModels").read(b"") == {}


@pytest.mark.provenance("observed")
def test_all_violations_are_told_in_one_answer(create_config: JsonRpc) -> None:
    variant = {**_VARIANT, "InitialInstanceCount": 0, "ModelName": "-m"}
    del variant["VariantName"]
    body = json.dumps({"ProductionVariants": [_VARIANT, variant]}).encode()
    with pytest.raises(ValidationFault) as caught:
        create_config.read(body)
    assert caught.value.message == (
        "4 validation errors detected: Value null at 'endpointConfigName' failed to satisfy constraint: "
        "Member must not be null; "
        "Value null at 'productionVariants.2.member.variantName' failed to satisfy constraint: "
        "Member must not be null; "
        "Value '-m' at 'productionVariants.2.member.modelName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?; "
        "Value '0' at 'productionVariants.2.member.initialInstanceCount' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"EndpointConfigName":7}',
        b'{"EndpointConfigName":"\\ud800"}',
        b'{"EndpointConfigName":"a","EndpointConfigName":"b"}',
        b'{"ProductionVariants":[{"InitialInstanceCount":1e999}]}',
        b'{"ProductionVariants":[{"InitialInstanceCount":' + b"9" * 5000 + b"}]}",
        b'{"ProductionVariants":[{"InitialInstanceCount":' + b"9" * 4000 + b"}]}",
        b'{"ProductionVariants":[{"InitialVariantWeight":1e999}]}',
        b'{"ProductionVariants":[{"InitialVariantWeight":NaN}]}',
        b'{"ProductionVariants":{"member":{}}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"ProductionVariants":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_what_is_not_the_model_s_json_is_refused(create_config: JsonRpc, body: bytes) -> None:
    with pytest.raises(SerializationFault):
        create_config.read(body)


def test_a_pair_of_surrogates_is_a_character(rpc: JsonProtocol) -> None:
    body = b'{"ModelName":"m","ExecutionRoleArn":"arn:aws:iam::123456789012:role/r","PrimaryContainer":' + (
        b'{"Environment":{"K":"\\ud83d\\udc26 \\\\ud800"}}}'
    )
    read = _operation(rpc, "CreateModel").read(body)
    assert read["PrimaryContainer"]["Environment"] == {"K": "\U0001f426 \\ud800"}


def test_a_number_that_json_has_no_word_for_travels_as_text(create_config: JsonRpc) -> None:
    body = {
        "EndpointConfigName": "c",
        "ProductionVariants": [{**_VARIANT, "InitialVariantWeight": "Infinity"}],
    }
    read = create_config.read(json.dumps(body).encode())
    assert read["ProductionVariants"][0]["InitialVariantWeight"] == math.inf


@pytest.mark.parametrize(
    ("many", "count"),
    [
        (lambda: {"EndpointConfigName": "c" * 1_000_000, "ProductionVariants": [_VARIANT]}, 1),
        (lambda: {"EndpointConfigName": "c", "ProductionVariants": [{"InstanceType": "x"}] * 40_000}, 21),
        (lambda: {"EndpointConfigName": "c", "ProductionVariants": [7] * 40_000}, None),
    ],
    ids=["a name of a million characters", "40,000 bad variants", "40,000 numbers"],
)
def test_the_answer_to_a_huge_request_is_small(
    create_config: JsonRpc, many: Callable[[], dict[str, Any]], count: int | None
) -> None:
    with pytest.raises(SerializationFault if count is None else ValidationFault) as caught:
        create_config.read(json.dumps(many()).encode())
    assert len(caught.value.message) <= 65_536
    if count is not None:
        assert caught.value.message.startswith(f"{count} validation error")
