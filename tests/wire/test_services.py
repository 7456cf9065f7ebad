"""Which service and operation a request is for, told from what stock clients send."""

import pytest
from botocore.loaders import Loader

from service.http.reply import Asked
from service.wire.services import (
    SERVICES,
    ServiceCall,
    ServiceRow,
    call_at_endpoint,
    call_at_root,
    call_of_stranger,
)

_MODELS = {"monitoring": "cloudwatch"}  # who signs by another name than botocore has for the model
_FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")


def signed(service: str) -> tuple[bytes, bytes]:
    scope = f"AWS4-HMAC-SHA256 Credential=any/20261128/us-east-1/{service}/aws4_request, Signature=0"
    return b"authorization", scope.encode()


def at_root(body: bytes, *headers: tuple[bytes, bytes]) -> ServiceCall | None:
    return call_at_root(Asked(list(headers), body, "id"))


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    "row", [row for row in SERVICES if row.target or row.version], ids=lambda row: row.name
)
def test_a_row_says_what_botocores_model_says(row: ServiceRow) -> None:
    metadata = Loader().load_service_model(_MODELS.get(row.name, row.name), "service-2")["metadata"]

    assert row.protocol in {name.removeprefix("smithy-") for name in metadata["protocols"]}
    assert row.target in ("", metadata.get("targetPrefix", ""))
    assert row.version in ("", metadata["apiVersion"])


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("row", [row for row in SERVICES if row.paths], ids=lambda row: row.name)
def test_every_path_of_a_sibling_is_known_as_its_own(row: ServiceRow) -> None:
    if row.name not in Loader().list_available_services("service-2"):
        pytest.skip(f"this botocore has no {row.name}")
    model = Loader().load_service_model(row.name, "service-2")

    for operation in model["operations"].values():
        path = operation["http"]["requestUri"].partition("?")[0]
        call = call_of_stranger(operation["http"]["method"], path, [signed("sagemaker")], b"")
        assert call is not None, path
        assert call.service == row.name, path


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize("row", [row for row in SERVICES if row.actions], ids=lambda row: row.name)
def test_every_operation_on_an_endpoint_is_known_by_its_path(row: ServiceRow) -> None:
    model = Loader().load_service_model(row.name, "service-2")

    for name, operation in model["operations"].items():
        path = operation["http"]["requestUri"].partition("?")[0].replace("{EndpointName}", "e")
        expected = ("e", ServiceCall(row.name, row.name, name, row.protocol))
        assert call_at_endpoint(operation["http"]["method"], path) == expected
        assert call_at_endpoint("GET", path) is None
    assert set(row.actions.values()) >= set(model["operations"])


@pytest.mark.parametrize(
    "path", ["/endpoints/", "/endpoints/e", "/endpoints/e/", "/endpoints/e/invocations/"]
)
def test_what_names_no_action_asks_nothing_of_an_endpoint(path: str) -> None:
    assert call_at_endpoint("POST", path) is None


def test_a_name_with_a_slash_is_a_name() -> None:
    found = call_at_endpoint("POST", "/endpoints/a/b/invocations")
    assert found is not None
    assert found[0] == "a/b"


@pytest.mark.parametrize(
    ("target", "call"),
    [
        (b"SageMaker.ListModels", ServiceCall("sagemaker", "sagemaker", "ListModels", "json")),
        (b"Logs_20140328.GetLogEvents", ServiceCall("logs", "logs", "GetLogEvents", "json")),
        (b"Other_1.Do", ServiceCall("", "Other_1", "Do", "json")),
        (b"Do", ServiceCall("", "an unnamed service", "Do", "json")),
        (b"SageMaker." + b"a" * 200, ServiceCall("sagemaker", "sagemaker", "a" * 128, "json")),
    ],
)
def test_a_target_names_its_service(target: bytes, call: ServiceCall) -> None:
    assert at_root(b"{}", (b"x-amz-target", target)) == call
    assert at_root(b"Action=Do", (b"x-amz-target", target), _FORM) == call


def test_a_service_that_no_row_knows_goes_by_the_name_that_it_signs_for() -> None:
    call = at_root(b"{}", (b"x-amz-target", b"DynamoDB_20120810.ListTables"), signed("dynamodb"))

    assert call == ServiceCall("", "dynamodb", "ListTables", "json")


@pytest.mark.parametrize(
    ("body", "signer", "row", "service"),
    [
        (b"Action=GetCallerIdentity&Version=2011-06-15", None, "sts", "sts"),
        (b"Action=GetCallerIdentity&Version=2011-06-15", "ec2", "sts", "sts"),
        (b"Action=AssumeRole&Version=2011-06-15", None, "sts", "sts"),
        (b"Action=AssumeRole&Version=2011-06-15", "ec2", "", "ec2"),
        (b"Action=GetRole&Version=2010-05-08", "iam", "iam", "iam"),
        (b"Action=GetRole&Version=2010-05-08", "sagemaker", "iam", "iam"),
        (b"Action=Do&Version=2000-01-01", None, "", "the API of 2000-01-01"),
    ],
)
def test_a_form_names_its_service_by_signature_and_date(
    body: bytes, signer: str | None, row: str, service: str
) -> None:
    call = at_root(body, _FORM, *([] if signer is None else [signed(signer)]))

    assert call is not None
    assert (call.row, call.service, call.protocol) == (row, service, "query")


@pytest.mark.provenance("botocore")
def test_a_path_of_cbor_names_service_and_operation() -> None:
    path = "/service/GraniteServiceVersion20100801/operation/ListMetrics"
    asked = Asked([(b"smithy-protocol", b"rpc-v2-cbor")], b"", "id", path)

    assert call_at_root(asked) == ServiceCall("monitoring", "monitoring", "ListMetrics", "rpc-v2-cbor")
    assert call_of_stranger("POST", path, [signed("monitoring")], b"") is None
    other = Asked([], b"", "id", "/service/Other/operation/Do")
    assert call_at_root(other) == ServiceCall("", "Other", "Do", "rpc-v2-cbor")
    stranger = call_of_stranger("POST", path, [signed("s3")], b"")
    assert stranger is not None
    assert stranger.row == "s3"


def test_what_names_no_operation_is_no_call() -> None:
    assert at_root(b"{}") is None
    assert at_root(b"Version=2011-06-15", _FORM) is None


@pytest.mark.parametrize(
    ("service", "more", "row", "protocol"),
    [
        ("s3", (), "s3", "s3"),
        ("route53", (), "route53", "rest-xml"),
        ("lambda", (), "", "rest-json"),
        ("monitoring", ((b"smithy-protocol", b"rpc-v2-cbor"),), "", "rpc-v2-cbor"),
        ("sts", (), "", "rest-json"),  # a row counts in its own protocol alone
    ],
)
def test_a_stranger_is_known_by_its_signature(
    service: str, more: tuple[tuple[bytes, bytes], ...], row: str, protocol: str
) -> None:
    call = call_of_stranger("GET", "/thing", [signed(service), *more], b"")

    assert call == ServiceCall(row, service, "GET /thing", protocol)


@pytest.mark.parametrize("path", ["/", "/invocations", "/endpoints/e/invocations"])
def test_who_posts_to_a_path_of_this_server_is_no_stranger(path: str) -> None:
    assert call_of_stranger("POST", path, [signed("s3")], b"") is None
    assert call_of_stranger("GET", path, [signed("s3")], b"") is not None
    assert call_of_stranger("GET", path, [signed("sagemaker")], b"") is None
    assert call_of_stranger("GET", path, [], b"") is None
