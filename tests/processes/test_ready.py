"""The last line of a start, as who typed `sagebird serve` reads it."""

import re
import subprocess
from pathlib import Path

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness.gateways import declare, make_model, variants

_READY = re.compile(r"^sagebird \S+ is ready on (\S+) \((.*)\)$", re.MULTILINE)


def _welcome(server: RunningServer) -> tuple[str, str]:
    """The address and what else the line says."""
    wait_until(lambda: _READY.search(server.log.read_text()))
    ((url, words),) = _READY.findall(server.log.read_text())
    return url, words


def test_it_has_a_call_that_works(start_server: StartServer, tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "one", 1)
    (tmp_path / "models" / "one" / "example.csv").write_text("7\n")
    declare(tmp_path / "models", variants("first", one=1))

    url, words = _welcome(start_server(tmp_path / "models", workers="1"))

    command = words.removeprefix("try: ")
    assert command == f"curl {url}/endpoints/first/invocations -H 'Content-Type: text/csv' -d 7"
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b"[1.0]"


def test_it_names_what_failed(start_server: StartServer, tmp_path: Path) -> None:
    make_model(tmp_path / "models" / "ill", 1, "raise OSError('no such weights')\n")
    declare(tmp_path / "models", variants("first", ill=1))

    server = start_server(tmp_path / "models", wait=False, gateways=1)

    assert _welcome(server)[1] == "failed: first; `sagebird endpoints` says why"


def test_it_is_the_address_that_people_use(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()

    server = start_server(tmp_path / "models", gateways=1, public_url="https://models.example.com:9")

    assert _welcome(server) == (
        "https://models.example.com:9",
        "nothing is served yet: `sagebird deploy PATH --name NAME` serves a model",
    )
    assert "on https://models.example.com:9 (page: " in server.log.read_text()
