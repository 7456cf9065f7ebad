"""Gateways that have loaded the same large model hold its arrays once, whichever of them comes and goes."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness.fleet import make_fleet, shots_at_fleet
from tests.harness.gateways import line_to_each_gateway, status, wait_whole

BIG_BYTES = 8 << 20
FILE_NAME = "/memfd:sagebird-"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files in memory alone")


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> RunningServer:
    """Two gateways, both of which have answered by a model of some MiB."""
    make_fleet(tmp_path / "models", 1, BIG_BYTES)
    server = start_server(tmp_path / "models", gateways=2, shared_model_mb="1")
    ask_each(server)
    return server


def ask_each(server: RunningServer) -> None:
    """Have each gateway answer by the model."""
    (shot,) = shots_at_fleet(1)
    for line in line_to_each_gateway(server):
        assert line.invoke("fleet", shot.body, **shot.headers)[2] == shot.answers[0]
        line.close()


def file_of(pid: int) -> str:
    """The file in memory below nearly all that the model holds in a gateway."""
    sizes: dict[str, int] = {}
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, _, _, _, inode, *path = line.split(maxsplit=5)
            if path and path[0].startswith(FILE_NAME):
                begin, end = (int(each, 16) for each in span.split("-"))
                sizes[inode] = sizes.get(inode, 0) + end - begin
    ((found, size_bytes),) = sizes.items()
    assert 0.95 * BIG_BYTES < size_bytes < 1.05 * BIG_BYTES
    return found


def test_gateways_share_a_large_models_arrays_whichever_of_them_is_killed(
    server: RunningServer,
) -> None:
    (before,) = {file_of(pid) for pid in server.gateways()}
    (card,) = status(server)["models"]
    assert card["size_bytes"] < 0.6 * BIG_BYTES
    for victim in server.gateways():
        psutil.Process(victim).kill()
        wait_whole(server, without=victim)
        wait_until(lambda: len(server.gateways()) == 2)
        ask_each(server)
        assert {file_of(pid) for pid in server.gateways()} == {before}
