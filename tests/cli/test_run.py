"""`sagebird run` with programs as people write them: what they get, what they find, and how they end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from service.cli.program import environment_for, withheld
from tests.conftest import START_S, RunningServer, StartServer, wait_until

_PROGRAM = """
import json, os, sys, boto3, botocore
def asked(**named):
    client = boto3.client("sts", config=botocore.config.Config(retries={"total_max_attempts": 1}), **named)
    return client.get_caller_identity()["Account"], client.meta.endpoint_url
seen = {
    "usual": asked(),
    "named": asked(endpoint_url="https://sts.eu-west-1.amazonaws.com"),
    "key": boto3.Session().get_credentials().access_key,
    "profiles": boto3.Session().available_profiles,
    "own": getattr(sys, "own_customization", None),
}
print(json.dumps(seen))
sys.exit(7)
"""
_SIGNALLED = """
import signal, sys, time
def end(number, frame):
    print("got", number, flush=True)
    sys.exit(40 + number)
signal.signal(signal.SIGINT, end), signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(0.05)  # a pause could begin when the signal has already come
"""


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    models = tmp_path_factory.mktemp("models")
    (models / "endpoints.yaml").write_text("endpoints: {}\n")
    return start_server(models, gateways=1)


def _start(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("SAGEBIRD_", "AWS_"))
    }
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", "run", *arguments],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(Path(__file__).parents[2]), "SAGEBIRD_PORT": "1"} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # no terminal: whoever sends a signal means this process
    )


def _run(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    process = _start(folder, *arguments, **variables)
    said, told = process.communicate(timeout=START_S)
    return process.returncode, said, told


def test_a_program_finds_the_server_and_none_of_aws(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.own_customization = __file__\n")
    (tmp_path / "credentials").write_text(
        "[prod]\naws_access_key_id = AKIAREAL\naws_secret_access_key = real\n"
    )

    code, said, told = _run(
        tmp_path,
        *("--url", server.url, "--", sys.executable, "-c", _PROGRAM),
        AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"),
        AWS_PROFILE="prod",
        AWS_ENDPOINT_URL_STS="https://sts.amazonaws.com",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}",
    )

    assert (code, told) == (7, "sagebird: the program does not get your AWS_PROFILE\n")
    seen = json.loads(said)
    assert seen["usual"] == seen["named"] == ["000000000000", server.url]
    assert seen["key"] == "sagebird"
    assert seen["profiles"] == []
    assert seen["own"] == str(tmp_path / "sitecustomize.py")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_programs(server: RunningServer, tmp_path: Path, number: signal.Signals) -> None:
    process = _start(tmp_path, "--url", server.url, "--", sys.executable, "-c", _SIGNALLED)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)

    said, _ = process.communicate(timeout=START_S)
    assert (process.returncode, said) == (40 + number, f"got {int(number)}\n")


@pytest.mark.family
def test_where_no_server_runs_one_is_started_and_gone_with_the_program(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "endpoints.yaml").write_text("endpoints: {}\n")
    program = "import os; print(os.environ['AWS_ENDPOINT_URL'], flush=True); os.kill(os.getpid(), 9)"
    process = _start(
        tmp_path,
        *("--", sys.executable, "-c", f"{program}"),
        SAGEBIRD_GATEWAYS="1",
        SAGEBIRD_WORKERS="0",
    )
    family: set[psutil.Process] = set()

    def is_over() -> bool:
        if process.poll() is None:
            family.update(psutil.Process(process.pid).children(recursive=True))
        return process.poll() is not None

    wait_until(is_over, START_S)

    said, told = process.communicate(timeout=START_S)
    assert (process.returncode, told) == (128 + 9, "")
    assert said.startswith("http://127.0.0.1:")
    assert family
    assert psutil.wait_procs(list(family), START_S)[1] == []


def test_what_cannot_be_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("")

    assert _run(tmp_path) == (2, "", "sagebird: Say what to run: sagebird run -- python program.py\n")
    assert _run(tmp_path, "--", "no-such")[::2] == (127, "sagebird: There is no program no-such.\n")
    code, _, told = _run(tmp_path, "--", "./plain.py")
    assert (code, told.count("\n")) == (126, 1)
    code, _, told = _run(tmp_path, "--url", "http://127.0.0.1:1", "--", "true")
    assert (code, told.count("\n")) == (1, 1)
    assert told.startswith("sagebird: No sagebird answers at http://127.0.0.1:1")


def test_credentials_of_aws_stay_and_those_of_a_sagebird_go_along() -> None:
    real = {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real", "AWS_SESSION_TOKEN": "real"}
    ours = {"AWS_ACCESS_KEY_ID": "SBKAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "own"}

    assert "real" not in environment_for("http://sagebird", real).values()
    assert withheld(real) == ["AWS_ACCESS_KEY_ID"]
    assert environment_for("http://sagebird", ours).items() >= ours.items()
    assert withheld(ours) == []


def test_a_region_and_places_without_a_proxy_are_kept() -> None:
    found = environment_for("http://127.0.0.1:80", {"AWS_REGION": "eu-west-1", "NO_PROXY": "inside"})

    assert found["AWS_DEFAULT_REGION"] == found["AWS_REGION"] == "eu-west-1"
    assert found["no_proxy"] == "inside,127.0.0.1"
