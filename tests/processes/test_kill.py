"""kill -9, of everything or of one process, while the control plane changes what is served."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bench.crashes import Client, check, kill_all, put_models
from tests.conftest import START_S, RunningServer, StartServer, wait_until
from tests.harness.control import Control, put_model, variant
from tests.harness.gateways import port, wait_whole
from tests.harness.world import Calls, World

MOMENTS = 6
HELD = """
import time
from pathlib import Path
import joblib

def model_fn(model_dir):
    Path({gate!r} + ".reached").touch()
    while Path({gate!r}).exists():
        time.sleep(0.02)
    return joblib.load(f"{{model_dir}}/model.joblib")
"""


def test_killed_at_any_moment_it_comes_back_as_the_last_acknowledged_call_left_it(
    start_server: StartServer, tmp_path: Path
) -> None:
    """The call that was open may have been done or not, but wholly."""
    draw = random.Random(5)
    models, data = tmp_path / "models", tmp_path / "data"
    models.mkdir()
    locations = put_models(data)
    calls, possible = Calls(draw, locations), [World()]
    acknowledged = 0
    for _ in range(MOMENTS):
        server = start_server(models, data)
        world = check(port(server), possible, locations)
        with Client(port(server), world, calls) as client:
            wait_until(lambda client=client: client.done.total() >= 1)  # type: ignore[misc]
            threading.Event().wait(draw.uniform(0.0, 1.0))
            kill_all(server.process.pid, draw)
        possible = client.possible()
        acknowledged += client.done.total()
    server = start_server(models, data)
    check(port(server), possible, locations)

    assert acknowledged >= MOMENTS
    assert server.stop() == 0


@pytest.mark.parametrize("victim", ["keeper", "gateway", "everything"])
def test_update_ends_although_a_process_is_killed_in_the_middle(
    victim: str, start_server: StartServer, tmp_path: Path
) -> None:
    """The new model hangs while it is loaded, so that the update is under way for certain."""
    with _updating(start_server, tmp_path) as (server, gate):
        if victim == "everything":
            kill_all(server.process.pid, random.Random(0))
            server = start_server(server.models, server.data, wait=False)
            wait_until(lambda: _is_up(server), START_S)
        else:
            pid = server.keeper().pid if victim == "keeper" else server.gateways()[0]
            psutil.Process(pid).kill()
            wait_whole(server, without=pid)
        with Control(port(server)) as control:
            during = control.describe("kept")
            answer = _answers(server)
            gate.unlink()
            found = control.wait_in_service("kept")
            afterwards = _answers(server)

    assert during["EndpointStatus"] == "Updating"
    assert during["EndpointConfigName"] == "old"
    assert answer == ("old", "[1.0]")
    assert found["EndpointConfigName"] == "new"
    assert afterwards == ("new", "[2.0]")


def test_deletion_that_was_acknowledged_ends_after_everything_was_killed(
    start_server: StartServer, tmp_path: Path
) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    models.mkdir()
    server = start_server(models, data)
    with Control(port(server)) as control:
        control.create_model("one", put_model(data, "one", 1))
        control.create_config("one", [variant("v", "one")])
        for name in ("stays", "goes"):
            control.call("CreateEndpoint", EndpointName=name, EndpointConfigName="one")
            control.wait_in_service(name)
        server.keeper().suspend()  # or it would be done with it before the kill
        control.call("DeleteEndpoint", EndpointName="goes")
    kill_all(server.process.pid, random.Random(0))

    server = start_server(models, data)
    with Control(port(server)) as control:
        control.wait_gone("goes")
        control.call("CreateEndpoint", EndpointName="goes", EndpointConfigName="one")
        control.wait_in_service("goes")

    assert server.invoke("stays", "1", Content_Type="text/csv").text == "[1.0]"
    assert server.invoke("goes", "1", Content_Type="text/csv").text == "[1.0]"


@contextmanager
def _updating(start_server: StartServer, folder: Path) -> Iterator[tuple[RunningServer, Path]]:
    """A server whose endpoint `kept` goes over from `old` to `new` once the gate is gone."""
    gate, models = folder / "gate", folder / "models"
    models.mkdir()
    server = start_server(models)
    gate.touch()
    with Control(port(server)) as control:
        for number, name in enumerate(("old", "new")):
            code = HELD.format(gate=str(gate)) if name == "new" else ""
            control.create_model(name, put_model(server.data, name, number + 1, code))
            control.create_config(name, [variant(name, name)])
        control.call("CreateEndpoint", EndpointName="kept", EndpointConfigName="old")
        control.wait_in_service("kept")
        control.call("UpdateEndpoint", EndpointName="kept", EndpointConfigName="new")
    wait_until(Path(f"{gate}.reached").exists)
    try:
        yield server, gate
    finally:
        gate.unlink(missing_ok=True)


def _is_up(server: RunningServer) -> bool:
    """Not /readyz: the endpoint is not ready to be changed, but serves."""
    try:
        return _answers(server) == ("old", "[1.0]")
    except httpx.TransportError:
        return False


def _answers(server: RunningServer) -> tuple[str, str]:
    answer = server.invoke("kept", "1", Content_Type="text/csv")
    return answer.headers.get("x-amzn-invoked-production-variant", ""), answer.text
