"""`sagebird load` as people and scripts meet it: over the samples, over servers that misbehave on purpose."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from typer.testing import CliRunner

from service.cli import make_app
from tests.conftest import ROOT, RunningServer
from tests.load.stub import Asked, Reply, Stub, serving

_SECRET = "wJalrXUtnFEMI/K7MDENG"
_KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": _SECRET,
    "AWS_SESSION_TOKEN": "token+/=",
}
_VARIANT = {"x-Amzn-Invoked-Production-Variant": "a"}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", "load", *arguments]


def _environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SAGE", "AWS_"))}
    unset = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**inherited, **unset, "AWS_EC2_METADATA_DISABLED": "true", "NO_COLOR": "1", **more}


def _run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        _command(*arguments),
        cwd=ROOT,
        env=_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _status(*variants: str, body: str = "1") -> Reply:
    cards = [{"name": name, "weight": 1.0, "pending": False} for name in variants]
    example = {"body": body, "content_type": "text/csv", "target_model": None}
    endpoint = {"name": "e", "variants": cards, "example": example}
    return Reply(body=json.dumps({"endpoints": [endpoint], "models": []}).encode())


def _sagebird(asked: Asked) -> Reply:
    """A server that knows the endpoint e with the variant a."""
    return _status("a") if asked.path == "/status" else Reply(headers=_VARIANT)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(_sagebird) as running:
        yield running


# ---- over the samples


def test_a_rate_is_a_table_a_document_and_a_page(samples: RunningServer, tmp_path: Path) -> None:
    files = ("--json", str(tmp_path / "load.json"), "--plot", str(tmp_path / "load.html"))
    done = _run("iris", "--rate", "100", "--duration", "2", *files, "--url", samples.url)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}
    assert rows["total"][1] == "200"
    assert int(rows["logistic"][1]) + int(rows["forest"][1]) == 200
    report = json.loads((tmp_path / "load.json").read_text())
    assert report["total"]["answers"] == 200
    assert {each["name"]: each["expected"]["share"] for each in report["variants"]} == {
        "logistic": 0.9,
        "forest": 0.1,
    }
    page = (tmp_path / "load.html").read_text()
    assert 'data-series="logistic p99"' in page
    assert 'data-series="forest p99"' in page


def test_a_named_variant_gets_it_all(samples: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    asked = ("--target-variant", "forest", "--requests", "30", "--duration", "60")
    done = _run("iris", "--concurrency", "2", *asked, "--json", str(file), "--url", samples.url)

    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert [(each["name"], each["answers"]) for each in report["variants"]] == [("forest", 30)]


def test_a_multi_model_endpoint_is_called_with_its_example(samples: RunningServer) -> None:
    done = _run("catalogue", "--concurrency", "1", "--requests", "5", "--url", samples.url)

    assert done.returncode == 0, done.stderr + done.stdout


def test_a_model_that_is_named_gets_its_own_example(samples: RunningServer) -> None:
    options = ("--target-model", "digits", "--concurrency", "1", "--requests", "5")
    done = _run("catalogue", *options, "--url", samples.url)

    assert done.returncode == 0, done.stderr + done.stdout


def test_refused_requests_are_counted_with_their_message_and_end_with_1(
    samples: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "good.csv").write_text("5.1,3.5,1.4,0.2")
    (tmp_path / "worse.csv").write_text("5.1,3.5,abc,0.2")
    turns = ("--body", str(tmp_path), "--requests", "10", "--concurrency", "1")
    done = _run("iris", *turns, "--url", samples.url)

    assert done.returncode == 1
    assert "5 times 424 ModelError: Row 1, column 3: 'abc' is not a number." in done.stdout


def test_so_many_requests_take_as_long_as_they_take(samples: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    done = _run("iris", "--requests", "60", "--rate", "40", "--json", str(file), "--url", samples.url)

    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert report["duration_s"] == pytest.approx(1.5, abs=0.5)
    assert report["total"]["answers_per_second"] == pytest.approx(60 / report["duration_s"])
    assert report["total"]["timeline"][-1]["at_s"] < report["duration_s"]


def test_named_alone_an_endpoint_gets_its_example_from_a_few_callers(samples: RunningServer) -> None:
    done = _run("iris", "--requests", "20", "--url", samples.url)

    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "Neither --rate nor --concurrency is given: 4 callers, 20 requests, with the endpoint's example "
        "(text/csv).\n"
    )
    assert "4 callers at once" in done.stdout


def test_of_one_endpoint_not_even_the_name_is_needed(stub: Stub, samples: RunningServer) -> None:
    done = _run("--requests", "3", "--url", stub.url)
    several = _run("--requests", "3", "--url", samples.url, COLUMNS="300")

    assert done.returncode == 0, done.stderr
    tried = 1  # before the run
    assert [asked.path for asked in stub.asked[1:]] == ["/endpoints/e/invocations"] * (tried + 3)
    assert several.returncode == 2
    assert "has bird-strike, catalogue, iris" in several.stderr


def test_failures_stand_with_the_variant_that_the_answer_names(tmp_path: Path) -> None:
    turns = count()

    def script(asked: Asked) -> Reply:
        if asked.path == "/status":
            return _status("a", "b")
        named = {"x-Amzn-Invoked-Production-Variant": "b" if next(turns) % 2 else "a"}
        return Reply(424 if "b" in named.values() else 200, headers=named)

    file = tmp_path / "load.json"
    with serving(script) as stub:
        done = _run("e", "--concurrency", "1", "--requests", "20", "--json", str(file), "--url", stub.url)

    assert done.returncode == 1
    report = json.loads(file.read_text())
    figures = ("name", "requests", "failed", "share")
    assert [tuple(each[name] for name in figures) for each in report["variants"]] == [
        ("a", 10, 0, 0.5),
        ("b", 10, 10, 0.5),
    ]


# ---- what it refuses


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--aws", "--region", "eu-west-1"), "Give --rate or --concurrency"),
        (("--rate", "1", "--concurrency", "1"), "Give either --rate"),
        (("--concurrency", "1", "--poisson"), "--poisson goes with --rate"),
        (("--rate", "1", "--url", "http://203.0.113.7"), "is another machine"),
        (("--rate", "1", "--url", "https://example.com"), "say so with --remote"),
        (("--rate", "1", "--url", "nowhere"), "is no address of a server"),
        (("--rate", "1", "--region", "eu-west-1"), "--region goes with --aws"),
        (("--rate", "1", "--aws"), "Name the endpoint's AWS region"),
        (("--rate", "1", "--aws", "--url", "http://x"), "leave --url"),
        (("--rate", "0"), "--rate"),
        (("--rate", "1", "--duration", "90000"), "--duration"),
    ],
)
def test_what_makes_no_sense_is_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    unset = {name: None for name in os.environ if name.startswith(("SAGE", "AWS_"))}
    done = CliRunner(env={**unset, **_environment(COLUMNS="300")}).invoke(
        make_app(), ["load", "e", *arguments]
    )

    assert done.exit_code == 2, done.output
    assert words in done.output


def test_a_header_of_two_lines_is_exit_code_2(stub: Stub) -> None:
    done = _run("e", "--rate", "1", "--accept", "a\r\nX-Evil: b", "--url", stub.url, COLUMNS="300")

    assert done.returncode == 2
    assert "printable ASCII" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody",), "There is no endpoint nobody"),
        (("e", "--body", "no-such-file.csv"), "no-such-file.csv cannot be read"),
        (("e", "--requests", "1", "--json", "no-such-folder/load.json"), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_exit_code_1_and_a_sentence(
    stub: Stub, arguments: tuple[str, ...], words: str
) -> None:
    done = _run(*arguments, "--concurrency", "1", "--url", stub.url)

    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_mistake_of_the_caller_is_met_once_and_not_by_every_request() -> None:
    denial = json.dumps({"Message": "There is no variant b."}).encode()

    def script(asked: Asked) -> Reply:
        refused = Reply(400, denial, {"x-Amzn-ErrorType": "ValidationError"})
        return _status("a") if asked.path == "/status" else refused

    with serving(script) as stub:
        asked = ("e", "--requests", "3", "--target-variant", "b", "--url", stub.url)
        once, many = _run(*asked), _run(*asked, "--allow-failures")

    assert (once.returncode, once.stdout) == (1, "")
    assert "sagebird: 400 ValidationError: There is no variant b. (" in once.stderr
    assert many.returncode == 1
    assert "3 times 400 ValidationError: There is no variant b." in many.stdout
    assert len(stub.asked) == 2 + 4


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_what_could_not_be_written_afterwards_is_refused_before(stub: Stub, option: str) -> None:
    for file in ("no-such-folder/load.json", "tests"):
        done = _run("e", "--requests", "1", option, file, "--url", stub.url)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{file} cannot be written: " in done.stderr
    assert stub.asked == []


def test_another_machine_that_was_allowed_is_called(stub: Stub) -> None:
    # 0.0.0.0 leads to this machine but is no loopback address
    url = stub.url.replace("127.0.0.1", "0.0.0.0")
    done = _run("e", "--concurrency", "1", "--requests", "3", "--remote", "--url", url)

    assert done.returncode == 0, done.stderr
    assert len(stub.asked) == 5  # /status, the trial, and three that count


# ---- ended early


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_early_and_shows_what_came_of_it(
    stub: Stub, tmp_path: Path, number: signal.Signals
) -> None:
    files = ("--json", str(tmp_path / "load.json"))
    process = subprocess.Popen(
        _command("e", "--concurrency", "2", "--duration", "3600", "--url", stub.url, *files),
        cwd=ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stub.first.wait(60)  # /status
    while len(stub.asked) < 10:
        stub.first.clear()
        assert stub.first.wait(60)
    process.send_signal(number)
    shown, _ = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "ended early" in shown
    report: dict[str, Any] = json.loads((tmp_path / "load.json").read_text())
    assert report["interrupted"] is True
    assert report["total"]["answers"] >= 5
    assert report["total"]["failed"] == 0


# ---- a real SageMaker endpoint


def _sagemaker(asked: Asked) -> Reply:
    """What the two services of AWS answer, as far as it matters."""
    if asked.headers.get("x-amz-target") == "SageMaker.DescribeEndpoint":
        variants = [{"VariantName": "a", "CurrentWeight": 1.0}]
        return Reply(body=json.dumps({"EndpointName": "e", "ProductionVariants": variants}).encode())
    return Reply(headers=_VARIANT)


def _signature_by_botocore(asked: Asked, url: str) -> str:
    """The Authorization header that botocore gives the request that came, at the time that it names."""
    signed = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    given = {name: asked.headers[name] for name in signed if name != "host"}
    request = AWSRequest("POST", f"{url}{asked.path}", headers=given, data=asked.body)
    request.context["timestamp"] = asked.headers["x-amz-date"]
    auth = SigV4Auth(Credentials("AKIDEXAMPLE", _SECRET), "sagemaker", "eu-west-1")
    to_sign = auth.string_to_sign(request, auth.canonical_request(request))
    signature = auth.signature(to_sign, request)
    scope = f"AKIDEXAMPLE/{asked.headers['x-amz-date'][:8]}/eu-west-1/sagemaker/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"


@pytest.mark.provenance("botocore")
def test_requests_to_aws_carry_the_signature_that_botocore_computes(tmp_path: Path) -> None:
    (tmp_path / "row.csv").write_text("5.1,3.5,é")
    target = ("--target-variant", "a", "--target-container", "c", "--target-model", "m")
    options = ("--body", str(tmp_path / "row.csv"), *target, "--aws", "--region", "eu-west-1")
    with serving(_sagemaker) as aws:
        done = _run(
            "e f", "--concurrency", "1", "--requests", "3", *options, AWS_ENDPOINT_URL=aws.url, **_KEYS
        )

    assert done.returncode == 0, done.stderr
    calls = [asked for asked in aws.asked if asked.path == "/endpoints/e%20f/invocations"]
    assert len(calls) == 3
    for asked in calls:
        assert asked.headers["x-amz-security-token"] == "token+/="
        assert asked.headers["x-amzn-sagemaker-target-variant"] == "a"
        assert asked.headers["x-amzn-sagemaker-target-container-hostname"] == "c"
        assert asked.headers["x-amzn-sagemaker-target-model"] == "m"
        signed = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert {"content-type", "host", "x-amz-date", "x-amz-security-token"} <= set(signed)
        assert asked.headers["authorization"] == _signature_by_botocore(asked, aws.url)


def test_weights_of_aws_are_those_of_describe_endpoint(tmp_path: Path) -> None:
    (tmp_path / "row.csv").write_text("1")
    options = ("--body", str(tmp_path / "row.csv"), "--aws", "--json", str(tmp_path / "load.json"))
    keys = {**_KEYS, "AWS_DEFAULT_REGION": "eu-west-1"}
    with serving(_sagemaker) as aws:
        done = _run("e", "--concurrency", "1", "--requests", "3", *options, AWS_ENDPOINT_URL=aws.url, **keys)

    assert done.returncode == 0, done.stderr
    (variant,) = json.loads((tmp_path / "load.json").read_text())["variants"]
    assert (variant["weight"], variant["expected"]["inside"]) == (1.0, True)


def test_weights_that_may_not_be_read_are_no_reason_not_to_run(tmp_path: Path) -> None:
    (tmp_path / "row.csv").write_text("1")

    def script(asked: Asked) -> Reply:
        if "x-amz-target" in asked.headers:
            denied = {"__type": "AccessDeniedException", "message": "You may not."}
            return Reply(400, json.dumps(denied).encode())
        return Reply(headers=_VARIANT)

    options = ("--body", str(tmp_path / "row.csv"), "--aws", "--region", "eu-west-1")
    with serving(script) as aws:
        done = _run("e", "--concurrency", "1", "--requests", "3", *options, AWS_ENDPOINT_URL=aws.url, **_KEYS)

    assert done.returncode == 0, done.stderr
    assert "The weights are not known: " in done.stdout
    assert "You may not." in done.stdout


def test_no_credentials_are_a_sentence() -> None:
    done = _run("e", "--rate", "1", "--aws", "--region", "eu-west-1")

    assert done.returncode == 1
    assert "There are no AWS credentials" in done.stderr
    assert done.stderr.count("\n") == 1
