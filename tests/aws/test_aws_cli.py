"""The runtime API as the real aws command line sees it: predictions, and each error of contract B.4."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.aws.conftest import CASES, Case, Stage, case_body
from tests.conftest import RunningServer

_AWS = Path(sys.executable).parent / "aws"


def _invoke(
    url: str, folder: Path, request: dict[str, Any], body: bytes
) -> tuple["subprocess.CompletedProcess[str]", Path]:
    payload, answer = folder / "request", folder / "answer"
    payload.write_bytes(body)
    options = [f"--{_kebab(name)}={value}" for name, value in request.items()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    command = [str(_AWS), "sagemaker-runtime", "invoke-endpoint", *options, "--body", f"fileb://{payload}"]
    done = subprocess.run(
        [*command, str(answer)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done, answer


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


@pytest.mark.provenance("observed")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_error_is_printed_with_code_and_message(case: Case, stage: Stage, tmp_path: Path) -> None:
    done, answer = _invoke(stage.url, tmp_path, case.request, case_body(case, stage))
    assert done.returncode != 0
    expected = f"An error occurred ({case.code}) when calling the InvokeEndpoint operation"
    assert expected in done.stderr
    assert f": {case.message}" in done.stderr
    assert not answer.exists()


@pytest.mark.provenance("observed")
def test_a_prediction_is_written_to_the_file_and_its_variant_printed(
    samples: RunningServer, tmp_path: Path
) -> None:
    request = {"EndpointName": "iris", "ContentType": "text/csv", "TargetVariant": "forest"}
    done, answer = _invoke(samples.url, tmp_path, request, b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ContentType": "application/json",
        "InvokedProductionVariant": "forest",
    }
    assert answer.read_bytes() == b"[0, 2]"


@pytest.mark.provenance("observed")
def test_headers_travel_both_ways(stage: Stage, tmp_path: Path) -> None:
    ask = {"headers": {"X-Amzn-SageMaker-Custom-Attributes": "seen"}, "text": "fine"}
    request = {"EndpointName": "actor", "CustomAttributes": "mine", "InferenceId": "call-1"}
    done, answer = _invoke(stage.url, tmp_path, request, json.dumps(ask).encode())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ContentType": "text/plain",
        "InvokedProductionVariant": "v",
        "CustomAttributes": "seen",
    }
    assert answer.read_bytes() == b"fine"


def test_the_cli_reaches_a_model_of_a_multi_model_endpoint(samples: RunningServer, tmp_path: Path) -> None:
    request = {"EndpointName": "catalogue", "TargetModel": "iris-logistic", "ContentType": "text/csv"}
    done, answer = _invoke(samples.url, tmp_path, request, b"5.1,3.5,1.4,0.2")
    assert done.returncode == 0, done.stderr
    assert answer.read_bytes() == b"[0]"
