"""`sagebird client`: each snippet runs as it is printed, and nothing that an endpoint says becomes code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import make_app
from service.cli.client_snippets import LANGUAGES, DescribedEndpoint
from tests.conftest import ROOT, RunningServer

_TSC = ROOT / ".client" / "node_modules" / ".bin" / "tsc"
_NODE = shutil.which("node")
_ENDPOINTS = ("iris", "bird-strike", "catalogue")
needs_node = pytest.mark.skipif(_NODE is None, reason="needs node")
_FOUND: dict[str, Any] = {
    "name": "odd",
    "invocations": "/endpoints/odd/invocations",
    "models": [],
    "input": {"columns": [], "schema": {}, "examples": {}},
    "output": {"classes": [], "schema": {}},
}


def _snippet(server: RunningServer, endpoint: str, lang: str) -> str:
    told = CliRunner().invoke(make_app("client"), ["client", endpoint, "--lang", lang, "--url", server.url])
    assert told.exit_code == 0, told.output
    return told.stdout


def _run(*command: str | Path, folder: Path) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("endpoint", _ENDPOINTS)
def test_python_runs(samples: RunningServer, endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(_snippet(samples, endpoint, "python"), encoding="utf-8")
    assert _run(sys.executable, "ask.py", folder=tmp_path)


@pytest.mark.parametrize("endpoint", _ENDPOINTS)
def test_curl_runs(samples: RunningServer, endpoint: str, tmp_path: Path) -> None:
    command = _snippet(samples, endpoint, "curl").replace("curl ", "curl --silent --fail --max-time 60 ", 1)
    assert _run("sh", "-c", command, folder=tmp_path)


@needs_node
@pytest.mark.parametrize("endpoint", _ENDPOINTS)
def test_javascript_runs(samples: RunningServer, endpoint: str, tmp_path: Path) -> None:
    assert _NODE is not None
    (tmp_path / "ask.mjs").write_text(_snippet(samples, endpoint, "js"), encoding="utf-8")
    assert _run(_NODE, "ask.mjs", folder=tmp_path)


@needs_node
@pytest.mark.skipif(not _TSC.exists(), reason="needs TypeScript (make client)")
def test_typescript_compiles_strictly_and_runs(samples: RunningServer, tmp_path: Path) -> None:
    assert _NODE is not None
    for endpoint in _ENDPOINTS:
        (tmp_path / f"{endpoint}.mts").write_text(_snippet(samples, endpoint, "ts"), encoding="utf-8")
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]
    done = subprocess.run(
        [_TSC, *options, *(f"{endpoint}.mts" for endpoint in _ENDPOINTS)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for endpoint in _ENDPOINTS:
        assert _run(_NODE, f"{endpoint}.mjs", folder=tmp_path)


def test_types_say_what_columns_may_hold(samples: RunningServer) -> None:
    birds, iris = (_snippet(samples, name, "ts") for name in ("bird-strike", "iris"))

    assert "export type Answer = (0 | 1 | 2)[];" in iris
    assert "export type Rows = (number[] | {" in iris
    assert '"sepal length (cm)": number' in iris
    assert '"large"' in birds
    assert "speed_knots: number | null" in birds


def test_what_is_not_there_is_refused_with_what_is(samples: RunningServer) -> None:
    run = CliRunner().invoke
    for arguments, why in (
        (["iris", "--lang", "cobol"], "ts, js, python, curl are there"),
        (["nobody"], "There is no endpoint nobody."),
    ):
        told = run(make_app("client"), ["client", *arguments, "--url", samples.url])
        assert told.exit_code == 1
        assert why in told.stderr


@pytest.mark.parametrize("lang", ["python", "curl"])
def test_what_an_endpoint_says_is_data(lang: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    touch = f"touch {planted}"
    for evil in (f"'; {touch}; '", f'"; {touch}; "', f"$({touch})", f"`{touch}`", f"\\'; {touch}; \\'"):
        examples = {"text/plain": f"{evil}\"\"\"'''\\\x1b[2J\n{evil}"}
        told = {
            "invocations": f"/{evil}",
            "models": [evil],
            "input": {**_FOUND["input"], "examples": examples},
        }
        text = LANGUAGES[lang](DescribedEndpoint("http://127.0.0.1:1", _FOUND | told))
        assert text.replace("\n", "").isprintable()
        command = ["sh", "-c", text] if lang == "curl" else [sys.executable, "-c", text]
        subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert not planted.exists()
