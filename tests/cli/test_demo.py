"""`sagebird demo` as somebody follows it: from the first call to the decision, and nothing is left."""

import os
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from service.cli import make_app
from service.cli.demo_users import DemoUsers
from service.processes.startup import only_one
from service.whereabouts import told
from tests.conftest import START_S, free_port
from tests.harness import web
from tests.harness.played_http import Answered, PlayedServer, played


class Followed:
    """A demo that runs, and what it says."""

    def __init__(self, *options: str, scratch: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAGEBIRD_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "demo", *options],
            env=environment | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "SAGEBIRD_AUTH": "keys"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """What it says until it has said this."""
        while (found := re.search(pattern, self.said)) is None:
            try:
                self.said += self._lines.get(timeout=START_S)
            except queue.Empty:
                pytest.fail(f"it does not say {pattern}: {self.said}")
        return found

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        code = self.process.wait(START_S)
        self._reader.join(START_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def followed(scratch: Path) -> Iterator[Followed]:
    demo = Followed("--port", "0", "--rate", "200", scratch=scratch)
    yield demo
    if demo.process.poll() is None:
        demo.end(signal.SIGTERM)


@pytest.mark.family
def test_it_comes_to_a_verdict_which_somebody_follows(followed: Followed, scratch: Path) -> None:
    url = followed.wait_for(r"Open (http://\S+)/dashboard")[1]
    assert "simulated" in followed.said
    family = psutil.Process(followed.process.pid).children(recursive=True)
    assert len(family) > 2
    followed.wait_for(r"new is better than old by [\d.]+ to [\d.]+ points\.")
    command = followed.wait_for(r"sagebird (promote iris new --url \S+)")[1].split()
    shown = web.get(f"{url}/dashboard/main", timeout=60).text
    assert "new is better than old by" in shown
    assert "<svg" in shown
    assert CliRunner().invoke(make_app("promote"), command).output == "new has 100 % of the traffic\n"
    followed.wait_for(r"new has all traffic now \(new is promoted\): you have decided")
    worse = [word.replace("new", "old") for word in command]
    assert CliRunner().invoke(make_app("promote"), worse).output == "old has 100 % of the traffic\n"
    followed.wait_for(r"old has all traffic now \(old is promoted\): you have decided")
    assert followed.end() == 0
    followed.wait_for("The demo is over")
    assert "failed" not in followed.said
    assert psutil.wait_procs(family, START_S)[1] == []
    assert list(scratch.glob("sagebird-demo-*")) == []


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = CliRunner().invoke(make_app("demo"), ["demo", "--port", str(port)])

    assert told.exit_code == 1
    assert told.stderr.startswith(f"sagebird: Port {port} cannot be had (Address already in use)")
    assert "--port 0" in told.stderr


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    told = CliRunner().invoke(make_app("demo"), ["demo", "--data", str(tmp_path), "--port", str(free_port())])

    assert told.exit_code == 1
    assert "holds something else" in told.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_folder_in_which_a_demo_runs_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "endpoints.yaml").write_text("# The endpoints of `sagebird demo`.")
    (tmp_path / "server.log").write_text("said by the first")
    (tmp_path / "data").mkdir()
    with only_one(tmp_path / "data"), told(tmp_path / "data", ["http://127.0.0.1:9"]):
        done = CliRunner().invoke(
            make_app("demo"), ["demo", "--data", str(tmp_path), "--port", str(free_port())]
        )

    assert done.exit_code == 1
    already = f"A demo runs in {tmp_path} already, on http://127.0.0.1:9"
    assert done.stderr == f"sagebird: {already}: name another folder for this one.\n"
    assert (tmp_path / "server.log").read_text() == "said by the first"


def test_a_port_that_is_taken_leaves_no_folder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        arguments = ["demo", "--port", str(other.getsockname()[1]), "--data", str(tmp_path / "new")]
        assert CliRunner().invoke(make_app("demo"), arguments).exit_code == 1
    assert not (tmp_path / "new").exists()


class Flower:
    lengths = (5.1, 3.5, 1.4, 0.2)
    species = "setosa"


def _answers(status: int = 200) -> Iterator[Answered]:
    for number in count():
        yield status, {"x-amzn-sagemaker-inference-id": str(number)}, b"{}"


@contextmanager
def _users(server: PlayedServer) -> Iterator[DemoUsers]:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield DemoUsers(client, [Flower()], 10.0, random.Random(1), 0.0)


def test_each_call_has_a_user_and_its_outcome_comes_later() -> None:
    with played(_answers()) as server, _users(server) as users:
        for tenth in range(200):
            users.step(tenth / 10)
        asked = [headers for path, headers, _ in server.asked if path.endswith("/invocations")]

    assert users.calls == len(asked) == pytest.approx(200, abs=2)
    assert 0 < users.outcomes < users.calls
    names = [headers["x-sagebird-user"] for headers in asked]
    assert all(name.startswith("simulated-") for name in names)
    assert 100 < len(set(names)) < len(names)  # some come again
    assert users.failures == 0


def test_what_fails_is_counted_and_told() -> None:
    with played(_answers(503)) as server, _users(server) as users:
        users.step(0.0)

    assert (users.calls, users.failures) == (0, 1)
    assert "503" in users.trouble


def test_a_machine_that_was_busy_is_not_asked_for_what_was_missed() -> None:
    with played(_answers()) as server, _users(server) as users:
        users.step(60.0)

    assert len(server.asked) <= 11
