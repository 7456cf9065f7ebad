"""`sagebird container`: the SageMaker container contract alone, as `docker run IMAGE serve` starts it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, RunningServer, StartServer, free_port, wait_until
from tests.harness import web

_ROW = "5.1,3.5,1.4,0.2"
_IRIS = ROOT / "models" / "iris-logistic"


def _get(url: str) -> int:
    try:
        return web.get(url, timeout=5).status_code
    except httpx.HTTPError:
        return 0


def _start(start_server: StartServer, *arguments: str) -> RunningServer:
    server = start_server(None, None, *arguments, command="container", wait=False)
    wait_until(lambda: server.process.poll() is not None or _get(f"{server.url}/ping") == 200, 60)
    assert server.process.poll() is None, server.log.read_text()
    return server


@pytest.mark.provenance("documented")
def test_one_model_answers_invocations_and_nothing_else_is_there(start_server: StartServer) -> None:
    server = _start(start_server, "--model", str(_IRIS))
    answer = web.post(
        f"{server.url}/invocations", content=_ROW, headers={"Content-Type": "text/csv"}, timeout=10
    )
    assert (answer.status_code, answer.content) == (200, b"[0]")
    assert _get(f"{server.url}/healthz") == 200
    assert _get(f"{server.url}/execution-parameters") == 200
    for path in ("/", "/docs", "/status", "/metrics", "/nothing"):
        assert _get(f"{server.url}{path}") == 404
    assert web.post(f"{server.url}/endpoints/model/invocations", content=_ROW, timeout=10).status_code == 404
    assert server.stop() == 0


@pytest.mark.provenance("documented")
def test_a_broken_model_keeps_ping_at_503_and_says_why(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_bytes(b"no model")
    server = start_server(None, None, "--model", str(tmp_path), command="container", wait=False, gateways=1)
    wait_until(lambda: _get(f"{server.url}/ping") == 503, 60)
    wait_until(lambda: "cannot be read" in web.get(f"{server.url}/ping", timeout=5).text, 20)
    assert server.stop() == 0


@pytest.mark.provenance("documented")
def test_a_multi_model_container_starts_empty_on_the_port_it_is_told(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(_IRIS / "model.joblib", tmp_path / name)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGEBIRD_")}
    environment |= {
        "SAGEMAKER_MULTI_MODEL": "true",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
    }
    command = [sys.executable, "-m", "service.cli", "container", "--model", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _get(f"{url}/ping") == 200, 60)
        assert web.get(f"{url}/models", timeout=10).json() == {"models": []}
        for name in ("one", "two"):
            document = {"model_name": f"hash-of-{name}", "url": str(tmp_path / name)}
            assert web.post(f"{url}/models", json=document, timeout=10).status_code == 200
        assert len(web.get(f"{url}/models", timeout=10).json()["models"]) == 2
        for _ in range(10):
            answer = web.post(
                f"{url}/models/hash-of-two/invoke",
                content=_ROW,
                headers={"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": "two.tar.gz"},
                timeout=10,
            )
            assert (answer.status_code, answer.content) == (200, b"[0]")
        answer = web.post(f"{url}/invocations", content=_ROW, timeout=10)
        assert answer.status_code == 400
        assert "No default endpoint" in answer.text
    finally:
        process.terminate()
        assert process.wait(40) == 0
