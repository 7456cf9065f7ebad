"""The runtime API as real boto3 sees it: headers both ways, and every error of contract B.4 that applies."""

import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.aws.conftest import ACCOUNT, CASES, Case, Stage, case_body, model_error
from tests.conftest import RunningServer
from tests.harness import web

_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}


def _client(service: str, url: str | None) -> Any:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
    return boto3.client(service, endpoint_url=url, config=config, **_KEYS)


@pytest.fixture(scope="module")
def runtime(stage: Stage) -> Iterator[Any]:
    client = _client("sagemaker-runtime", stage.url)
    yield client
    client.close()


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_error_reaches_boto3_with_code_message_and_members(
    case: Case, stage: Stage, runtime: Any
) -> None:
    with pytest.raises(ClientError) as caught:
        runtime.invoke_endpoint(**case.request, Body=case_body(case, stage))
    answer: dict[str, Any] = dict(caught.value.response)
    assert answer["Error"]["Code"] == case.code
    assert answer["Error"]["Message"].startswith(case.message)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == case.status
    assert answer["ResponseMetadata"]["RequestId"]
    assert {name: answer.get(name) for name in case.members} == case.members
    if case.code == "ModelError":
        assert isinstance(caught.value, runtime.exceptions.ModelError)
        assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-invoked-production-variant"]
        group = f"/aws/sagemaker/Endpoints/{case.request['EndpointName']}"
        assert answer["LogStreamArn"] == f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}"


@pytest.mark.provenance("documented")
def test_a_full_queue_is_service_unavailable(stage: Stage, runtime: Any) -> None:
    gate = stage.folder / "busy-gate"
    body = json.dumps({"wait_for": str(gate)})

    def ask() -> bytes:
        found: bytes = runtime.invoke_endpoint(EndpointName="busy", Body=body)["Body"].read()
        return found

    # The model's one worker takes two calls, that which it is at and the next one; nobody may stand in line.
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(ask) for _ in range(3)]
        try:
            done, taken = wait(calls, 30, FIRST_COMPLETED)
        finally:
            gate.touch()
    (refused,) = done
    assert all(json.loads(call.result())["content_type"] for call in taken)
    with pytest.raises(ClientError) as caught:
        refused.result()
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


@pytest.mark.provenance("observed")
def test_a_model_error_is_written_as_aws_writes_it_byte_for_byte(stage: Stage) -> None:
    answer = stage.server.invoke("actor", b'{"status": 400, "text": "bad input"}')
    message = model_error("client", 400, "bad input").replace('"', '\\"')
    assert answer.content.decode() == (
        '{"ErrorCode":"CLIENT_ERROR_FROM_MODEL",'
        '"LogStreamArn":"arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/actor",'
        f'"Message":"{message}",'
        '"OriginalMessage":"bad input","OriginalStatusCode":400}'
    )
    assert answer.status_code == 424
    assert answer.headers["x-amzn-ErrorType"] == "ModelError"
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-amzn-RequestId"]) == 36


@pytest.mark.provenance("observed")
def test_an_unknown_endpoint_is_written_as_aws_writes_it_byte_for_byte(stage: Stage) -> None:
    answer = stage.server.invoke("nobody", b"1")
    assert answer.content == (
        b'{"ErrorCode":"NO_SUCH_ENDPOINT","Message":"Endpoint nobody of account 000000000000 not found."}'
    )
    assert answer.status_code == 400
    assert answer.headers["x-amzn-ErrorType"] == "ValidationError"
    assert answer.headers["x-amzn-RequestId"]


@pytest.mark.provenance("observed")
def test_a_target_model_on_a_plain_endpoint_has_its_error_code_in_the_body(stage: Stage) -> None:
    answer = stage.server.invoke("actor", b"{}", X_Amzn_SageMaker_Target_Model="good")
    assert answer.content == (
        b'{"ErrorCode":"TARGET_MODEL_HEADER_NOT_SUPPORTED","Message":"Endpoint actor is not a multi-model '
        b'endpoint and does not support target model header."}'
    )


@pytest.mark.provenance("observed")
def test_a_server_error_of_the_model_has_its_error_code_in_the_body(stage: Stage) -> None:
    answer = stage.server.invoke("actor", b'{"status": 500, "text": "x"}')
    assert answer.json()["ErrorCode"] == "INTERNAL_FAILURE_FROM_MODEL"


@pytest.mark.provenance("observed")
def test_an_oversize_body_is_refused_as_plain_text_with_its_request_id(stage: Stage) -> None:
    answer = stage.server.invoke("actor", b"7" * 7_000_000)
    assert answer.status_code == 413
    assert answer.text == "HTTP content length exceeded 6291456 bytes."
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["x-amzn-RequestId"]


@pytest.mark.provenance("botocore")
def test_a_body_of_exactly_the_limit_reaches_the_model(stage: Stage, runtime: Any) -> None:
    body = b'{"text": "in"' + b" " * (6_291_456 - 14) + b"}"
    assert len(body) == 6_291_456
    assert runtime.invoke_endpoint(EndpointName="actor", Body=body)["Body"].read() == b"in"


@pytest.mark.provenance("botocore")
def test_an_answer_of_exactly_the_limit_reaches_the_caller(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(EndpointName="actor", Body=b'{"size": 6291456}')
    assert len(answer["Body"].read()) == 6_291_456


@pytest.mark.provenance("botocore")
def test_every_header_of_the_request_reaches_the_model(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(
        EndpointName="actor",
        Body=b"{}",
        ContentType="application/x-mine",
        Accept="application/x-yours",
        CustomAttributes="trace=1; who='me'",
        SessionId="NEW_SESSION",
        InferenceId="call-1",
        TargetVariant="v",
        EnableExplanations="`true`",
    )
    seen = {name.lower(): value for name, value in json.load(answer["Body"]).items()}
    assert seen["content_type"] == "application/x-mine"
    assert seen["accept"] == "application/x-yours"
    assert seen["x-amzn-sagemaker-custom-attributes"] == "trace=1; who='me'"
    assert seen["x-amzn-sagemaker-session-id"] == "NEW_SESSION"
    assert answer["ContentType"] == "application/x-yours"


@pytest.mark.provenance("documented")
def test_the_target_model_reaches_the_model(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(EndpointName="many", TargetModel="good", Body=b"{}")
    seen = {name.lower(): value for name, value in json.load(answer["Body"]).items()}
    assert seen["x-amzn-sagemaker-target-model"] == "good"
    assert answer["InvokedProductionVariant"] == "all"


@pytest.mark.provenance("documented")
def test_no_content_type_and_no_accept_are_json_for_a_script(runtime: Any) -> None:
    seen = json.load(runtime.invoke_endpoint(EndpointName="actor", Body=b"{}")["Body"])
    assert (seen["content_type"], seen["accept"]) == ("application/json", "application/json")


@pytest.mark.provenance("botocore")
def test_every_header_of_the_answer_reaches_the_caller(runtime: Any) -> None:
    session = "abc; Expires=2030-01-01T00:00:00Z"
    headers = {
        "X-Amzn-SageMaker-Custom-Attributes": "seen",
        "X-Amzn-SageMaker-New-Session-Id": session,
        "X-Amzn-SageMaker-Closed-Session-Id": "old",
    }
    answer = runtime.invoke_endpoint(
        EndpointName="actor", Body=json.dumps({"headers": headers, "text": "fine"})
    )
    assert answer["CustomAttributes"] == "seen"
    assert answer["NewSessionId"] == session
    assert answer["ClosedSessionId"] == "old"
    assert answer["InvokedProductionVariant"] == "v"
    assert answer["ContentType"] == "text/plain"
    assert answer["ResponseMetadata"]["RequestId"]


@pytest.mark.provenance("documented")
def test_custom_attributes_are_not_echoed_by_the_platform(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(EndpointName="actor", Body=b"{}", CustomAttributes="mine")
    assert "CustomAttributes" not in answer


@pytest.mark.provenance("observed")
def test_an_answer_without_content_has_an_empty_body(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(EndpointName="actor", Body=b'{"status": 204, "text": "unseen"}')
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert answer["Body"].read() == b""


def test_a_header_that_a_model_breaks_is_an_error_and_not_two_headers(stage: Stage) -> None:
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "a\r\nX-Injected: yes"}
    answer = stage.server.invoke("actor", json.dumps({"headers": headers, "text": "fine"}))
    assert answer.status_code >= 400
    assert "x-injected" not in answer.headers


@pytest.mark.provenance("botocore")
def test_two_broken_rules_are_told_in_one_answer(stage: Stage) -> None:
    answer = stage.server.invoke("-bad", b"{}", X_Amzn_SageMaker_Custom_Attributes="a" * 1025)
    assert answer.status_code == 400
    assert answer.json()["Message"].startswith("2 validation errors detected: ")


def test_aws_endpoint_url_alone_redirects_boto3(
    samples: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", samples.url)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = _client("sagemaker-runtime", None)
    answer = client.invoke_endpoint(EndpointName="iris", ContentType="text/csv", Body="5.1,3.5,1.4,0.2")
    assert answer["Body"].read() == b"[0]"
    assert answer["InvokedProductionVariant"] in ("logistic", "forest")
    client.close()


@pytest.mark.provenance("documented")
def test_an_operation_that_is_not_served_says_so_by_name(samples: RunningServer) -> None:
    client = _client("sagemaker", samples.url)
    with pytest.raises(ClientError) as caught:
        client.list_notebook_instances()
    client.close()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "ListNotebookInstances" in caught.value.response["Error"]["Message"]


def test_a_runtime_operation_that_is_not_served_says_so_by_name(samples: RunningServer) -> None:
    client = _client("sagemaker-runtime", samples.url)
    with pytest.raises(ClientError) as caught:
        client.invoke_endpoint_async(EndpointName="iris", InputLocation="s3://bucket/key")
    client.close()
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
    assert "InvokeEndpointAsync" in caught.value.response["Error"]["Message"]


def test_s3_calls_are_not_mistaken_for_the_page(samples: RunningServer) -> None:
    client = _client("s3", samples.url)
    found = client.list_buckets()
    client.close()
    assert found["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/xml"
    assert "Buckets" in found


def test_other_methods_and_paths_below_endpoints_are_no_operation(samples: RunningServer) -> None:
    for method, path in (
        ("PUT", "/endpoints/iris"),
        ("POST", "/endpoints/iris"),
        ("POST", "/endpoints/iris/other"),
        ("PUT", "/endpoints/"),
    ):
        answer = web.request(method, samples.url + path, timeout=10)
        assert answer.status_code == 404
        assert answer.headers["x-amzn-ErrorType"] == "UnknownOperationException"
