"""`sagebird logs` over a server that says what a test wants it to say."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import make_app
from service.domain.log_places import TRANSFORM_JOBS
from tests.load.stub import Asked, Reply, Stub, serving

_GROUPS = {"/aws/sagemaker/Endpoints/iris": ["v/i-1"], TRANSFORM_JOBS: ["nightly/i-2-3"], "/own": ["s"]}
_LINES = [("v/i-1", "first"), ("v/i-1", "second\nline \x1b[31m"), ("w/i-4", "third")]


def _answer(asked: Asked) -> Reply:
    if asked.path.startswith("/status"):
        status = {"endpoints": [{"name": "iris"}, {"name": "quiet"}], "models": []}
        return Reply(body=json.dumps(status).encode(), headers={"x-amzn-requestid": "1"})
    fields: dict[str, Any] = json.loads(asked.body)
    if asked.headers["x-amz-target"].endswith("DescribeTransformJob"):
        return _describe_job(fields["TransformJobName"])
    streams = _GROUPS.get(fields["logGroupName"])
    if streams is None:
        text = {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}
        return Reply(400, json.dumps(text).encode(), {"x-amzn-requestid": "1"})
    if asked.headers["x-amz-target"].endswith("DescribeLogStreams"):
        prefix = fields.get("logStreamNamePrefix", "")
        found = [{"logStreamName": name} for name in streams if name.startswith(prefix)]
        return Reply(body=json.dumps({"logStreams": found}).encode())
    page = int(fields.get("nextToken", "0"))
    stream, message = _LINES[page]
    event = {
        "logStreamName": stream,
        "message": message,
        "timestamp": 1_800_000_000_123 + page,
        "eventId": str(page),
    }
    more = {"nextToken": str(page + 1)} if page + 1 < len(_LINES) else {}
    return Reply(body=json.dumps({"events": [event], **more}).encode())


def _describe_job(name: str) -> Reply:
    if name == "new-job":
        return Reply(body=b"{}", headers={"x-amzn-requestid": "1"})
    code = "ValidationException" if name == "nobody" else "AccessDeniedException"
    text = {"__type": code, "message": "No."}
    return Reply(400, json.dumps(text).encode(), {"x-amzn-requestid": "1"})


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(_answer) as running:
        yield running


def _logs(stub: Stub, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    return runner.invoke(make_app("logs"), ["logs", *arguments, "--url", stub.url])


def test_all_pages_are_shown_with_time_and_variant_and_nothing_steers_the_terminal(stub: Stub) -> None:
    result = _logs(stub, "iris")

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "2027-01-15 08:00:00.123  v  first"
    assert [line.split()[-1] for line in lines] == ["first", "second", r"\x1b[31m", "third"]


def test_a_name_may_be_a_jobs_or_a_groups_and_an_unknown_one_is_said(stub: Stub) -> None:
    assert _logs(stub, "nightly").exit_code == 0
    assert _logs(stub, "/own").exit_code == 0

    unknown = _logs(stub, "nobody")
    assert unknown.exit_code == 1
    assert (
        f"There is no endpoint or batch transform job nobody. {stub.url} has iris, quiet.\n" in unknown.output
    )


def test_nobody_waits_for_what_a_slip_names(stub: Stub) -> None:
    unknown = _logs(stub, "nobody", "--follow")

    assert unknown.exit_code == 1
    assert "There is no endpoint or batch transform job nobody." in unknown.output


@pytest.mark.parametrize("name", ["quiet", "new-job"])
def test_of_what_is_there_and_silent_that_is_said(stub: Stub, name: str) -> None:
    silent = _logs(stub, name)

    assert silent.exit_code == 1
    assert f"Nothing was printed by an endpoint or a batch transform job {name} so far." in silent.output


def test_who_may_not_ask_for_jobs_is_told_so(stub: Stub) -> None:
    assert "sagebird: No.\n" in _logs(stub, "secret").output


def test_a_request_is_a_term_of_the_pattern(stub: Stub) -> None:
    assert _logs(stub, "iris", "--request", "id-1", "--filter", "ERROR", "--since", "2h").exit_code == 0

    fields = json.loads(stub.asked[-1].body)
    assert fields["filterPattern"] == '"id-1" ERROR'
    assert fields["logGroupName"] == "/aws/sagemaker/Endpoints/iris"


def test_json_is_a_line_for_each(stub: Stub) -> None:
    found = [json.loads(line) for line in _logs(stub, "iris", "--json").output.splitlines()]

    assert [event["message"] for event in found] == [message for _, message in _LINES]


@pytest.mark.parametrize("since", ["yesterday", "5", "-1h", ""])
def test_a_span_that_is_none_is_refused(stub: Stub, since: str) -> None:
    assert _logs(stub, "iris", f"--since={since}").exit_code == 1
