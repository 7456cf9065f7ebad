"""deploy, describe, weights and delete as people and scripts meet them, against a server of their own."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, RunningServer, StartServer, free_port, wait_until
from tests.harness import web

_ANSWERS = """
def model_fn(model_dir):
    return None


def transform_fn(model, data, content_type, accept, context):
    return {answer!r} + context.environment.get("SUFFIX", ""), "text/plain"
"""
_BROKEN = """
def model_fn(model_dir):
    raise RuntimeError("the weights are gone")
"""

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    folder = tmp_path_factory.mktemp("models")
    (folder / "fixed").mkdir()
    (folder / "fixed" / "inference.py").write_text(_ANSWERS.format(answer="fixed"))
    (folder / "endpoints.yaml").write_text("endpoints: {fixed: {variants: {v: {model: fixed}}}}")
    return start_server(folder)


def _sagebird(server: RunningServer, *arguments: str, data: Path | None = None) -> Done:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAGE")}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments],
        cwd=ROOT,
        env={
            **inherited,
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "SAGEBIRD_URL": server.url,
            "SAGEBIRD_DATA": str(server.data if data is None else data),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _model(folder: Path, answer: str, text: str | None = None) -> str:
    """A model's folder that answers so, or has this inference.py."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.py").write_text(_ANSWERS.format(answer=answer) if text is None else text)
    return str(folder)


def _describe(server: RunningServer, endpoint: str) -> dict[str, object]:
    done = _sagebird(server, "describe", endpoint, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _weights(server: RunningServer, endpoint: str) -> dict[str, float]:
    variants = _describe(server, endpoint)["ProductionVariants"]
    assert isinstance(variants, list)
    return {variant["VariantName"]: variant["CurrentWeight"] for variant in variants}


def _copies(server: RunningServer) -> Path:
    return server.data / "s3" / "sagebird-deployments"


def _records(server: RunningServer) -> list[object]:
    """All models and configurations."""
    targets = ("ListModels", "ListEndpointConfigs")
    return [
        web.post(server.url, headers={"X-Amz-Target": f"SageMaker.{name}"}, json={}, timeout=30).json()
        for name in targets
    ]


def _sentence(done: Done) -> str:
    """The one line that a refusal is; nothing on standard output, no traceback."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("sagebird: ")
    assert "Traceback (most recent call last)\n  File" not in done.stderr
    return done.stderr


def test_a_folder_is_deployed_in_one_line_and_deploying_again_updates_it(
    server: RunningServer, tmp_path: Path
) -> None:
    done = _sagebird(server, "deploy", _model(tmp_path / "one", "first"), "--name", "folder")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("folder is InService after ")
    assert done.stdout.endswith(f" s: {server.url}/endpoints/folder/invocations\n")
    assert server.invoke("folder", b"{}").text == "first"

    done = _sagebird(server, "deploy", _model(tmp_path / "one", "second"), "--name", "folder")
    assert done.returncode == 0, done.stderr
    assert {server.invoke("folder", b"{}").text for _ in range(20)} == {"second"}
    assert _weights(server, "folder") == {"AllTraffic": 1.0}


def test_an_archive_and_an_address_in_a_bucket_are_deployed(server: RunningServer, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar.gz"
    content = _ANSWERS.format(answer="packed").encode()
    with tarfile.open(archive, "w:gz") as packed:
        member = tarfile.TarInfo("inference.py")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    assert _sagebird(server, "deploy", str(archive), "--name", "archive").returncode == 0
    assert server.invoke("archive", b"{}").text == "packed"

    bucket = server.data / "s3" / "own"
    bucket.mkdir(parents=True)
    (bucket / "model.tar.gz").write_bytes(archive.read_bytes())
    done = _sagebird(server, "deploy", "s3://own/model.tar.gz", "--name", "bucket")
    assert done.returncode == 0, done.stderr
    assert server.invoke("bucket", b"{}").text == "packed"


def test_variants_are_added_and_replaced_one_by_one_and_weighed(
    server: RunningServer, tmp_path: Path
) -> None:
    deploy = ("deploy", "--name", "test", "--variant")
    for variant, weight in (("a", "9"), ("b", "1")):
        path = _model(tmp_path / variant, variant)
        done = _sagebird(server, *deploy, variant, "--weight", weight, path)
        assert done.returncode == 0, done.stderr
    assert _weights(server, "test") == {"a": 9.0, "b": 1.0}

    done = _sagebird(server, "weights", "test", "a=1", "b=0")
    assert done.stdout.startswith("test is InService after "), done.stderr
    assert _weights(server, "test") == {"a": 1.0, "b": 0.0}

    path = _model(tmp_path / "b", "better")
    assert _sagebird(server, *deploy, "b", "--weight", "3", "--instances", "2", path).returncode == 0
    assert _weights(server, "test") == {"a": 1.0, "b": 3.0}
    answer = server.invoke("test", b"{}", X_Amzn_SageMaker_Target_Variant="b")
    assert answer.text == "better"
    assert server.invoke("test", b"{}", X_Amzn_SageMaker_Target_Variant="a").text == "a"


def test_the_environment_and_the_image_are_passed_on(server: RunningServer, tmp_path: Path) -> None:
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    path = _model(tmp_path / "told", "told")
    options = ("-e", "SUFFIX= so", "--environment", "EMPTY=", "--image", image)
    done = _sagebird(server, "deploy", path, "--name", "told", *options)
    assert done.returncode == 0, done.stderr
    assert server.invoke("told", b"{}").text == "told so"
    shown = _sagebird(server, "describe", "told").stdout
    assert "told: InService" in shown
    assert image in shown
    assert "AllTraffic" in shown


def test_a_description_names_the_model_of_each_variant(server: RunningServer, tmp_path: Path) -> None:
    path = _model(tmp_path / "named", "named")
    assert _sagebird(server, "deploy", path, "--name", "named").returncode == 0
    shown = _sagebird(server, "describe", "named").stdout
    assert "\nAllTraffic is named-AllTraffic-" in shown
    assert f"/{Path(path).name}/\n" in shown


def test_no_wait_returns_at_once_while_the_model_loads(server: RunningServer, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waits = f"import time, pathlib\n    while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)\n"
    text = _ANSWERS.format(answer="slow").replace("return None", waits, 1)
    path = _model(tmp_path / "slow", "", text)
    done = _sagebird(server, "deploy", path, "--name", "slow", "--no-wait")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert _describe(server, "slow")["EndpointStatus"] == "Creating"
    assert "Cannot update in-progress endpoint" in _sentence(_sagebird(server, "delete", "slow"))
    gate.touch()
    wait_until(lambda: _describe(server, "slow")["EndpointStatus"] != "Creating", 60)
    assert _describe(server, "slow")["EndpointStatus"] == "InService"


def test_a_model_that_fails_is_exit_code_1_with_its_own_error(server: RunningServer, tmp_path: Path) -> None:
    broken = _model(tmp_path / "broken", "", _BROKEN)
    words = _sentence(_sagebird(server, "deploy", broken, "--name", "breaks"))
    assert "breaks is Failed: The primary container for production variant AllTraffic " in words
    assert "the weights are gone" in words
    assert "inference.py" in words
    assert "Failed" in _sagebird(server, "describe", "breaks").stdout

    mended = _model(tmp_path / "mended", "mended")
    done = _sagebird(server, "deploy", mended, "--name", "breaks")
    assert done.returncode == 0, done.stderr
    assert server.invoke("breaks", b"{}").text == "mended"


def test_an_update_that_fails_is_exit_code_1_and_the_old_model_serves(
    server: RunningServer, tmp_path: Path
) -> None:
    assert _sagebird(server, "deploy", _model(tmp_path / "good", "good"), "--name", "back").returncode == 0
    broken = _model(tmp_path / "bad", "", _BROKEN)
    words = _sentence(_sagebird(server, "deploy", broken, "--name", "back"))
    assert "the weights are gone" in words
    assert server.invoke("back", b"{}").text == "good"


def test_a_path_that_is_no_model_is_refused_with_what_would_be_one(
    server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.zip").write_bytes(b"x")
    reasons = {"nowhere": "There is no {} here", "empty": "{} is no model", "model.zip": "{} is no model"}
    for name, reason in {**reasons, "n" * 300: "There is no {} here"}.items():
        path = tmp_path / name
        words = _sentence(_sagebird(server, "deploy", str(path), "--name", "none"))
        assert reason.format(path) in words
        assert ".tar.gz" in words


def test_another_data_folder_than_the_servers_is_noticed(server: RunningServer, tmp_path: Path) -> None:
    path = _model(tmp_path / "lost", "lost")
    other = tmp_path / "other-data"
    words = _sentence(_sagebird(server, "deploy", path, "--name", "lost", data=other))
    assert "Could not find model data at s3://" in words
    assert f"It was copied below {other}: is this the server's data folder? Name it with --data." in words
    words = _sentence(_sagebird(server, "describe", "lost"))
    assert 'Could not find endpoint "' in words


def test_an_object_that_is_not_there_is_refused(server: RunningServer) -> None:
    words = _sentence(_sagebird(server, "deploy", "s3://own/none.tar.gz", "--name", "none"))
    assert "Could not find model data at s3://own/none.tar.gz." in words


def test_delete_everything_leaves_neither_configuration_nor_models(
    server: RunningServer, tmp_path: Path
) -> None:
    for text in ("before", "x"):  # of an update the first configuration, model and copy are left
        assert _sagebird(server, "deploy", _model(tmp_path / text, text), "--name", "gone").returncode == 0
    neighbour = ("deploy", _model(tmp_path / "y", "y"), "--name", "gone-not", "--variant", "v")
    assert _sagebird(server, *neighbour).returncode == 0
    config = str(_describe(server, "gone")["EndpointConfigName"])
    done = _sagebird(server, "delete", "gone", "--everything")
    assert (done.returncode, done.stdout) == (0, "gone is deleted\n"), done.stderr
    for operation, member in (
        ("DescribeEndpoint", {"EndpointName": "gone"}),
        ("DescribeEndpointConfig", {"EndpointConfigName": config}),
    ):
        answer = web.post(
            server.url, headers={"X-Amz-Target": f"SageMaker.{operation}"}, json=member, timeout=30
        )
        assert "Could not find" in answer.text
    listed = web.post(
        server.url,
        headers={"X-Amz-Target": "SageMaker.ListModels"},
        json={"NameContains": "gone-"},
        timeout=30,
    )
    assert [each["ModelName"].rsplit("-", 2)[0] for each in listed.json()["Models"]] == ["gone-not-v"]
    assert not (_copies(server) / "gone").exists()
    assert server.invoke("gone-not", b"{}").text == "y"


def test_what_a_plain_delete_left_can_be_deleted_later(server: RunningServer, tmp_path: Path) -> None:
    assert _sagebird(server, "deploy", _model(tmp_path / "x", "x"), "--name", "later").returncode == 0
    assert _sagebird(server, "delete", "later").returncode == 0
    assert (_copies(server) / "later").exists()

    done = _sagebird(server, "delete", "later", "--everything")
    assert (done.returncode, done.stdout) == (0, "What later left is deleted\n"), done.stderr
    assert not (_copies(server) / "later").exists()
    words = _sentence(_sagebird(server, "delete", "later", "--everything"))
    assert 'Could not find endpoint "' in words
    assert f"{server.url} has " in words


def test_a_deployment_that_is_refused_leaves_nothing(server: RunningServer, tmp_path: Path) -> None:
    before = _records(server)
    refused = _sagebird(server, "deploy", _model(tmp_path / "mine", "mine"), "--name", "fixed")
    assert "is declared in the endpoints file" in _sentence(refused)
    assert _records(server) == before
    assert not (_copies(server) / "fixed").exists()


def test_weights_that_are_all_0_are_refused(server: RunningServer, tmp_path: Path) -> None:
    path = _model(tmp_path / "x", "x")
    assert "Every weight of idle would be 0" in _sentence(
        _sagebird(server, "deploy", path, "--name", "idle", "--weight", "0")
    )
    assert not (_copies(server) / "idle").exists()
    words = _sentence(_sagebird(server, "weights", "fixed", "v=0"))
    assert "Every weight of fixed would be 0" in words


def test_a_deployment_that_replaces_variants_names_them(server: RunningServer, tmp_path: Path) -> None:
    path = _model(tmp_path / "x", "x")
    for variant in ("a", "b"):
        done = _sagebird(server, "deploy", path, "--name", "several", "--variant", variant)
        assert done.returncode == 0
        assert "replaces" not in done.stderr

    done = _sagebird(server, "deploy", path, "--name", "several")

    assert done.returncode == 0
    assert "several had a, b; AllTraffic replaces all of it." in done.stderr
    assert _weights(server, "several") == {"AllTraffic": 1.0}


def test_what_the_endpoints_file_declares_is_refused_with_the_way_to_change_it(
    server: RunningServer, tmp_path: Path
) -> None:
    for arguments in (
        ("delete", "fixed"),
        ("weights", "fixed", "v=2"),
        ("deploy", _model(tmp_path / "mine", "mine"), "--name", "fixed"),
    ):
        assert "is declared in the endpoints file" in _sentence(_sagebird(server, *arguments))
    assert server.invoke("fixed", b"{}").text == "fixed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("weights", "fixed", "v"), "a weight is written NAME=VALUE, not 'v'."),
        (("weights", "fixed", "v=much"), "A weight is a number, not 'much'"),
        (("weights", "nobody", "v=1"), 'Could not find endpoint "'),
        (("delete", "nobody"), 'Could not find endpoint "'),
        (("describe", "nobody"), 'Could not find endpoint "'),
        (("deploy", "models", "--name", "x", "-e", "nonsense"), "--environment is written NAME=VALUE"),
    ],
)
def test_mistakes_are_exit_code_1_and_one_sentence(
    server: RunningServer, arguments: tuple[str, ...], words: str
) -> None:
    assert words in _sentence(_sagebird(server, *arguments))


def test_no_server_is_exit_code_1_and_says_how_to_start_one(server: RunningServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    path = _model(tmp_path / "x", "x")
    for arguments in (
        ("describe", "x"),
        ("deploy", path, "--name", "x"),
        ("weights", "x", "v=1"),
        ("delete", "x"),
    ):
        assert "sagebird serve" in _sentence(_sagebird(server, *arguments, "--url", url))
