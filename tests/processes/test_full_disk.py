"""A data folder without room: predictions go on, changes are refused in a sentence, and it all comes back.

It takes a small file system of its own, which only root may mount.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from service.cli.shipment import ship
from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.gateways import declare, events, make_model, variants, wait_whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def change(server: RunningServer, operation: str, **fields: object) -> tuple[int, str]:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{operation}"}
    answer = web.post(server.url, json={"EndpointName": "one"} | fields, headers=headers, timeout=30)
    return answer.status_code, answer.text


def fill(disk: Path) -> Path:
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        for piece in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(piece)) == piece:
                    pass
    return filling


def test_a_full_data_folder_is_named_and_stops_no_prediction(
    start_server: StartServer, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    make_model(models / "one", 1)
    declare(models, variants("one", one=1).replace("    variants:", "    api_edits: true\n    variants:"))
    server = start_server(models, small_disk / "data")
    weights = [{"VariantName": "one", "DesiredWeight": 2.0}]
    full = f"The data folder {server.data} is full"

    filling = fill(small_disk)
    for told in (
        change(server, "UpdateEndpointWeightsAndCapacities", DesiredWeightsAndCapacities=weights),
        change(server, "DeleteEndpoint"),
    ):
        assert told[0] == 503
        assert full in told[1]
    with pytest.raises(typer.Exit):
        ship(str(models / "one"), "more", server.data)
    assert capsys.readouterr().err.startswith(f"sagebird: {full}")

    (killed, *_) = server.gateways()
    os.kill(killed, signal.SIGKILL)
    wait_whole(server, without=killed)
    wait_until(lambda: len(server.gateways()) == 2)
    for _ in range(10):
        assert server.invoke("one", "1", Content_Type="text/csv").text == "[1.0]"
    assert "Traceback" not in server.log.read_text()
    assert len(events(server, "keeper cannot do its rounds")) <= 1

    filling.unlink()
    wait_until(
        lambda: (
            change(server, "UpdateEndpointWeightsAndCapacities", DesiredWeightsAndCapacities=weights)[0]
            == 200
        )
    )
