"""The control face over a real socket, called by boto3 and httpx; and 1,000 requests that it must refuse."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import httpx
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from service.clock import SystemClock
from service.control.identity import caller_identity
from service.control.resources import OperationContext
from service.domain import sentences, unserved
from service.domain.caller import Caller
from service.errors import Unavailable, UnknownOperation, ValidationFault
from service.faces.aws.control import ControlFace
from service.http.asgi import Message
from service.http.reply import Asked, Reply
from service.wire.protocols.json import JsonProtocol
from service.wire.spec import load_service
from tests.faces.bad_requests import BadRequest, bad_requests
from tests.faces.called import called
from tests.harness import web

_ACCOUNT = "123456789012"
_LIMIT_BYTES = 2 << 20
_MODEL = {"ModelName": "m", "ModelArn": f"arn:aws:sagemaker:us-east-1:{_ACCOUNT}:model/m"}
_CALLER = Caller(_ACCOUNT, "us-east-1")
_SERVER = OperationContext(Caller("000000000000", "eu-west-1"), SystemClock())
_FORM = "application/x-www-form-urlencoded; charset=utf-8"


class _Operations:
    """What stands behind the face, called by one caller; keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    async def call(
        self, caller: Caller, service: str, operation: str, fields: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        assert caller == _CALLER
        if (service, operation) == ("sts", "GetCallerIdentity"):
            return caller_identity(caller)
        if service != "sagemaker":
            raise unserved.refusal(service, service, operation)
        self.calls.append((operation, fields))
        match operation:
            case "DescribeModel":
                return {**_MODEL, "CreationTime": 0}
            case "DeleteModel":
                return None
            case "ListModels":
                raise KeyError("secret")
            case "DeleteEndpoint":
                raise ValidationFault('Could not find endpoint "arn".')
            case _:
                raise UnknownOperation(sentences.operation_not_served(operation))


@pytest.fixture(scope="module")
def sagemaker() -> JsonProtocol:
    return JsonProtocol(load_service("sagemaker"))


@pytest.fixture
def operations() -> _Operations:
    return _Operations()


@pytest.fixture
def url(sagemaker: JsonProtocol, operations: _Operations) -> Iterator[str]:
    face = ControlFace(sagemaker, operations.call, _LIMIT_BYTES)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(
                called(face, _CALLER), ws="none", lifespan="off", log_config=None, access_log=False
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


def _client(url: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=60),
    )


def _post(url: str, target: str | None, body: bytes | str = b"{}", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if target is not None:
        named["X-Amz-Target"] = target
    return web.post(url, content=body, headers=named, timeout=60)


def _error(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert body["message"] == body["Message"]
    assert answer.headers["x-amzn-requestid"]
    assert answer.headers["x-amzn-errortype"] == body["__type"]
    return answer.status_code, body["__type"], body["message"]


@pytest.mark.provenance("botocore")
def test_boto3_gets_the_answer_of_an_operation(url: str, operations: _Operations) -> None:
    answer = _client(url, "sagemaker").describe_model(ModelName="m")
    assert answer["ModelArn"] == _MODEL["ModelArn"]
    assert answer["CreationTime"].timestamp() == 0
    assert answer["ResponseMetadata"]["RequestId"]
    assert operations.calls == [("DescribeModel", {"ModelName": "m"})]


@pytest.mark.provenance("botocore")
def test_an_operation_without_output_answers_200_and_nothing(url: str) -> None:
    assert _client(url, "sagemaker").delete_model(ModelName="m")["ResponseMetadata"]["HTTPStatusCode"] == 200
    answer = _post(url, "SageMaker.DeleteModel", b'{"ModelName":"m"}')
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"


@pytest.mark.provenance("botocore")
def test_boto3_sees_the_error_that_an_operation_raises(url: str) -> None:
    with pytest.raises(ClientError) as caught:
        _client(url, "sagemaker").delete_endpoint(EndpointName="e")
    assert caught.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": 'Could not find endpoint "arn".',
    }


def test_a_bug_is_a_500_that_tells_its_request_id_only(url: str) -> None:
    status, code, message = _error(_post(url, "SageMaker.ListModels"))
    assert (status, code) == (500, "InternalFailure")
    assert "secret" not in message
    assert "Request id: " in message


@pytest.mark.provenance("guess")
def test_a_modelled_operation_that_is_not_served_is_refused_by_name_once_its_input_is_good(url: str) -> None:
    good = b'{"EndpointName":"e","EndpointConfigName":"c"}'
    assert _error(_post(url, "SageMaker.CreateEndpoint", good)) == (
        404,
        "UnknownOperationException",
        sentences.operation_not_served("CreateEndpoint"),
    )
    status, code, message = _error(_post(url, "SageMaker.CreateEndpoint", b"{}"))
    assert (status, code) == (400, "ValidationException")
    assert message.startswith("2 validation errors detected: Value null at 'endpointName' failed")


@pytest.mark.provenance("guess")
@pytest.mark.parametrize("name", ["Fly", "", "describeEndpoint"])
def test_an_operation_that_sagemaker_does_not_have_is_unknown(url: str, name: str) -> None:
    expected = (404, "UnknownOperationException", sentences.operation_unknown(name))
    assert _error(_post(url, f"SageMaker.{name}")) == expected


def test_a_post_without_a_target_is_told_where_predictions_go(url: str) -> None:
    for headers in ({}, {"Content_Type": "text/csv"}, {"Content_Type": _FORM}):
        status, code, message = _error(_post(url, None, "5.1,3.5", **headers))
        assert (status, code, message) == (404, "UnknownOperationException", sentences.target_missing())


def test_a_body_over_the_limit_is_413(url: str) -> None:
    status, code, message = _error(_post(url, "SageMaker.CreateModel", b"7" * (_LIMIT_BYTES + 1)))
    assert (status, code) == (413, "RequestEntityTooLargeException")
    assert message == f"HTTP content length exceeded {_LIMIT_BYTES} bytes."


@pytest.mark.provenance("botocore")
@pytest.mark.parametrize(
    ("service", "method", "members", "code"),
    [
        ("cloudwatch", "list_metrics", {}, "UnknownOperationException"),
        (
            "application-autoscaling",
            "describe_scalable_targets",
            {"ServiceNamespace": "sagemaker"},
            "UnknownOperationException",
        ),
        ("iam", "get_role", {"RoleName": "r"}, "AccessDenied"),
        (
            "iam",
            "simulate_principal_policy",
            {"PolicySourceArn": "arn:aws:iam::000000000000:role/r", "ActionNames": ["s3:GetObject"]},
            "AccessDenied",
        ),
        ("sts", "get_session_token", {}, "AccessDenied"),
        ("ecr", "describe_repositories", {}, "UnknownOperationException"),
        ("ec2", "describe_vpcs", {}, "InvalidAction"),
    ],
)
def test_another_service_s_client_is_told_that_it_is_not_served(
    url: str, service: str, method: str, members: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(_client(url, service), method)(**members)
    error = caught.value.response["Error"]
    assert error["Code"] == code
    signed_for = {"cloudwatch": "monitoring"}.get(service, service)
    operation = caught.value.operation_name
    assert error["Message"] == unserved.service_not_served(operation, signed_for)
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def test_a_call_that_nobody_signed_is_named_by_what_it_says_of_itself(url: str) -> None:
    _, _, message = _error(_post(url, "AmazonSSM.GetParameter"))
    assert message == unserved.service_not_served("GetParameter", "AmazonSSM")
    _, _, message = _error(_post(url, "Fly"))
    assert message == unserved.service_not_served("Fly", "an unnamed service")
    answer = _post(url, None, "Action=GetRole&RoleName=r&Version=2010-05-08", Content_Type=_FORM)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/xml")
    assert "does not serve GetRole of iam" in answer.text
    answer = _post(url, None, "Action=Publish&Version=2010-03-31", Content_Type=_FORM)
    assert answer.status_code == 400
    assert "does not serve Publish of the API of 2010-03-31" in answer.text


@pytest.mark.provenance("observed")
@pytest.mark.parametrize(
    ("method", "members"),
    [
        ("describe_log_streams", {"logGroupName": "/aws/sagemaker/TrainingJobs"}),
        ("get_log_events", {"logGroupName": "g", "logStreamName": "s"}),
        ("filter_log_events", {"logGroupName": "g"}),
    ],
)
def test_a_program_that_waits_for_logs_is_told_that_there_are_none(
    url: str, method: str, members: dict[str, Any]
) -> None:
    logs = _client(url, "logs")
    with pytest.raises(logs.exceptions.ResourceNotFoundException, match="log group does not exist"):
        getattr(logs, method)(**members)


def test_json_of_the_older_version_is_answered_in_it(url: str) -> None:
    target = "GraniteServiceVersion20100801.ListMetrics"
    answer = _post(url, target, Content_Type="application/x-amz-json-1.0")
    assert answer.headers["content-type"] == "application/x-amz-json-1.0"


@pytest.mark.provenance("documented")
def test_sts_says_who_the_caller_is(url: str) -> None:
    identity = _client(url, "sts").get_caller_identity()
    assert identity.pop("ResponseMetadata")["RequestId"]
    arn = f"arn:aws:sts::{_ACCOUNT}:assumed-role/sagebird/caller"
    assert identity == {"UserId": "AROASAGEBIRD000000000:caller", "Account": _ACCOUNT, "Arn": arn}


def test_a_failed_request_leaves_one_log_line_with_its_id(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sagebird.control")
    answer = _post(url, "SageMaker.DeleteEndpoint", b'{"EndpointName":"e"}')
    _post(url, "SageMaker.DescribeModel", b'{"ModelName":"m"}')
    events = [record.msg for record in caplog.records if record.name == "sagebird.control"]
    assert len(events) == 1
    event: Any = events[0]
    assert event["request_id"] == answer.headers["x-amzn-requestid"]
    assert event["operation"] == "SageMaker.DeleteEndpoint"
    assert (event["status"], event["code"]) == (400, "ValidationException")


def test_a_client_that_leaves_early_is_not_answered(sagemaker: JsonProtocol, operations: _Operations) -> None:
    face = ControlFace(sagemaker, operations.call, _LIMIT_BYTES)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def run() -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await called(face, _CALLER)(scope, receive, send)

    asyncio.run(run())


async def _ask(face: ControlFace, request: BadRequest) -> tuple[int, bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": request.body}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/x-amz-json-1.1")]
    if request.target is not None:
        headers.append((b"x-amz-target", request.target.encode("latin-1")))
    await called(face, _CALLER)(
        {"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send
    )
    return sent[0]["status"], sent[1]["body"]


def test_a_thousand_bad_requests_get_the_error_that_each_has_earned(
    sagemaker: JsonProtocol, operations: _Operations
) -> None:
    face = ControlFace(sagemaker, operations.call, _LIMIT_BYTES)
    faults = set()

    async def ask_all() -> None:
        for request in bad_requests(sagemaker.spec, 1000, seed=3):
            status, body = await _ask(face, request)
            what = (request.fault, request.target, request.body[:300], status, body[:500])
            assert 400 <= status < 500, what
            assert httpx.Response(status, content=body).json()["__type"] == request.code, what
            assert len(body) < 250_000, what
            faults.add(request.fault)

    asyncio.run(ask_all())
    assert len(faults) == 16
    assert operations.calls == []


class _Elsewhere:
    """Another process, which refuses everything or is closed."""

    def __init__(self) -> None:
        self.is_open = True
        self.asked: list[tuple[Caller, Asked]] = []

    async def hand_in(self, caller: Caller, asked: Asked) -> Reply:
        self.asked.append((caller, asked))
        raise Unavailable("try again")


@pytest.mark.parametrize("target", ["SageMaker.DescribeModel", None])
def test_only_large_requests_are_handed_in_elsewhere_while_it_is_open(
    sagemaker: JsonProtocol, operations: _Operations, target: str | None
) -> None:
    elsewhere = _Elsewhere()
    face = ControlFace(sagemaker, operations.call, _LIMIT_BYTES, elsewhere)
    small = BadRequest("", target, b'{"ModelName": "m"}', "")
    large = BadRequest("", target, small.body + b" " * 65_536, "")

    here, _ = asyncio.run(_ask(face, small))
    there, body = asyncio.run(_ask(face, large))
    elsewhere.is_open = False
    here_again, _ = asyncio.run(_ask(face, large))

    assert here == here_again == (200 if target else 404)
    assert (there, httpx.Response(there, content=body).json()["message"]) == (503, "try again")
    ((caller, asked),) = elsewhere.asked
    assert caller == _CALLER
    assert asked.body == large.body
    assert dict(asked.headers).get(b"x-amz-target") == (target.encode() if target else None)
