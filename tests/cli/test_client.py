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
from tests.conftest import RunningServer
from tests.harness.node import find_package
from tests.harness.played_http import played

_TYPESCRIPT = find_package("typescript")
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
    asked = _run(sys.executable, "ask.py", folder=tmp_path)
    assert asked["answer"]
    assert asked["variant"]
    assert asked["id"] is None  # of a call of nobody nothing is recorded


@pytest.mark.parametrize("endpoint", _ENDPOINTS)
def test_curl_runs(samples: RunningServer, endpoint: str, tmp_path: Path) -> None:
    command = _snippet(samples, endpoint, "curl").replace("curl ", "curl --silent --fail --max-time 60 ", 1)
    assert _run("sh", "-c", command, folder=tmp_path)


def _example(snippet: str) -> str:
    """The call that the last comment of a script shows, as code."""
    *_, mark, example = snippet.rstrip().splitlines()
    assert mark == "// For example:"
    return example.removeprefix("// ")


@needs_node
@pytest.mark.parametrize("endpoint", _ENDPOINTS)
def test_javascript_is_imported_and_runs(samples: RunningServer, endpoint: str, tmp_path: Path) -> None:
    assert _NODE is not None
    snippet = _snippet(samples, endpoint, "js")
    (tmp_path / "endpoint.mjs").write_text(snippet, encoding="utf-8")
    (tmp_path / "ask.mjs").write_text(f'import {{ predict }} from "./endpoint.mjs";\n{_example(snippet)}')
    asked = _run(_NODE, "ask.mjs", folder=tmp_path)
    assert asked["answer"]
    assert asked["variant"]
    assert asked["id"]


@needs_node
@pytest.mark.skipif(_TYPESCRIPT is None, reason="needs TypeScript (make client)")
def test_typescript_compiles_strictly_and_runs(samples: RunningServer, tmp_path: Path) -> None:
    assert _NODE is not None
    assert _TYPESCRIPT is not None
    for endpoint in _ENDPOINTS:
        snippet = _snippet(samples, endpoint, "ts")
        (tmp_path / f"{endpoint}.mts").write_text(snippet, encoding="utf-8")
        ask = f'import {{ predict, type Prediction }} from "./{endpoint}.mjs";\n{_example(snippet)}\n'
        (tmp_path / f"ask-{endpoint}.mts").write_text(f"{ask}export const last: Prediction[] = [];\n")
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]
    files = [f"ask-{endpoint}.mts" for endpoint in _ENDPOINTS]
    done = subprocess.run(
        [_TYPESCRIPT / "node_modules/.bin/tsc", *options, *files],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for endpoint in _ENDPOINTS:
        assert _run(_NODE, f"ask-{endpoint}.mjs", folder=tmp_path)["id"]


_ANSWERED = (
    200,
    {
        "Content-Type": "application/json",
        "x-Amzn-Invoked-Production-Variant": "b",
        "X-Amzn-SageMaker-Inference-Id": "7",
    },
    b"[1]",
)
_RECEIPT = {"counted": 1, "waiting": 0, "repeated": 0, "contradicting": 0}


@pytest.mark.parametrize("lang", ["python", pytest.param("js", marks=needs_node)])
def test_outcomes_are_reported_by_what_a_prediction_comes_to(lang: str, tmp_path: Path) -> None:
    found = {**_FOUND, "name": "o dd", "input": {**_FOUND["input"], "examples": {"text/csv": "1,2"}}}
    with played([_ANSWERED, (200, {}, json.dumps(_RECEIPT).encode())]) as server:
        module = LANGUAGES[lang](DescribedEndpoint(server.url, found))
        if lang == "python":
            (tmp_path / "endpoint.py").write_text(module)
            ask = (
                "import json, endpoint\nfound = endpoint.predict('1,2', 'anna')\n"
                "receipt = endpoint.report_outcome(found['id'], {'click': True})\n"
                "print(json.dumps([found, receipt]))"
            )
            asked = _run(sys.executable, "-c", ask, folder=tmp_path)
        else:
            (tmp_path / "endpoint.mjs").write_text(module)
            (tmp_path / "ask.mjs").write_text(
                'import { predict, reportOutcome } from "./endpoint.mjs";\n'
                'const found = await predict("1,2", "anna");\n'
                "const receipt = await reportOutcome(found.id, { click: true });\n"
                "console.log(JSON.stringify([found, receipt]));"
            )
            asked = _run(_NODE or "node", "ask.mjs", folder=tmp_path)

    assert asked == [{"answer": [1], "variant": "b", "id": "7"}, _RECEIPT]
    (_, predicted, _), (path, _, body) = server.asked
    assert predicted["x-sagebird-user"] == "anna"
    assert path == "/endpoints/o%20dd/outcomes"
    assert json.loads(body) == {"inference_id": "7", "click": True}


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
