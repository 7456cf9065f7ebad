"""The command line as people and scripts meet it: help, tables, exit codes, one sentence for each refusal."""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from service.cli import make_app
from tests.conftest import ROOT, RunningServer, free_port

pytestmark = pytest.mark.family

_ROW = b"5.1,3.5,1.4,0.2\n"


def _run(*arguments: str, stdin: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAGE")}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        cwd=ROOT,
        env={**inherited, "COLUMNS": "200", "NO_COLOR": "1", **environment},
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def _sentence(done: "subprocess.CompletedProcess[bytes]", code: int) -> str:
    """The one line that a refusal is; no traceback, nothing on standard output."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert done.stdout == b""
    assert text.startswith("sagebird: ")
    assert text.count("\n") == 1, text
    return text


# ---- help


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help",), ("serve", "invoke", "endpoints", "models", "container", "worker")),
        ((), ("Usage",)),
        (("serve", "--help"), ("--host", "--port", "--models", "--data", "--gateways", "--auth")),
        (("container", "--help"), ("--model", "--multi-model", "/opt/ml/model")),
        (("invoke", "--help"), ("ENDPOINT", "--target-model", "--target-variant", "--target-container")),
    ],
)
def test_help_names_what_there_is(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    done = _run(*arguments)
    shown = (done.stdout + done.stderr).decode()
    for word in words:
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("load", "--help"), ("due. One is tried first", "[default: 10; with --requests as long as they")),
        (("compare", "--help"), ("[default: the one of most weight]", "[default: 0.01, a point, of classes")),
        (("experiment", "--help"), ("[default: the most frequent]", "[default: 0.01, a point, of classes")),
        (("keys", "create", "--help"), ("[default: ./data]", "[default: invoke]", "[default: for ever]")),
    ],
)
def test_help_tells_defaults_and_flows(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(make_app(arguments[0]), arguments, env={"COLUMNS": "200"}).stdout
    for word in words:
        assert word in shown


def test_the_version_is_told() -> None:
    assert re.fullmatch(rb"sagebird \d+\.\d+\.\d+\n", _run("--version").stdout)


# ---- talking to a server


def test_invoke_sends_a_file_by_its_ending(samples: RunningServer, tmp_path: Path) -> None:
    bodies = {"rows.csv": _ROW, "rows.json": b"[[5.1,3.5,1.4,0.2]]", "rows.jsonl": b"[5.1,3.5,1.4,0.2]"}
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)
        done = _run("invoke", "iris", str(tmp_path / name), "--url", samples.url)
        assert (done.returncode, done.stdout) == (0, b"[0]"), done.stderr
        assert re.match(rb"variant (logistic|forest), application/json\n", done.stderr)


def test_invoke_reads_standard_input_and_passes_headers_on(samples: RunningServer) -> None:
    done = _run(
        "invoke",
        "iris",
        "--target-variant",
        "forest",
        "--accept",
        "text/csv",
        stdin=_ROW,
        SAGEBIRD_URL=samples.url,
    )
    assert (done.returncode, done.stdout) == (0, b"0\n")
    assert done.stderr == b"variant forest, text/csv\n"
    done = _run(
        "invoke", "catalogue", "-", "--target-model", "digits", "--content-type", "application/json",
        stdin=b"[" + b",".join([b"0"] * 64) + b"]", SAGEBIRD_URL=samples.url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody",), "400 ValidationError: Endpoint nobody of account 000000000000 not found."),
        (("a/b?c",), "400 ValidationError: 1 validation error detected"),
        (("iris", "--content-type", "application/json"), "424 ModelError: The body is not JSON"),
        (("iris", "--target-variant", "x"), "Variant 'x' is not found in endpoint iris"),
        (("iris", "--target-container", "x"), "does not support the target container hostname header"),
        (("iris", "--target-model", "é"), "A header can only hold ASCII"),
        (("iris", "no-such-file.csv"), "no-such-file.csv cannot be read: No such file or directory."),
    ],
)
def test_a_refused_call_is_exit_code_1_and_one_sentence(
    samples: RunningServer, arguments: tuple[str, ...], words: str
) -> None:
    assert words in _sentence(_run("invoke", *arguments, stdin=_ROW, SAGEBIRD_URL=samples.url), 1)


def test_no_server_is_exit_code_1_and_says_how_to_start_one() -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "http://[nonsense"):
        assert "sagebird serve" in _sentence(_run("endpoints", "--url", url), 1)
    assert "write it as http://HOST:PORT" in _sentence(_run("endpoints", "--url", "nothing"), 1)


def test_endpoints_are_a_table_for_people_and_json_for_machines(samples: RunningServer) -> None:
    table = _run("endpoints", "--url", samples.url)
    assert table.returncode == 0, table.stderr
    shown = table.stdout.decode()
    for word in ("iris (default)", "InService", "logistic", "90%", "10%", "catalogue", "models/*"):
        assert word in shown
    cards = json.loads(_run("endpoints", "--json", "--url", samples.url).stdout)
    assert [card["name"] for card in cards] == ["bird-strike", "catalogue", "iris"]


def test_models_are_a_table_for_people_and_json_for_machines(samples: RunningServer) -> None:
    table = _run("models", "--url", samples.url)
    assert table.returncode == 0, table.stderr
    shown = table.stdout.decode()
    for word in ("iris-logistic", "loaded", "MiB", "LogisticRegression"):
        assert word in shown
    cards = json.loads(_run("models", "--json", "--url", samples.url).stdout)
    assert {"iris-logistic", "digits", "bird-strike"} <= {card["name"] for card in cards}


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is no sagebird; below /page it refuses everything with a whole page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self._refuses():
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[1]" if self.path.startswith("/list") else b"<p>hello</p>")

        def do_POST(self) -> None:
            if self._refuses():
                return
            self.send_response(200 if self.path.startswith("/list") else 500)
            self.end_headers()
            self.wfile.write(b"[]")

        def _refuses(self) -> bool:
            if self.path.startswith("/page"):
                self.send_error(404)
            return self.path.startswith("/page")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_stranger_on_the_port_is_told_apart(stranger: str) -> None:
    assert "is no sagebird" in _sentence(_run("endpoints", "--url", stranger), 1)
    assert "is no sagebird" in _sentence(_run("models", "--url", f"{stranger}/list"), 1)
    assert "is no sagebird" in _sentence(_run("invoke", "iris", "--url", stranger, stdin=_ROW), 1)
    assert "is no sagebird" in _sentence(_run("invoke", "iris", "--url", f"{stranger}/list", stdin=_ROW), 1)


@pytest.mark.parametrize("command", [("endpoints",), ("invoke", "iris"), ("jobs",), ("delete", "iris")])
def test_the_page_of_a_stranger_is_not_shown(stranger: str, command: tuple[str, ...]) -> None:
    said = _sentence(_run(*command, "--url", f"{stranger}/page", stdin=_ROW), 1)
    assert f"What answers at {stranger}/page is no sagebird server (it said 404 Not Found): name" in said


# ---- can never start


def _never_starts(*arguments: str, **environment: str) -> str:
    return _sentence(_run(*arguments, stdin=b"", **environment), 3)


def test_a_taken_port_is_exit_code_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = _never_starts("serve", "--port", str(port), "--data", str(tmp_path))
    assert f"port {port} is taken" in words


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SAGEBIRD_PORT": "many"}, "SAGEBIRD_PORT"),
        ({"SAGEBIRD_MODEL_MEMORY": "lots"}, "SAGEBIRD_MODEL_MEMORY: must be a size such as 500MB"),
        ({"SAGEBIRD_HOST": "0.0.0.0"}, "set SAGEBIRD_AUTH=off"),
    ],
)
def test_bad_settings_are_exit_code_3_and_named(
    environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    assert words in _never_starts("serve", SAGEBIRD_DATA=str(tmp_path), **environment)


def test_a_missing_models_folder_is_exit_code_3(tmp_path: Path) -> None:
    words = _never_starts("serve", "--models", str(tmp_path / "none"), "--data", str(tmp_path / "data"))
    assert f"{tmp_path / 'none'} is not a folder that can be read (SAGEBIRD_MODELS)" in words
    (tmp_path / "file").touch()
    assert "is not a folder" in _never_starts("serve", "--models", str(tmp_path / "file"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_models_folder_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir(mode=0)
    assert "can be read" in _never_starts("serve", "--models", str(tmp_path / "models"))


def test_a_data_folder_that_cannot_be_written_is_exit_code_3(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = _never_starts("serve", "--port", "0", "--data", str(tmp_path / "file" / "data"))
    assert "cannot be written (SAGEBIRD_DATA)" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("endpoints: [", "is not valid YAML"),
        ("endpoints: {e: {variants: {v: {model: nowhere}}}}", "endpoints.e.variants.v.model"),
    ],
)
def test_a_bad_endpoints_file_is_exit_code_3_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "endpoints.yaml").write_text(text)
    said = _never_starts("serve", "--port", "0", "--models", str(tmp_path), "--data", str(tmp_path / "data"))
    assert str(tmp_path / "endpoints.yaml") in said
    assert words in said


def test_a_data_folder_in_use_is_exit_code_3(samples: RunningServer) -> None:
    words = _never_starts("serve", "--port", "0", "--data", str(samples.data))
    assert f"Another sagebird already serves from {samples.data}" in words


def test_a_container_variable_that_is_no_number_is_exit_code_3(tmp_path: Path) -> None:
    words = _never_starts("container", "--model", str(tmp_path), SAGEMAKER_BIND_TO_PORT="many")
    assert "SAGEMAKER_BIND_TO_PORT must be a whole number (is 'many')." in words


def test_a_container_on_every_address_needs_to_be_told_so(tmp_path: Path) -> None:
    assert "SAGEBIRD_AUTH=off" in _never_starts("container", "--model", str(tmp_path), "--host", "0.0.0.0")


# ---- compare


def test_compare_measures_the_samples_and_ends_in_a_sentence(samples: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "iris.csv"
    load_iris(as_frame=True).frame.to_csv(file, index=False)
    probabilities = ("--accept", "application/json; output=probabilities", "--json")

    shown = _run("compare", "iris", str(file), "--control", "forest", "--url", samples.url)
    document = _run("compare", "iris", str(file), *probabilities, "--url", samples.url)

    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.decode().splitlines()
    assert lines[0].startswith("forest and logistic answer differently on ")
    assert any(line.split()[:2] == ["forest:", "label"] for line in lines)
    assert lines[-1].startswith(("Keep going: about ", "logistic is ", "No difference "))
    measured = json.loads(document.stdout)
    assert measured["rows"] == 150
    assert [variant["name"] for variant in measured["verdict"]["variants"]] == ["logistic", "forest"]
    for figures in measured["quality"].values():
        assert figures["count"] == 150
        assert figures["roc_auc"] > 0.99
        assert figures["log_loss"] < 0.5
