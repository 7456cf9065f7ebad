"""What models and jobs print, found by stock boto3: by its group, by its stream, by the id of its request."""

import json
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from service.domain.log_places import TRANSFORM_JOBS
from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web

_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
_GROUP = "/aws/sagemaker/Endpoints/printer"
_LONG_S = 60.0
_SCRIPT = """
import json, os, sys
print("the model is being loaded")
def model_fn(model_dir): return {}
def input_fn(body, content_type): return json.loads(body)
def predict_fn(data, model):
    print(data["say"])
    if data.get("die"): os._exit(3)
    if data.get("fail"): raise RuntimeError(data["fail"])
    return [data["say"]]
"""


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    models = tmp_path_factory.mktemp("printing") / "models"
    for name in ("printer", "broken"):
        (models / name).mkdir(parents=True)
        (models / name / "inference.py").write_text(_SCRIPT if name == "printer" else "print('no'); 1 / 0\n")
    (models / "endpoints.yaml").write_text(
        "endpoints:\n  printer: {variants: {v: {model: printer}}}\n"
        "  broken: {variants: {v: {model: broken}}}\n"
    )
    return start_server(models, workers="1", model_timeout_s="20")


def client(server: RunningServer, service: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=60)
    return boto3.client(service, endpoint_url=server.url, config=config, **_KEYS)


@pytest.fixture(scope="module")
def logs(server: RunningServer) -> Any:
    return client(server, "logs")


@pytest.fixture(scope="module")
def runtime(server: RunningServer) -> Any:
    return client(server, "sagemaker-runtime")


@pytest.fixture
def group(logs: Any) -> Iterator[str]:
    name = f"/own/{secrets.token_hex(6)}"
    logs.create_log_group(logGroupName=name, tags={"team": "a"})
    yield name
    logs.delete_log_group(logGroupName=name)


def found(logs: Any, pattern: str = "", group: str = _GROUP, **more: Any) -> list[str]:
    """Messages of a group with these terms; none where there is no such group."""
    try:
        events = logs.filter_log_events(logGroupName=group, filterPattern=pattern, **more)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def refused(call: Any, **members: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def ask(runtime: Any, endpoint: str = "printer", **body: Any) -> str:
    """The id of a request that is answered."""
    answer = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps(body)
    )
    request_id: str = answer["ResponseMetadata"]["RequestId"]
    return request_id


# ---- what models print


def test_what_a_handler_printed_is_found_by_the_id_of_its_request(logs: Any, runtime: Any) -> None:
    one, other = ask(runtime, say="one"), ask(runtime, say="other")

    wait_until(lambda: found(logs, f'"{one}"') == ["one"], _LONG_S)
    wait_until(lambda: found(logs, f'"{other}"') == ["other"], _LONG_S)
    (event,) = logs.filter_log_events(logGroupName=_GROUP, filterPattern=f'"{one}"')["events"]
    variant, instance = event["logStreamName"].split("/")
    assert variant == "v"
    assert instance.startswith("i-")


def test_what_was_printed_while_the_model_loaded_is_in_the_stream_of_its_variant(logs: Any) -> None:
    wait_until(lambda: "the model is being loaded" in found(logs), _LONG_S)
    (stream,) = logs.describe_log_streams(logGroupName=_GROUP)["logStreams"]
    assert stream["arn"].endswith(f":log-group:{_GROUP}:log-stream:{stream['logStreamName']}")
    read = logs.get_log_events(logGroupName=_GROUP, logStreamName=stream["logStreamName"], startFromHead=True)
    assert "the model is being loaded" in [event["message"] for event in read["events"]]


def test_what_a_model_printed_that_cannot_be_loaded_is_there_too(logs: Any) -> None:
    wait_until(lambda: "no" in found(logs, group="/aws/sagemaker/Endpoints/broken"), _LONG_S)


def test_the_log_of_a_model_error_has_its_reason_by_the_id_of_its_request(logs: Any, runtime: Any) -> None:
    with pytest.raises(ClientError) as caught:
        ask(runtime, say="before", fail="the model is unwell")
    response = caught.value.response

    group = response["LogStreamArn"].partition(":log-group:")[2]
    request_id = response["ResponseMetadata"]["RequestId"]
    wait_until(lambda: len(found(logs, f'"{request_id}"', group)) == 2, _LONG_S)
    printed, reason = sorted(found(logs, f'"{request_id}"', group), key=len)
    assert printed == "before"
    assert reason.startswith("[sagemaker logs]: 500 from primary: the model is unwell")


def test_what_was_printed_before_its_process_died_is_found_by_the_request(logs: Any, runtime: Any) -> None:
    status, code, _ = refused(
        runtime.invoke_endpoint,
        EndpointName="printer",
        ContentType="application/json",
        Body=json.dumps({"say": "last words", "die": True}),
    )

    assert (status, code) == (424, "ModelError")
    wait_until(lambda: "last words" in found(logs), _LONG_S)


def test_curl_is_told_the_same_id(server: RunningServer, logs: Any) -> None:
    answer = web.post(
        f"{server.url}/endpoints/printer/invocations",
        content=b'{"say": "by curl"}',
        headers={"Content-Type": "application/json"},
        timeout=60,
    )

    request_id = answer.headers["x-amzn-requestid"]
    wait_until(lambda: found(logs, f'"{request_id}"') == ["by curl"], _LONG_S)


def test_the_aws_command_line_finds_a_line_and_who_asks(
    server: RunningServer, logs: Any, runtime: Any
) -> None:
    request_id = ask(runtime, say="by the command line")
    wait_until(lambda: found(logs, f'"{request_id}"') == ["by the command line"], _LONG_S)

    def told(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "y",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        command = [str(Path(sys.executable).parent / "aws"), *arguments, "--output", "text"]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    pattern = f'"{request_id}"'
    lines = told("logs", "filter-log-events", "--log-group-name", _GROUP, "--filter-pattern", pattern)
    assert "by the command line" in lines
    role = told("sts", "get-caller-identity", "--query", "Arn").strip().split("/")[1]
    assert told("iam", "get-role", "--role-name", role, "--query", "Role.RoleName").strip() == role


def test_a_caller_cannot_write_into_the_log_of_another_request(logs: Any, runtime: Any) -> None:
    victim = ask(runtime, say="mine")
    forged = ask(runtime, say=f"\x1e.{_GROUP} v/i\x1f{victim}\x1f1\x1fforged")

    wait_until(lambda: any("forged" in text for text in found(logs, f'"{forged}"')), _LONG_S)
    assert [text for text in found(logs) if text == "forged"] == []


def test_jobs_print_into_streams_of_their_own(server: RunningServer, logs: Any) -> None:
    sagemaker, s3 = client(server, "sagemaker"), client(server, "s3")
    job = f"job-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket="jobs")
    s3.put_object(Bucket="jobs", Key="model.tar.gz", Body=_archive(_SCRIPT))
    for name, body in (("good", {"say": "of a job"}), ("bad", {"say": "x", "fail": "no such luck"})):
        s3.put_object(Bucket="jobs", Key=f"in/{name}.json", Body=json.dumps(body))
    sagemaker.create_model(
        ModelName=job,
        PrimaryContainer={"ModelDataUrl": "s3://jobs/model.tar.gz", "Image": "sagemaker-scikit-learn:1.2-1"},
        ExecutionRoleArn="arn:aws:iam::000000000000:role/any",
    )
    sagemaker.create_transform_job(
        TransformJobName=job,
        ModelName=job,
        MaxConcurrentTransforms=1,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://jobs/in/"}},
            "ContentType": "application/json",
        },
        TransformOutput={"S3OutputPath": "s3://jobs/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    wait_until(
        lambda: sagemaker.describe_transform_job(TransformJobName=job)["TransformJobStatus"] == "Failed",
        _LONG_S * 2,
    )

    streams = {"logStreamNamePrefix": f"{job}/"}
    wait_until(lambda: "of a job" in found(logs, group=TRANSFORM_JOBS, **streams), _LONG_S)
    wait_until(lambda: found(logs, "luck", TRANSFORM_JOBS, **streams), _LONG_S)
    told = found(logs, '"sagemaker logs"', TRANSFORM_JOBS, **streams)
    assert "MaxConcurrentTransforms=1" in told[0]
    assert any("bad.json" in text for text in told)
    names = [
        stream["logStreamName"]
        for stream in logs.describe_log_streams(logGroupName=TRANSFORM_JOBS, **streams)["logStreams"]
    ]
    assert len(names) == 2
    assert names[1] == f"{names[0]}/data-log"


def _archive(script: str) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(script)
        archive.addfile(member, BytesIO(script.encode()))
    return packed.getvalue()


# ---- groups, streams and events of one's own


def test_a_group_lives_as_terraform_has_it(logs: Any) -> None:
    name = f"/tf/{secrets.token_hex(6)}"
    logs.create_log_group(logGroupName=name, tags={"a": "1"}, logGroupClass="STANDARD")
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    (shown,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]

    assert shown["retentionInDays"] == 7
    assert shown["arn"] == f"{shown['logGroupArn']}:*"
    arn = shown["logGroupArn"]
    assert arn == f"arn:aws:logs:us-east-1:000000000000:log-group:{name}"
    logs.tag_resource(resourceArn=arn, tags={"b": "2"})
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}
    logs.tag_log_group(logGroupName=name, tags={"c": "3"})
    logs.untag_log_group(logGroupName=name, tags=["b"])
    assert logs.list_tags_log_group(logGroupName=name)["tags"] == {"c": "3"}
    logs.delete_retention_policy(logGroupName=name)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    logs.delete_log_group(logGroupName=name)
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []


def test_groups_come_in_pages(logs: Any) -> None:
    names = [f"/pages-{secrets.token_hex(4)}/{number}" for number in range(3)]
    for name in names:
        logs.create_log_group(logGroupName=name)

    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix="/pages-", PaginationConfig={"PageSize": 2}
    )
    assert sorted(names) == [shown["logGroupName"] for page in pages for shown in page["logGroups"]]
    part = logs.describe_log_groups(logGroupNamePattern="PAGES-")["logGroups"]
    assert len(part) == 3
    for name in names:
        logs.delete_log_group(logGroupName=name)


def test_events_are_put_and_read_forward_and_backward(logs: Any, group: str) -> None:
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now_ms = int(logs.describe_log_streams(logGroupName=group)["logStreams"][0]["creationTime"])
    events = [{"timestamp": now_ms + number, "message": f"m{number}"} for number in range(5)]
    answer = logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    assert "rejectedLogEventsInfo" not in answer

    place = {"logGroupName": group, "logStreamName": "s"}
    first = logs.get_log_events(**place, startFromHead=True, limit=3)
    assert [event["message"] for event in first["events"]] == ["m0", "m1", "m2"]
    then = logs.get_log_events(**place, nextToken=first["nextForwardToken"])
    assert [event["message"] for event in then["events"]] == ["m3", "m4"]
    end = logs.get_log_events(**place, nextToken=then["nextForwardToken"])
    assert (end["events"], end["nextForwardToken"]) == ([], then["nextForwardToken"])
    back = logs.get_log_events(**place, nextToken=then["nextBackwardToken"], limit=2)
    assert [event["message"] for event in back["events"]] == ["m1", "m2"]
    newest = logs.get_log_events(**place, limit=2)
    assert [event["message"] for event in newest["events"]] == ["m3", "m4"]
    some = logs.get_log_events(**place, startTime=now_ms + 1, endTime=now_ms + 3, startFromHead=True)
    assert [event["message"] for event in some["events"]] == ["m1", "m2"]


def test_streams_come_by_name_or_by_last_event(logs: Any, group: str) -> None:
    for number, name in enumerate(("b", "a", "c")):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
        created = logs.describe_log_streams(logGroupName=group)["logStreams"][0]["creationTime"]
        event = {"timestamp": created + number, "message": "x"}
        logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=[event])

    def names(**asked: Any) -> list[str]:
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, PaginationConfig={"PageSize": 2}, **asked
        )
        return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]

    assert names() == ["a", "b", "c"]
    assert names(orderBy="LastEventTime", descending=True) == ["c", "a", "b"]
    assert names(logStreamNamePrefix="b") == ["b"]
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    assert names() == ["b", "c"]


def test_a_filter_goes_over_streams_in_pages(logs: Any, group: str) -> None:
    now_ms = int(logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["creationTime"])
    for name in ("one", "two"):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
        events = [{"timestamp": now_ms + number, "message": f"{name} {number}"} for number in range(3)]
        logs.put_log_events(logGroupName=group, logStreamName=name, logEvents=events)

    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupIdentifier=f"arn:aws:logs:us-east-1:000000000000:log-group:{group}",
        PaginationConfig={"PageSize": 4},
    )
    got = [event["message"] for page in pages for event in page["events"]]
    assert got == ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]
    assert found(logs, "one -2", group) == ["one 0", "one 1"]
    assert found(logs, "", group, logStreamNames=["two"], endTime=now_ms + 1) == ["two 0", "two 1"]


@pytest.mark.provenance("documented")
def test_events_too_old_or_too_new_are_rejected_by_their_places(logs: Any, group: str) -> None:
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now_ms = int(logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["creationTime"])
    put, day_ms = logs.put_log_events, 86_400_000
    place = {"logGroupName": group, "logStreamName": "s"}
    old = {"timestamp": now_ms - 15 * day_ms, "message": "old"}
    new = {"timestamp": now_ms + day_ms // 2, "message": "new"}
    good = {"timestamp": now_ms, "message": "good"}

    assert put(**place, logEvents=[old])["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert put(**place, logEvents=[good, new])["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert found(logs, "", group) == ["good"]
    for events, words in (([new, good], "chronological order"), ([old, good], "24 hours")):
        status, code, message = refused(put, **place, logEvents=events)
        assert (status, code) == (400, "InvalidParameterException")
        assert words in message


@pytest.mark.provenance("documented")
def test_what_is_not_there_and_what_is_there_already_is_said_in_the_words_of_logs(
    logs: Any, group: str
) -> None:
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    missing, there = "ResourceNotFoundException", "ResourceAlreadyExistsException"
    for call, members, code in (
        (logs.create_log_group, {"logGroupName": group}, there),
        (logs.create_log_stream, {"logGroupName": group, "logStreamName": "s"}, there),
        (logs.describe_log_streams, {"logGroupName": "/none"}, missing),
        (logs.get_log_events, {"logGroupName": group, "logStreamName": "none"}, missing),
        (logs.filter_log_events, {"logGroupName": group, "logStreamNames": ["none"]}, missing),
        (logs.delete_log_group, {"logGroupName": "/none"}, missing),
        (logs.filter_log_events, {"logGroupName": group, "filterPattern": '"a'}, "InvalidParameterException"),
        (
            logs.filter_log_events,
            {"logGroupName": group, "filterPattern": "{$.a = 1}"},
            "InvalidParameterException",
        ),
        (
            logs.put_retention_policy,
            {"logGroupName": group, "retentionInDays": 8},
            "InvalidParameterException",
        ),
        (logs.get_log_events, {"logStreamName": "s"}, "InvalidParameterException"),
        (
            logs.get_log_events,
            {"logGroupName": group, "logStreamName": "s", "nextToken": "x"},
            "InvalidParameterException",
        ),
    ):
        assert refused(call, **members)[:2] == (400, code), members


def test_lines_outlive_the_server(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "models" / "printer").mkdir(parents=True)
    (tmp_path / "models" / "printer" / "inference.py").write_text(_SCRIPT)
    before = start_server(tmp_path / "models", tmp_path / "data", gateways=1)
    request_id = ask(client(before, "sagemaker-runtime"), say="kept")
    assert before.stop() == 0
    after = start_server(tmp_path / "models", tmp_path / "data", gateways=1)

    assert found(client(after, "logs"), f'"{request_id}"') == ["kept"]
