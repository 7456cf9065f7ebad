"""`sagebird jobs` over a server that says what a test wants it to say."""

import json
import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from service.cli import make_app
from tests.load.stub import Asked, Reply, Stub, serving

_SUMMARY = {
    "TransformJobName": "inbox-0123",
    "TransformJobStatus": "Completed",
    "CreationTime": 1_800_000_000.0,
    "TransformEndTime": 1_800_000_009.0,
}
_DESCRIBED = {
    **_SUMMARY,
    "TransformStartTime": 1_800_000_008.0,
    "ModelName": "iris-logistic",
    "TransformInput": {
        "DataSource": {"S3DataSource": {"S3Uri": "file:///data/inbox/iris-logistic/j%20b.csv"}}
    },
}


_LONG = "a-nightly-job-over-all-of-last-years-measurements-of-irises-0001"


def _answer(asked: Asked) -> Reply:
    if _LONG.encode() in asked.body:
        return Reply(body=json.dumps({**_DESCRIBED, "TransformJobName": _LONG}).encode())
    listed = asked.headers["x-amz-target"].endswith("ListTransformJobs")
    return Reply(body=json.dumps({"TransformJobSummaries": [_SUMMARY]} if listed else _DESCRIBED).encode())


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(_answer) as running:
        yield running


def _jobs(stub: Stub, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    return runner.invoke(make_app("jobs"), ["jobs", *arguments, "--url", stub.url])


def test_a_list_and_one_job_say_the_same_with_model_and_input(stub: Stub) -> None:
    listed, one = _jobs(stub), _jobs(stub, "inbox-0123")

    assert listed.output == one.output
    for words in ("created (UTC)", "1.0", "iris-logistic", "j b.csv"):
        assert words in listed.output


def test_names_are_whole_however_narrow_it_is(stub: Stub) -> None:
    runner = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"})

    done = runner.invoke(make_app("jobs"), ["jobs", _LONG, "--url", stub.url])

    (row,) = [line for line in done.output.splitlines() if "iris-logistic" in line]
    assert {_LONG, "Completed", "j b.csv"} <= set(re.split(r" *│ *", row))


def test_to_stop_takes_a_name(stub: Stub) -> None:
    done = _jobs(stub, "--stop")

    assert done.exit_code == 1
    assert "Name the job to stop" in done.output
    assert stub.asked == []


@pytest.mark.parametrize(
    ("url", "why"),
    [("foo", "missing an 'http://' or 'https://' protocol"), ("ftp://foo", "ftp"), ("http://foo:bar", "bar")],
)
def test_what_is_no_address_is_told_apart_from_a_server_that_does_not_answer(url: str, why: str) -> None:
    done = CliRunner().invoke(make_app("endpoints"), ["endpoints", "--url", url])

    assert done.exit_code == 1
    assert f"{url} is no address of a server (" in done.output
    assert why in done.output
    assert "write it as http://HOST:PORT, or start one" in done.output
