"""An image that is built here and served by boto3, where a Docker engine is."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

from tests.conftest import ROOT, RunningServer, StartServer, wait_until

pytestmark = pytest.mark.family

PATIENCE_S = 120.0
ROLE = "arn:aws:iam::000000000000:role/anyone"
BASE = os.environ.get("BASE_IMAGE", "python:3.13-slim")
DOCKERFILE = f"""
FROM {BASE}
COPY serve /usr/local/bin/serve
USER 1000
"""
APP = """#!/usr/bin/env python3
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

factor = float(Path("/opt/ml/model/factor").read_text())
print("the factor is", factor, flush=True)


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ping" else 404)
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            os._exit(3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([float(body) * factor, os.environ["MINE"]]).encode())


ThreadingHTTPServer(("0.0.0.0", 8080), App).serve_forever()
"""


def docker(*arguments: str | Path) -> str:
    command = ["docker", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S).stdout


def has_engine() -> bool:
    if shutil.which("docker") is None:
        return False
    found = subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, timeout=PATIENCE_S)
    return found.returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image that a Dockerfile of four lines builds."""
    needed = os.environ.get("TEST_ENGINE") == "needed"
    if os.environ.get("CI") and not needed:
        pytest.skip("it has a turn of its own, once the engine is up")
    if not has_engine():
        assert not needed, f"no Docker engine here that has {BASE}"
        pytest.skip(f"no Docker engine here that has {BASE}")
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "serve").write_text(APP)
    (folder / "serve").chmod(0o755)
    name = f"sagebird-test/doubles:{uuid.uuid4().hex[:12]}"
    docker("build", "--quiet", "--tag", name, folder)
    yield name
    docker("image", "rm", "--force", name)


def containers_of(image: str) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split()


def answer(runtime: Any, body: bytes) -> bytes:
    found: bytes = runtime.invoke_endpoint(EndpointName="theirs", Body=body)["Body"].read()
    return found


def answers(runtime: Any) -> bool:
    with suppress(ClientError):
        return answer(runtime, b"1") == b'[2.0, "yes"]'
    return False


def clients(server: RunningServer) -> tuple[Any, Any]:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=PATIENCE_S)
    keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    sagemaker, runtime = (
        boto3.client(name, endpoint_url=server.url, config=config, **keys)
        for name in ("sagemaker", "sagemaker-runtime")
    )
    return sagemaker, runtime


def deploy(sagemaker: Any, image: str, name: str = "theirs") -> None:
    container = {"Image": image, "ModelDataUrl": "s3://models/factor/", "Environment": {"MINE": "yes"}}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    one = {"VariantName": "a", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[one])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 1200})


def test_an_image_of_ones_own_is_served_and_taken_down(
    image: str, start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    data = tmp_path / "data" / "s3" / "models" / "factor"
    data.mkdir(parents=True)
    (data / "factor").write_text("2")
    server = start_server(tmp_path / "models", tmp_path / "data")
    sagemaker, runtime = clients(server)
    with closing(sagemaker), closing(runtime):
        deploy(sagemaker, image)
        assert answer(runtime, b"21") == b'[42.0, "yes"]'
        assert len(containers_of(image)) == 1
        assert "the factor is 2.0" in server.log.read_text()
        with pytest.raises(ClientError, match="ended before it had answered"):
            answer(runtime, b"die")
        wait_until(lambda: answers(runtime), PATIENCE_S)  # until its end is noticed calls fail
        with pytest.raises(WaiterError):
            deploy(sagemaker, "sagebird-test/nobody-built-this:1", "missing")
        own = tmp_path / "own"
        own.mkdir()
        (own / "factor").write_text("3")
        archive = shutil.make_archive(str(own), "gztar", own)  # whose files the image's user may not read
        asked = [
            "deploy",
            archive,
            "--name",
            "own",
            "--image",
            image,
            "-e",
            "MINE=too",
            "--data",
            server.data,
        ]
        command = [sys.executable, "-m", "service.cli", *map(str, asked), "--url", server.url]
        subprocess.run(command, cwd=ROOT, check=True, timeout=PATIENCE_S)
        assert server.invoke("own", "5").text == '[15.0, "too"]'
        reason = sagemaker.describe_endpoint(EndpointName="missing")["FailureReason"]
        assert "the Docker engine does not have it" in reason

    everyone = [server.process.pid, *(child.pid for child in server.children())]
    for pid in everyone:
        os.kill(pid, signal.SIGKILL)
    server.process.wait(PATIENCE_S)
    left = containers_of(image)
    again = start_server(tmp_path / "models", tmp_path / "data")
    sagemaker, runtime = clients(again)
    with closing(sagemaker), closing(runtime):
        assert answer(runtime, b"3") == b'[6.0, "yes"]'
        assert not set(left).intersection(containers_of(image))
        for name in ("theirs", "own"):
            sagemaker.delete_endpoint(EndpointName=name)
        wait_until(lambda: not containers_of(image), PATIENCE_S)
        sagemaker.create_endpoint(EndpointName="theirs", EndpointConfigName="theirs")
        waiter = sagemaker.get_waiter("endpoint_in_service")
        waiter.wait(EndpointName="theirs", WaiterConfig={"Delay": 0.1, "MaxAttempts": 1200})
    assert len(containers_of(image)) == 1
    assert again.stop() == 0
    assert containers_of(image) == []
