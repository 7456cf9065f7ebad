import json
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import SerializationFault
from service.wire.shapes import (
    compile_reader,
    compile_writer,
    parse_text,
    read_body,
    render_json,
    write_body,
    write_timestamp,
)
from service.wire.spec import Member, Service, Shape

ShapeOf = Callable[..., Shape]

_ALL = {
    "In": {
        "type": "structure",
        "members": {
            name: {"shape": name}
            for name in (
                "Text",
                "Whole",
                "Long",
                "Real",
                "Flag",
                "Bytes",
                "When",
                "Names",
                "Ages",
                "In",
                "Either",
            )
        },
    },
    "Text": {"type": "string"},
    "Whole": {"type": "integer"},
    "Long": {"type": "long"},
    "Real": {"type": "double"},
    "Flag": {"type": "boolean"},
    "Bytes": {"type": "blob"},
    "When": {"type": "timestamp"},
    "Names": {"type": "list", "member": {"shape": "Text"}},
    "Ages": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Whole"}},
    "Either": {
        "type": "structure",
        "union": True,
        "members": {"Left": {"shape": "Text"}, "Right": {"shape": "Whole"}},
    },
}
_WHEN = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)


@pytest.fixture(scope="module")
def everything(shape_of: ShapeOf) -> Shape:
    return shape_of(**_ALL)


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DescribeEndpoint", {"EndpointName": "e"}),
        (
            "CreateModel",
            {
                "ModelName": "m",
                "PrimaryContainer": {"Image": "i", "Environment": {"A": "1", "B": ""}},
                "Tags": [{"Key": "k", "Value": "é"}],
                "EnableNetworkIsolation": False,
            },
        ),
        (
            "CreateEndpointConfig",
            {
                "EndpointConfigName": "c",
                "ProductionVariants": [
                    {"VariantName": "A", "InitialVariantWeight": 0.0, "InitialInstanceCount": 1},
                    {"VariantName": "B", "InitialVariantWeight": 0.5},
                ],
            },
        ),
        ("ListEndpoints", {"CreationTimeAfter": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "MaxResults": 10}),
        (
            "Search",
            {"Resource": "Model", "SearchExpression": {"SubExpressions": [{"SubExpressions": [{}]}]}},
        ),
    ],
)
def test_what_botocore_serialises_is_read_back_equal(
    sagemaker: Service, operation: str, params: dict[str, Any]
) -> None:
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    request = create_serializer("json").serialize_to_request(params, model.operation_model(operation))
    shape = sagemaker.operations[operation].input
    assert shape is not None
    assert read_body(compile_reader(shape), request["body"]) == params


@pytest.mark.provenance("botocore")
def test_what_is_written_botocore_parses_equal(sagemaker: Service) -> None:
    output = {
        "EndpointName": "e",
        "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e",
        "EndpointStatus": "InService",
        "CreationTime": _WHEN,
        "LastModifiedTime": 1700000001,
        "ProductionVariants": [{"VariantName": "A", "CurrentWeight": 0.0, "DeployedImages": []}],
        "FailureReason": None,
        "Unmodelled": "dropped",
    }
    shape = sagemaker.operations["DescribeEndpoint"].output
    assert shape is not None
    body = write_body(compile_writer(shape), output)
    assert b'"CreationTime":1700000000.123,' in body
    assert b'"LastModifiedTime":1700000001.0' in body
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    parsed = create_parser("json").parse(
        {"status_code": 200, "headers": {}, "body": body},
        model.operation_model("DescribeEndpoint").output_shape,
    )
    del parsed["ResponseMetadata"], output["FailureReason"], output["Unmodelled"]
    output["LastModifiedTime"] = datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
    assert parsed == output


def test_readers_and_writers_of_all_operations_compile(sagemaker: Service) -> None:
    readers: dict[Any, Any] = {}
    writers: dict[Any, Any] = {}
    for operation in sagemaker.operations.values():
        if operation.input is not None:
            assert read_body(compile_reader(operation.input, readers), b"{}") == {}
        if operation.output is not None:
            assert write_body(compile_writer(operation.output, writers), {}) == b"{}"


_PLAIN: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "Text": st.text(),
            "Whole": st.integers(-(2**31), 2**31 - 1),
            "Long": st.integers(-(2**63), 2**63 - 1),
            "Real": st.floats(allow_nan=False),
            "Flag": st.booleans(),
            "Bytes": st.binary(),
            "When": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
                lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000)
            ),
            "Names": st.lists(st.text()),
            "Ages": st.dictionaries(st.text(), st.integers(-5, 5)),
            "In": _PLAIN,
            "Either": st.one_of(
                st.fixed_dictionaries({"Left": st.text()}), st.fixed_dictionaries({"Right": st.just(0)})
            ),
        },
    )
)


@settings(deadline=None, derandomize=True)
@given(_PLAIN)
def test_writing_and_reading_lose_nothing(everything: Shape, value: dict[str, Any]) -> None:
    assert read_body(compile_reader(everything), write_body(compile_writer(everything), value)) == value


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("1970-01-01"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(_ALL)), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, derandomize=True)
@given(_JSON)
def test_no_json_breaks_the_reader(everything: Shape, value: Any) -> None:
    with suppress(SerializationFault):
        read_body(compile_reader(everything), json.dumps(value).encode())


@settings(deadline=None, derandomize=True)
@given(st.binary())
def test_no_bytes_break_the_reader(everything: Shape, body: bytes) -> None:
    with suppress(SerializationFault):
        read_body(compile_reader(everything), body)


@pytest.mark.provenance("guess")
@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("Text", 1, "NUMBER_VALUE can not be converted to a String at 'text'."),
        ("Text", True, "TRUE_VALUE can not be converted to a String at 'text'."),
        ("Whole", "1", "STRING_VALUE can not be converted to an Integer at 'whole'."),
        ("Whole", 1.5, "NUMBER_VALUE can not be converted to an Integer at 'whole'."),
        ("Whole", 2**31, "NUMBER_VALUE can not be converted to an Integer at 'whole'."),
        ("Whole", False, "FALSE_VALUE can not be converted to an Integer at 'whole'."),
        ("Long", 2**63, "NUMBER_VALUE can not be converted to a Long at 'long'."),
        ("Real", "x", "STRING_VALUE can not be converted to a Double at 'real'."),
        ("Real", True, "TRUE_VALUE can not be converted to a Double at 'real'."),
        ("Real", 10**400, "NUMBER_VALUE can not be converted to a Double at 'real'."),
        ("Flag", "true", "STRING_VALUE can not be converted to a Boolean at 'flag'."),
        ("Bytes", [], "START_ARRAY can not be converted to a Blob at 'bytes'."),
        ("Bytes", "?", "Invalid Base64 at 'bytes'."),
        ("When", {}, "START_OBJECT can not be converted to a Timestamp at 'when'."),
        ("When", "yesterday", "STRING_VALUE can not be converted to a Timestamp at 'when'."),
        ("When", 1e300, "NUMBER_VALUE can not be converted to a Timestamp at 'when'."),
        ("Names", {}, "START_OBJECT can not be converted to a List at 'names'."),
        ("Names", ["a", 1], "NUMBER_VALUE can not be converted to a String at 'names.2.member'."),
        ("Ages", [], "START_ARRAY can not be converted to a Map at 'ages'."),
        ("Ages", {"k": "x"}, "STRING_VALUE can not be converted to an Integer at 'ages.k.member'."),
        ("In", {"In": {"Text": []}}, "START_ARRAY can not be converted to a String at 'in.in.text'."),
        ("In", "x", "STRING_VALUE can not be converted to a Structure at 'in'."),
        ("Either", {}, "Exactly one member must be set at 'either'."),
        ("Either", {"Left": "a", "Right": 1}, "Exactly one member must be set at 'either'."),
    ],
)
def test_a_value_of_the_wrong_type_is_named(everything: Shape, member: str, value: Any, message: str) -> None:
    with pytest.raises(SerializationFault) as caught:
        read_body(compile_reader(everything), json.dumps({member: value}).encode())
    assert caught.value.message == message


def test_nulls_and_strangers_are_left_out_but_nulls_in_collections_stay(everything: Shape) -> None:
    body = b'{"Text":null,"Stranger":1,"Names":["a",null],"Ages":{"k":null}}'
    assert read_body(compile_reader(everything), body) == {"Names": ["a", None], "Ages": {"k": None}}


def test_an_empty_body_is_an_empty_structure(everything: Shape) -> None:
    assert read_body(compile_reader(everything), b"") == {}


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"Real":NaN}', b'{"Whole":' + b"1" * 5000 + b"}", b"[]", b"null"]
)
def test_a_body_that_is_no_json_object_is_refused(everything: Shape, body: bytes) -> None:
    with pytest.raises(SerializationFault):
        read_body(compile_reader(everything), body)


def test_a_body_nested_without_end_is_refused(everything: Shape) -> None:
    depth = 20_000
    with pytest.raises(SerializationFault):
        read_body(compile_reader(everything), b'{"In":' * depth + b"{}" + b"}" * depth)


def test_whole_numbers_may_be_written_with_a_point(everything: Shape) -> None:
    assert read_body(compile_reader(everything), b'{"Whole":2.0}') == {"Whole": 2}


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_lacks_travel_as_text(everything: Shape, text: str) -> None:
    value = read_body(compile_reader(everything), f'{{"Real":"{text}"}}'.encode())["Real"]
    assert not math.isfinite(value)
    assert write_body(compile_writer(everything), {"Real": value}) == f'{{"Real":"{text}"}}'.encode()


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    "text",
    [
        "1700000000.123",
        '"2023-11-14T22:13:20.123Z"',
        '"2023-11-14T23:13:20.123+01:00"',
        '"2023-11-14T22:13:20.123"',
    ],
)
def test_a_timestamp_is_read_in_any_of_its_forms(everything: Shape, text: str) -> None:
    assert read_body(compile_reader(everything), f'{{"When":{text}}}'.encode()) == {"When": _WHEN}


def test_an_http_date_is_a_timestamp_too(everything: Shape) -> None:
    body = b'{"When":"Tue, 14 Nov 2023 22:13:20 GMT"}'
    assert read_body(compile_reader(everything), body) == {"When": _WHEN.replace(microsecond=0)}


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("unixTimestamp", 1700000000.123),
        ("iso8601", "2023-11-14T22:13:20.123Z"),
        ("rfc822", "Tue, 14 Nov 2023 22:13:20 GMT"),
    ],
)
def test_a_timestamp_is_written_in_the_form_the_model_names(form: str, expected: float | str) -> None:
    assert write_timestamp(_WHEN.astimezone(timezone(timedelta(hours=2))), form) == expected
    assert write_timestamp(1700000000.123, form) == expected


def test_a_time_without_a_zone_is_a_bug() -> None:
    with pytest.raises(ValueError, match="time zone"):
        write_timestamp(_WHEN.replace(tzinfo=None), "iso8601")


def test_a_lone_surrogate_does_not_break_the_answer() -> None:
    assert render_json({"a": "\ud800é"}) == '{"a":"?é"}'.encode()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "60", 60),
        ("long", "-5", -5),
        ("boolean", "True", True),
        ("boolean", "false", False),
        ("double", "1.5e3", 1500.0),
        ("float", "-Infinity", -math.inf),
        ("timestamp", "Tue, 14 Nov 2023 22:13:20 GMT", _WHEN.replace(microsecond=0)),
        ("timestamp", "1700000000", _WHEN.replace(microsecond=0)),
    ],
)
def test_text_is_read_as_the_shape_says(shape_of: ShapeOf, kind: str, text: str, value: Any) -> None:
    assert parse_text(shape_of(In={"type": kind}), text, "x") == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1_0"),
        ("integer", "60, 60"),
        ("integer", str(2**31)),
        ("integer", ""),
        ("integer", "٣"),
        ("boolean", "1"),
        ("double", "1_0"),
        ("timestamp", "soon"),
        ("list", "a"),
    ],
)
def test_text_of_the_wrong_type_is_refused(shape_of: ShapeOf, kind: str, text: str) -> None:
    shape = shape_of(In={"type": kind, "member": {"shape": "Text"}}, Text={"type": "string"})
    with pytest.raises(SerializationFault, match=r"STRING_VALUE|NUMBER_VALUE"):
        parse_text(shape, text, "x")


def test_a_member_that_travels_in_a_header_is_no_part_of_the_body(shape_of: ShapeOf) -> None:
    shape = shape_of(
        In={
            "type": "structure",
            "members": {
                "A": {"shape": "Text", "location": "header", "locationName": "x"},
                "B": {"shape": "Text"},
            },
        },
        Text={"type": "string"},
    )
    assert isinstance(shape.members["A"], Member)
    assert read_body(compile_reader(shape), b'{"A":"1","B":"2"}') == {"B": "2"}
    assert write_body(compile_writer(shape), {"A": "1", "B": "2"}) == b'{"B":"2"}'
