"""Requests are written by botocore's own serialiser and replies read by its own parser."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from unicodedata import category

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.response import StreamingBody
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import SagebirdError, SerializationFault, StartupError, ValidationFault
from service.http.reply import Reply
from service.wire.protocols.rest_json import RestJson, compile_operation
from service.wire.spec import Operation, Service

OperationOf = Callable[..., Operation]

_WHEN = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
_ENDPOINT = {"EndpointName": "my-endpoint"}


@pytest.fixture(scope="module")
def botocore_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sagemaker-runtime", "service-2"), "sagemaker-runtime")


@pytest.fixture(scope="module")
def invoke(runtime: Service) -> RestJson:
    return compile_operation(runtime.operations["InvokeEndpoint"])


def _sent_by_botocore(
    model: ServiceModel, operation: Operation, params: dict[str, Any]
) -> tuple[dict[str, str], list[tuple[bytes, bytes]], bytes]:
    request = create_serializer("rest-json").serialize_to_request(
        params, model.operation_model(operation.name)
    )
    template = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.path)
    match = re.fullmatch(template, request["url_path"])
    assert match is not None
    headers = [
        (name.lower().encode("latin-1"), str(value).encode("latin-1"))
        for name, value in request["headers"].items()
    ]
    return match.groupdict(), headers, request["body"] or b""


def _parsed_by_botocore(model: ServiceModel, operation: str, reply: Reply) -> dict[str, Any]:
    headers = HeadersDict({name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers})
    described = model.operation_model(operation)
    streamed = described.has_streaming_output
    # As botocore's client does: a blob that is the whole body reaches the parser as a stream.
    body = StreamingBody(BytesIO(reply.body), len(reply.body)) if streamed else reply.body
    parsed: dict[str, Any] = create_parser("rest-json").parse(
        {"status_code": reply.status, "headers": headers, "body": body}, described.output_shape
    )
    if streamed:
        parsed["Body"] = parsed["Body"].read()
    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == reply.status
    return parsed


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("InvokeEndpoint", {"Body": b""}),
        ("InvokeEndpoint", {"Body": b"1,2\n", "ContentType": "text/csv", "Accept": "application/json"}),
        (
            "InvokeEndpoint",
            {
                "Body": bytes(range(256)),
                "CustomAttributes": "trace=1; a b",
                "TargetModel": "folder/model.tar.gz",
                "TargetVariant": "A-1",
                "TargetContainerHostname": "second",
                "InferenceId": "id 1",
                "EnableExplanations": "`true`",
                "InferenceComponentName": "ic-1",
                "SessionId": "NEW_SESSION",
            },
        ),
        ("InvokeEndpointAsync", {"InputLocation": "s3://bucket/key"}),
        (
            "InvokeEndpointAsync",
            {
                "InputLocation": "https://host/key",
                "ContentType": "text/csv",
                "Accept": "*/*",
                "CustomAttributes": "x",
                "InferenceId": "i",
                "RequestTTLSeconds": 60,
                "InvocationTimeoutSeconds": 3600,
            },
        ),
        (
            "InvokeEndpointWithResponseStream",
            {"Body": b"hi", "ContentType": "text/plain", "Accept": "text/plain", "SessionId": "s-1"},
        ),
    ],
)
def test_a_request_of_botocore_is_read_back_equal(
    runtime: Service, botocore_model: ServiceModel, name: str, params: dict[str, Any]
) -> None:
    operation = runtime.operations[name]
    sent = _sent_by_botocore(botocore_model, operation, {**_ENDPOINT, **params})
    assert compile_operation(operation).read(*sent) == {**_ENDPOINT, **params}


@pytest.mark.provenance("botocore")
def test_every_request_member_of_the_runtime_travels_as_botocore_sends_it(
    runtime: Service, botocore_model: ServiceModel
) -> None:
    values = {"InputLocation": "s3://b/k", "Filename": "a.csv", "EnableExplanations": "x"}
    for operation in runtime.operations.values():
        assert operation.input is not None
        for member in operation.input.members.values():
            value: Any = {"integer": 100, "blob": b"x"}.get(member.shape.kind, values.get(member.name, "a1"))
            params: dict[str, Any] = dict.fromkeys(operation.input.required, "a1") | {member.name: value}
            if "Body" in params:
                params["Body"] = b"x"
            sent = _sent_by_botocore(botocore_model, operation, params)
            if "InputLocation" in params and member.name != "InputLocation":
                params["InputLocation"] = "s3://b/k"  # required by older botocore
                sent = _sent_by_botocore(botocore_model, operation, params)
            assert compile_operation(operation).read(*sent) == params


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("InvokeEndpoint", {"Body": b""}),
        (
            "InvokeEndpoint",
            {
                "Body": b'{"a":1}',
                "ContentType": "application/json",
                "InvokedProductionVariant": "AllTraffic",
                "CustomAttributes": "trace=1",
                "NewSessionId": "id; Expires=2024-01-01T00:00:00Z",
                "ClosedSessionId": "id",
            },
        ),
        (
            "InvokeEndpointAsync",
            {"InferenceId": "i", "OutputLocation": "s3://b/o.out", "FailureLocation": "s3://b/e"},
        ),
        ("InvokeEndpointAsync", {"InferenceId": "ü\u2028"}),
    ],
)
def test_a_reply_is_parsed_equal_by_botocore(
    runtime: Service, botocore_model: ServiceModel, name: str, output: dict[str, Any]
) -> None:
    reply = compile_operation(runtime.operations[name]).write(output)
    assert _parsed_by_botocore(botocore_model, name, reply) == output


@pytest.mark.provenance("documented")
def test_headers_are_spelled_as_aws_spells_them(runtime: Service, invoke: RestJson) -> None:
    reply = invoke.write({"Body": b"1", "InvokedProductionVariant": "A", "ContentType": None})
    assert reply == Reply(200, [(b"x-Amzn-Invoked-Production-Variant", b"A")], b"1")
    asynchronous = compile_operation(runtime.operations["InvokeEndpointAsync"])
    assert asynchronous.write({"InferenceId": "i", "OutputLocation": "s3://o"}) == Reply(
        202,
        [(b"X-Amzn-SageMaker-OutputLocation", b"s3://o"), (b"Content-Type", b"application/json")],
        b'{"InferenceId":"i"}',
    )


@pytest.mark.provenance("documented")
def test_a_stream_has_its_own_content_type_headers(runtime: Service) -> None:
    stream = compile_operation(runtime.operations["InvokeEndpointWithResponseStream"])
    reply = stream.write({"ContentType": "text/plain", "InvokedProductionVariant": "A"})
    assert reply.body == b""
    assert dict(reply.headers) == {
        b"X-Amzn-SageMaker-Content-Type": b"text/plain",
        b"x-Amzn-Invoked-Production-Variant": b"A",
        b"Content-Type": b"application/vnd.amazon.eventstream",
    }
    request = [(b"accept", b"no/no"), (b"x-amzn-sagemaker-accept", b"text/plain"), (b"content-type", b"a/b")]
    assert stream.read(_ENDPOINT, request, b"") == {
        **_ENDPOINT,
        "Accept": "text/plain",
        "ContentType": "a/b",
        "Body": b"",
    }


def test_the_body_is_handed_on_and_not_copied(invoke: RestJson) -> None:
    body = bytes(1000)
    assert invoke.read(_ENDPOINT, [], body)["Body"] is body
    assert invoke.write({"Body": body}).body is body


def test_unknown_headers_and_labels_are_ignored(invoke: RestJson) -> None:
    values = invoke.read({**_ENDPOINT, "Other": "x"}, [(b"host", b"\xff"), (b"x-amzn", b"")], b"")
    assert values == {**_ENDPOINT, "Body": b""}


def test_a_header_given_twice_is_a_list(runtime: Service, invoke: RestJson) -> None:
    assert invoke.read(_ENDPOINT, [(b"accept", b"a/b"), (b"accept", b"c/d")], b"")["Accept"] == "a/b, c/d"
    asynchronous = compile_operation(runtime.operations["InvokeEndpointAsync"])
    ttl = (b"x-amzn-sagemaker-requestttlseconds", b"60")
    with pytest.raises(SerializationFault, match="requestTTLSeconds"):
        asynchronous.read(_ENDPOINT, [ttl, ttl], b"")


def test_header_text_is_latin_1(invoke: RestJson) -> None:
    request = [(b"x-amzn-sagemaker-enable-explanations", b"\xe9")]
    assert invoke.read(_ENDPOINT, request, b"")["EnableExplanations"] == "é"


@pytest.mark.provenance("documented")
def test_a_missing_endpoint_name_is_null(invoke: RestJson) -> None:
    with pytest.raises(ValidationFault) as caught:
        invoke.read({}, [], b"")
    assert caught.value.message == (
        "1 validation error detected: Value null at 'endpointName' failed to satisfy constraint: "
        "Member must not be null"
    )


def test_all_violations_are_told_at_once(invoke: RestJson) -> None:
    request = [(b"x-amzn-sagemaker-target-model", b""), (b"content-type", b"\xe9")]
    with pytest.raises(ValidationFault, match=r"^4 validation errors detected: ") as caught:
        invoke.read({"EndpointName": "-"}, request, b"")
    places = re.findall(r"at '(\w+)'", caught.value.message)
    assert places == ["endpointName", "contentType", "targetModel", "targetModel"]


@pytest.mark.provenance("botocore")
def test_async_needs_no_body_and_an_empty_one_is_none(runtime: Service) -> None:
    asynchronous = compile_operation(runtime.operations["InvokeEndpointAsync"])
    location = [(b"x-amzn-sagemaker-inputlocation", b"s3://b/k")]
    assert asynchronous.read(_ENDPOINT, location, b"") == {**_ENDPOINT, "InputLocation": "s3://b/k"}


@settings(deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    b"content-type",
                    b"accept",
                    b"x-amzn-sagemaker-custom-attributes",
                    b"x-amzn-sagemaker-target-model",
                    b"x-amzn-sagemaker-session-id",
                    b"x-amzn-sagemaker-inference-id",
                    b"x-amzn-sagemaker-requestttlseconds",
                    b"x-amzn-sagemaker-filename",
                ]
            )
            | st.binary(max_size=9),
            st.binary(max_size=30),
        )
    ),
    st.text(max_size=5),
    st.binary(max_size=9),
)
def test_no_bytes_make_reading_raise_anything_unexpected(
    runtime: Service, headers: list[tuple[bytes, bytes]], endpoint: str, body: bytes
) -> None:
    for operation in runtime.operations.values():
        with suppress(SagebirdError):
            compile_operation(operation).read({"EndpointName": endpoint}, headers, body)


@settings(deadline=None, derandomize=True)
@given(st.text(st.characters(max_codepoint=0x17F), max_size=20) | st.text(max_size=20))
def test_no_text_smuggles_a_header_into_a_reply(invoke: RestJson, text: str) -> None:
    if any(category(character) == "Cc" or ord(character) > 255 for character in text):
        with pytest.raises(ValidationFault):
            invoke.write({"Body": b"", "CustomAttributes": text})
    else:
        headers = invoke.write({"Body": b"", "CustomAttributes": text}).headers
        assert headers == [(b"X-Amzn-SageMaker-Custom-Attributes", text.encode("latin-1"))]


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\n", "\r", "\x00", "\t", "\x7f", "\x85", "€", "\ud800"])
def test_control_characters_and_foreign_ones_are_refused_without_an_echo(invoke: RestJson, text: str) -> None:
    with pytest.raises(ValidationFault) as caught:
        invoke.write({"Body": b"", "CustomAttributes": text})
    assert caught.value.message == (
        "Value at 'customAttributes' can not be sent in the header X-Amzn-SageMaker-Custom-Attributes: "
        "it holds control characters or characters that are not in ISO-8859-1."
    )


@pytest.mark.parametrize("text", ["", "\xa0é\xad"])
def test_latin_1_text_is_sent(invoke: RestJson, text: str) -> None:
    (header,) = invoke.write({"CustomAttributes": text}).headers
    assert header[1] == text.encode("latin-1")


_FIELDS: Mapping[str, dict[str, Any]] = {
    "Name": {"shape": "Whole", "location": "uri", "locationName": "Name"},
    "Flag": {"shape": "Flag", "location": "header", "locationName": "X-Flag"},
    "When": {"shape": "When", "location": "header", "locationName": "X-When"},
    "Whole": {"shape": "Whole", "location": "header", "locationName": "X-Whole"},
    "Note": {"shape": "Text"},
}
_SCALARS: Mapping[str, dict[str, Any]] = {
    "Whole": {"type": "integer"},
    "Flag": {"type": "boolean"},
    "When": {"type": "timestamp"},
    "Text": {"type": "string"},
}


def test_members_without_a_place_are_the_json_body(operation_of: OperationOf) -> None:
    reply = {"type": "structure", "members": {name: one for name, one in _FIELDS.items() if name != "Name"}}
    operation = compile_operation(
        operation_of("Out", In={"type": "structure", "members": dict(_FIELDS)}, Out=reply, **_SCALARS)
    )
    sent = [(b"x-flag", b"true"), (b"x-when", b"Tue, 14 Nov 2023 22:13:20 GMT"), (b"x-whole", b"-1")]
    values = operation.read({"Name": "7"}, sent, b'{"Note":"n"}')
    assert values == {"Name": 7, "Flag": True, "When": _WHEN, "Whole": -1, "Note": "n"}
    assert operation.write(values) == Reply(
        200,
        [
            (b"X-Flag", b"true"),
            (b"X-When", b"Tue, 14 Nov 2023 22:13:20 GMT"),
            (b"X-Whole", b"-1"),
            (b"Content-Type", b"application/json"),
        ],
        b'{"Note":"n"}',
    )
    assert operation.write({"Flag": False}).headers[0] == (b"X-Flag", b"false")
    with pytest.raises(SerializationFault, match="at 'name'"):
        operation.read({"Name": "x"}, [], b"")


def test_a_payload_may_be_a_document(operation_of: OperationOf) -> None:
    holder = {"type": "structure", "members": {"Doc": {"shape": "Doc"}}, "payload": "Doc"}
    document = {"type": "structure", "members": {"Note": {"shape": "Text"}}}
    operation = compile_operation(operation_of("In", In=holder, Doc=document, **_SCALARS))
    assert operation.read({}, [], b'{"Note":"n"}') == {"Doc": {"Note": "n"}}
    assert operation.read({}, [], b"") == {}
    assert operation.write({"Doc": {"Note": "n"}}).body == b'{"Note":"n"}'
    assert operation.write({}).body == b"{}"


def test_a_payload_may_be_text(operation_of: OperationOf) -> None:
    holder = {
        "type": "structure",
        "members": {"Note": {"shape": "Text"}},
        "payload": "Note",
        "required": ["Note"],
    }
    operation = compile_operation(operation_of("In", In=holder, **_SCALARS))
    assert operation.read({}, [], "é".encode()) == {"Note": "é"}
    assert operation.read({}, [], b"") == {"Note": ""}
    assert operation.write({"Note": "é"}).body == "é".encode()
    with pytest.raises(SerializationFault, match="UTF-8"):
        operation.read({}, [], b"\xff")


def test_an_operation_may_take_and_give_nothing(operation_of: OperationOf) -> None:
    headers_only = {"type": "structure", "members": {"Whole": _FIELDS["Whole"]}}
    operation = compile_operation(operation_of("In", In=headers_only, **_SCALARS))
    assert operation.read({}, [], b"whatever") == {}
    assert operation.write({"Whole": 0}) == Reply(200, [(b"X-Whole", b"0")], b"")
    silent = compile_operation(Operation("Do", "POST", "/", 200, None, None, {}))
    assert silent.read({}, [(b"accept", b"x")], b"whatever") == {}
    assert silent.write({}) == Reply(200, [], b"")


@pytest.mark.parametrize("location", ["querystring", "headers", "statusCode"])
def test_a_place_that_is_not_served_stops_the_start(operation_of: OperationOf, location: str) -> None:
    member = {"shape": "Text", "location": location, "locationName": "x"}
    with pytest.raises(
        StartupError, match=f"Do: the member A travels in the {location}, which is not served yet"
    ):
        compile_operation(operation_of(In={"type": "structure", "members": {"A": member}}, **_SCALARS))
