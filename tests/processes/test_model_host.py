"""The process that owns containers, in a family and beside a command: killed, stopped, never outlived."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from tests.conftest import ROOT, RunningServer, StartServer, wait_until
from tests.harness.gateways import declare, make_model, variants
from tests.processes.test_lifecycle import Call, refuses

pytestmark = pytest.mark.family

PATIENCE_S = 60.0
CODE = """
import os

def predict_fn(data, model):
    return [os.getpid()] if data[0][0] == 0 else model.predict(data)
"""


class Processes(NamedTuple):
    """Those by which a model's own code is run, from the model host down."""

    models: psutil.Process
    fork_server: psutil.Process
    template: psutil.Process
    worker: psutil.Process

    @classmethod
    def of(cls, server: RunningServer) -> "Processes":
        """Ask which process answers; the others are its ancestors."""
        answer = server.invoke("own", "0", Content_Type="text/csv")
        worker = psutil.Process(int(answer.json()[0]))
        template, fork_server, models, *_ = worker.parents()
        assert models == server.model_host()
        return cls(models, fork_server, template, worker)


def everyone(server: RunningServer) -> list[psutil.Process]:
    """All processes of a family."""
    supervisor = psutil.Process(server.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def is_over(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def answers(server: RunningServer) -> bool:
    try:
        return server.invoke("own", "1", Content_Type="text/csv").text == "[4.0]"
    except httpx.TransportError:
        return False


def runs(data: Path) -> list[Path]:
    """The private folders of families."""
    return list(data.glob("run-*"))


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> RunningServer:
    make_model(tmp_path / "models" / "own", 4, CODE)
    declare(tmp_path / "models", variants("own", own=1))
    return start_server(tmp_path / "models", tmp_path / "data", gateways=2)


@pytest.mark.parametrize("victims", ["all", "supervisor"])
def test_a_family_that_is_killed_leaves_nothing_that_the_next_one_does_not_clear_away(
    server: RunningServer, start_server: StartServer, victims: str
) -> None:
    assert answers(server)
    family = everyone(server)
    (left,) = runs(server.data)

    for process in family if victims == "all" else family[:1]:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    server.process.wait(10)
    wait_until(lambda: all(is_over(process) for process in family))
    again = start_server(server.models, server.data)

    assert len(family) >= 8  # a supervisor, two gateways, keeper, model host, fork server, template, workers
    assert answers(again)
    assert left not in runs(server.data)
    assert len(runs(server.data)) == 1
    assert again.stop() == 0
    assert runs(server.data) == []


def test_each_process_may_be_killed_and_none_is_orphaned(server: RunningServer) -> None:
    for name in ("gateway", "keeper", "models", "fork_server", "template", "worker"):
        before = everyone(server)
        victim = (
            psutil.Process(server.gateways()[0])
            if name == "gateway"
            else server.keeper()
            if name == "keeper"
            else getattr(Processes.of(server), name)
        )
        doomed = [victim, *victim.children(recursive=True)]
        victim.kill()
        wait_until(lambda doomed=doomed: all(is_over(process) for process in doomed))  # type: ignore[misc]
        wait_until(lambda: len(server.children()) == 4 and len(server.gateways()) == 2, PATIENCE_S)
        wait_until(lambda: answers(server), PATIENCE_S)
        server.wait_ready()

        assert Processes.of(server).worker.is_running(), name
        wait_until(lambda before=before: all(is_over(each) or each in everyone(server) for each in before))  # type: ignore[misc]
    assert server.stop() == 0


def test_calls_under_way_are_answered_before_their_processes_end(
    start_server: StartServer, tmp_path: Path
) -> None:
    """Two at once, in both processes of the container, and one that waits behind them."""
    gate = tmp_path / "gate"
    code = f"""
import os, time
from pathlib import Path

def predict_fn(data, model):
    Path({str(tmp_path)!r}, f"began-{{os.getpid()}}").touch()
    while not Path({str(gate)!r}).exists():
        time.sleep(0.01)
    return model.predict(data)
"""
    make_model(tmp_path / "models" / "slow", 4, code)
    declare(
        tmp_path / "models",
        variants("slow", slow=1).replace(
            "weight:", "environment: {SAGEMAKER_MODEL_SERVER_WORKERS: '2'}, weight:"
        ),
    )
    server = start_server(tmp_path / "models", tmp_path / "data")
    calls = [Call(server, "slow") for _ in range(3)]
    wait_until(lambda: len(list(tmp_path.glob("began-*"))) == 2)
    family = everyone(server)

    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses(server))
    assert [call.response for call in calls] == [None] * 3
    gate.touch()

    assert [call.answer().text for call in calls] == ["[4.0]"] * 3
    assert server.process.wait(30) == 0
    assert all(is_over(process) for process in family)
    assert runs(server.data) == []


BESIDE = """
import sys
from service.processes.model_host import containers_beside
from service.settings import load_settings
settings = load_settings(data=sys.argv[1], models=sys.argv[1])
for turn in range(20):
    with containers_beside(settings) as containers:
        folder = containers.folder
        assert folder.is_dir()
    assert not folder.exists()
"""


def test_a_host_beside_a_command_ends_with_it_however_soon_that_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BESIDE, tmp_path], cwd=ROOT, timeout=PATIENCE_S, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


HOLDS = BESIDE.replace(
    "        assert folder.is_dir()\n", "        print(folder, flush=True)\n        sys.stdin.read()\n"
)


def test_a_host_beside_a_command_that_is_killed_ends_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        folder = Path(command.stdout.readline().strip())
        (host,) = psutil.Process(command.pid).children()
        os.kill(command.pid, signal.SIGKILL)
    wait_until(lambda: is_over(host))
    assert folder.exists()  # until the next one of the same data folder
