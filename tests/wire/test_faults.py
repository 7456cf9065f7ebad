import json
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import (
    CallerError,
    ModelError,
    ModelNotReady,
    PayloadTooLarge,
    ResourceInUse,
    ResourceLimitExceeded,
    ResourceNotFound,
    SagebirdError,
    SerializationFault,
    Unavailable,
    UnknownOperation,
    ValidationFault,
)
from service.http.reply import Asked, Reply
from service.wire.protocols.json import JsonProtocol
from service.wire.protocols.query import QueryCall, QueryFaults
from service.wire.protocols.rest_json import fault_reply
from service.wire.spec import Service

_ID = "5ae4f3b2-0000-4000-8000-000000000000"
_MODEL_ERROR = {
    "LogStreamArn": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e",
    "OriginalStatusCode": 400,
    "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
    "OriginalMessage": "bad input",
}


def json_fault_reply(error: BaseException, service: Service, request_id: str, sent: bytes) -> Reply:
    return JsonProtocol(service).write_fault(error, Asked([(b"content-type", sent)], b"", request_id))


def query_fault_reply(error: BaseException, call: QueryCall, request_id: str) -> Reply:
    body = f"Action={call.action}&Version={call.version}".encode()
    form = (b"content-type", b"application/x-www-form-urlencoded")
    return QueryFaults().write_fault(error, Asked([form], body, request_id))


class _DependencyFault(SagebirdError):
    code = "InternalDependencyException"


class _Unmodelled(CallerError):
    code = "NobodyKnows"


def _parsed(reply: Reply) -> dict[str, Any]:
    model = ServiceModel(Loader().load_service_model("sagemaker-runtime", "service-2"), "sagemaker-runtime")
    headers = HeadersDict({name.decode(): value.decode() for name, value in reply.headers})
    parsed: dict[str, Any] = create_parser("rest-json").parse(
        {"status_code": reply.status, "headers": headers, "body": reply.body},
        model.operation_model("InvokeEndpoint").output_shape,
    )
    code = parsed["Error"]["Code"]
    shape = model.shape_for_error_code(code)
    if shape is not None:  # as botocore's client does for modelled errors
        parsed.update(
            create_parser("rest-json").parse(
                {"status_code": reply.status, "headers": headers, "body": reply.body}, shape
            )
        )
    return parsed


@pytest.mark.provenance("observed")
def test_a_model_error_has_the_body_of_the_contract(runtime: Service) -> None:
    message = (
        'Received client error (400) from primary with message "bad input". See '
        "the log in account 123456789012 for more information."
    )
    reply = fault_reply(ModelError(message, **_MODEL_ERROR), runtime, _ID)
    assert reply.status == 424
    assert reply.headers == [
        (b"x-amzn-RequestId", _ID.encode()),
        (b"x-amzn-ErrorType", b"ModelError"),
        (b"Content-Type", b"application/json"),
    ]
    assert reply.body == (
        b'{"ErrorCode":"CLIENT_ERROR_FROM_MODEL",'
        b'"LogStreamArn":"arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e",'
        b'"Message":"Received client error (400) from primary with message \\"bad input\\". See '
        b'the log in account 123456789012 for more information.",'
        b'"OriginalMessage":"bad input","OriginalStatusCode":400}'
    )


@pytest.mark.provenance("botocore")
def test_botocore_reads_every_member_of_a_model_error(runtime: Service) -> None:
    parsed = _parsed(fault_reply(ModelError("text", **_MODEL_ERROR), runtime, _ID))
    assert parsed["Error"] == {"Code": "ModelError", "Message": "text"}
    assert parsed["ResponseMetadata"]["RequestId"] == _ID
    for name in ("LogStreamArn", "OriginalMessage", "OriginalStatusCode"):
        assert parsed[name] == _MODEL_ERROR[name]


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValidationFault("m"), 400, "ValidationError"),
        (ModelError("m"), 424, "ModelError"),
        (ModelNotReady("m"), 429, "ModelNotReadyException"),
        (SagebirdError("m"), 500, "InternalFailure"),
        (Unavailable("m"), 503, "ServiceUnavailable"),
        (_DependencyFault("m"), 530, "InternalDependencyException"),
    ],
)
def test_a_modelled_error_has_the_model_s_status(
    runtime: Service, error: SagebirdError, status: int, code: str
) -> None:
    reply = fault_reply(error, runtime, _ID)
    assert (reply.status, reply.body) == (status, b'{"Message":"m"}')
    assert _parsed(reply)["Error"] == {"Code": code, "Message": "m"}


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    ("error", "status"),
    [(UnknownOperation("m"), 404), (SerializationFault("m"), 400), (_Unmodelled("m"), 400)],
)
def test_an_error_that_no_model_declares_has_a_status_too(
    runtime: Service, error: SagebirdError, status: int
) -> None:
    reply = fault_reply(error, runtime, _ID)
    assert reply.status == status
    assert _parsed(reply)["Error"] == {"Code": error.code, "Message": "m"}


@pytest.mark.provenance("observed")
def test_a_missing_endpoint_is_answered_as_aws_does(runtime: Service) -> None:
    error = ValidationFault("Endpoint e of account 123456789012 not found.", ErrorCode="NO_SUCH_ENDPOINT")
    reply = fault_reply(error, runtime, _ID)
    assert reply.status == 400
    assert reply.body == (
        b'{"ErrorCode":"NO_SUCH_ENDPOINT","Message":"Endpoint e of account 123456789012 not found."}'
    )


@pytest.mark.provenance("observed")
def test_too_large_a_body_is_answered_in_plain_text(runtime: Service) -> None:
    reply = fault_reply(PayloadTooLarge(5246976), runtime, _ID)
    assert reply == Reply(
        413,
        [(b"x-amzn-RequestId", _ID.encode()), (b"Content-Type", b"text/plain")],
        b"HTTP content length exceeded 5246976 bytes.",
    )
    assert _parsed(reply)["Error"]["Code"] == "413"


@pytest.mark.provenance("observed")
def test_status_zero_of_a_timeout_is_told_and_none_is_not(runtime: Service) -> None:
    reply = fault_reply(ModelError("m", OriginalStatusCode=0, LogStreamArn=None), runtime, _ID)
    assert reply.body == b'{"Message":"m","OriginalStatusCode":0}'


@pytest.mark.provenance("botocore")
def test_long_texts_are_cut_where_the_model_says(runtime: Service) -> None:
    error = ModelError("é" * 3000, OriginalMessage="\U0001f600" * 3000, LogStreamArn="a" * 3000)
    body = json.loads(fault_reply(error, runtime, _ID).body)
    assert body["Message"] == "é" * 2048
    assert body["OriginalMessage"] == "\U0001f600" * 2048
    stream = runtime.error_shapes["ModelError"].shape.members["LogStreamArn"].shape.maximum
    assert len(body["LogStreamArn"]) == (stream or 3000)


@pytest.mark.parametrize("error", [KeyError("secret"), RecursionError("secret"), KeyboardInterrupt("secret")])
def test_a_bug_tells_its_request_id_and_nothing_else(runtime: Service, error: BaseException) -> None:
    reply = fault_reply(error, runtime, _ID)
    assert reply.status == 500
    assert reply.body == f'{{"Message":"An internal failure occurred. Request id: {_ID}."}}'.encode()
    assert _parsed(reply)["Error"]["Code"] == "InternalFailure"


@settings(deadline=None, derandomize=True)
@given(st.text(), st.none() | st.integers() | st.floats() | st.binary() | st.text())
def test_no_message_and_no_member_breaks_the_answer(runtime: Service, message: str, member: Any) -> None:
    reply = fault_reply(ModelError(message, OriginalMessage=member), runtime, _ID)
    body = json.loads(reply.body)
    assert body["Message"] == message[:2048].encode("utf-8", "replace").decode("utf-8")
    assert ("OriginalMessage" in body) == (member is not None)


# JSON services

_JSON_1_1 = b"application/x-amz-json-1.1"


def _parsed_json(reply: Reply) -> dict[str, Any]:
    headers = HeadersDict({name.decode(): value.decode() for name, value in reply.headers})
    parsed: dict[str, Any] = create_parser("json").parse(
        {"status_code": reply.status, "headers": headers, "body": reply.body}, None
    )
    return parsed


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValidationFault("m"), 400, "ValidationException"),
        (ResourceInUse("m"), 400, "ResourceInUse"),
        (ResourceNotFound("m"), 400, "ResourceNotFound"),
        (ResourceLimitExceeded("m"), 400, "ResourceLimitExceeded"),
        (UnknownOperation("m"), 404, "UnknownOperationException"),
        (SerializationFault("m"), 400, "SerializationException"),
        (Unavailable("m"), 503, "ServiceUnavailable"),
        (SagebirdError("m"), 500, "InternalFailure"),
        (_Unmodelled("m"), 400, "NobodyKnows"),
    ],
)
def test_botocore_reads_code_and_message_of_a_json_error(
    sagemaker: Service, error: SagebirdError, status: int, code: str
) -> None:
    reply = json_fault_reply(error, sagemaker, _ID, _JSON_1_1)
    assert reply.status == status
    assert reply.headers == [
        (b"x-amzn-RequestId", _ID.encode()),
        (b"x-amzn-ErrorType", code.encode()),
        (b"Content-Type", _JSON_1_1),
    ]
    assert json.loads(reply.body) == {"__type": code, "message": "m", "Message": "m"}
    parsed = _parsed_json(reply)
    assert parsed["Error"] == {"Code": code, "Message": "m"}
    assert parsed["ResponseMetadata"]["RequestId"] == _ID


def test_a_json_error_carries_its_members_and_cuts_what_the_model_limits(sagemaker: Service) -> None:
    reply = json_fault_reply(ResourceInUse("a" * 2000, Other=0), sagemaker, _ID, _JSON_1_1)
    body = json.loads(reply.body)
    assert body["Message"] == body["message"] == "a" * 1024
    assert body["Other"] == 0
    violations = ValidationFault("a" * 20_000)  # lists of allowed values are long
    assert (
        len(_parsed_json(json_fault_reply(violations, sagemaker, _ID, _JSON_1_1))["Error"]["Message"])
        == 20_000
    )


@pytest.mark.provenance("guess")
def test_too_large_a_json_body_is_answered_in_json(sagemaker: Service) -> None:
    reply = json_fault_reply(PayloadTooLarge(7), sagemaker, _ID, _JSON_1_1)
    assert reply.status == 413
    assert _parsed_json(reply)["Error"] == {
        "Code": "RequestEntityTooLargeException",
        "Message": "HTTP content length exceeded 7 bytes.",
    }


@pytest.mark.parametrize("error", [KeyError("secret"), RecursionError("secret"), KeyboardInterrupt("secret")])
def test_a_bug_behind_a_json_service_tells_its_request_id_only(
    sagemaker: Service, error: BaseException
) -> None:
    reply = json_fault_reply(error, sagemaker, _ID, _JSON_1_1)
    assert reply.status == 500
    message = f"An internal failure occurred. Request id: {_ID}."
    assert json.loads(reply.body) == {"__type": "InternalFailure", "message": message, "Message": message}


# Query services


def _parsed_query(reply: Reply, version: str) -> dict[str, Any]:
    protocol = "ec2" if version == "2016-11-15" else "query"
    parsed: dict[str, Any] = create_parser(protocol).parse(
        {"status_code": reply.status, "headers": HeadersDict({}), "body": reply.body}, None
    )
    return parsed


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("version", ["2011-06-15", "2016-11-15"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnknownOperation("no <such> & \x00thing"), 400, "InvalidAction"),
        (ValidationFault("no <such> & \ud800thing"), 400, "ValidationError"),
        (Unavailable("no <such> & \uffffthing"), 503, "ServiceUnavailable"),
    ],
)
def test_botocore_reads_code_and_message_of_an_xml_error(
    error: SagebirdError, status: int, code: str, version: str
) -> None:
    reply = query_fault_reply(error, QueryCall("Do", version), _ID)
    assert reply.status == status
    parsed = _parsed_query(reply, version)
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == (code, "no <such> & ?thing")
    assert parsed["ResponseMetadata"]["RequestId"] == _ID


def test_a_bug_behind_a_query_service_tells_its_request_id_only() -> None:
    reply = query_fault_reply(KeyError("secret"), QueryCall("Do", ""), _ID)
    assert reply.status == 500
    assert _parsed_query(reply, "")["Error"] == {
        "Type": "Receiver",
        "Code": "InternalFailure",
        "Message": f"An internal failure occurred. Request id: {_ID}.",
    }
