"""What tests of the running server share: a real `sagebird serve` on loopback, over real files."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from hypothesis import settings

from service.hosting.containers.container_host import DOOR
from service.hosting.containers.opener import Containers
from service.hosting.runtimes.preload import limit_threads
from tests.harness import web
from tests.harness.containers import model_host
from tests.harness.measured import python

# As every process of the server does, before any of them imports numpy.
limit_threads()

# The same examples every time, on any machine: a red run can be run again.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

# A shell that starts the suite in the background has it and all its children ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
_ROOM_BYTES = 1 << 30
START_S = 180.0  # a machine that is shared with others takes a minute for what takes a second


_NOT_COUNTED = tuple(ROOT / "tests" / room for room in ("control", "docs", "experiments", "load", "store"))
"""Whose tests are of rooms that no coverage is asked of: to count it takes half as long again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a running server; tests that start processes themselves say so in their files.

    Nor is coverage counted in what only calls other processes.
    """
    for item in items:
        if "start_server" in getattr(item, "fixturenames", ()):
            item.add_marker("family")
        if item.get_closest_marker("family") or any(room in item.path.parents for room in _NOT_COUNTED):
            item.add_marker("no_cover")


@dataclass
class RunningServer:
    """A `sagebird` process family that a test started.

    It ends with the test or the file that started it. A `shared` one goes on, until no test below its folder
    is left.
    """

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    models: Path
    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    shared: Path | None = None

    def children(self) -> list[psutil.Process]:
        """The gateways, the keeper, the model host and workers, oldest first."""
        return sorted(psutil.Process(self.process.pid).children(), key=lambda child: child.create_time())

    def gateways(self) -> list[int]:
        """Pids of the processes that answer calls."""
        others = {child.pid for child in self.children() if not _accepts(child)}
        return [child.pid for child in self.children() if child.pid not in others]

    def model_host(self) -> psutil.Process:
        """The process that owns the containers of models with code of their own."""
        wait_until(lambda: any(_lends(child) for child in self.children()))
        (found,) = [child for child in self.children() if _lends(child)]
        return found

    def keeper(self) -> psutil.Process:
        """The process that settles endpoints, of a family without workers."""
        others = {*self.gateways(), self.model_host().pid}
        (found,) = [child for child in self.children() if child.pid not in others]
        return found

    def invoke(self, endpoint: str, body: bytes | str, **headers: str) -> httpx.Response:
        """POST a prediction; header names with underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}/endpoints/{endpoint}/invocations"
        return web.post(url, content=body, headers=named, timeout=30)

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Wait until /readyz says 200; fails with the log if it never does."""
        wait_until(lambda: self.process.poll() is not None or _status(f"{self.url}/readyz") == 200, timeout_s)
        assert self.process.poll() is None, self.log.read_text()

    def end(self) -> None:
        """Have the family stop, and do not wait for it."""
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 40.0) -> int:
        """Stop the family and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


def wait_until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Poll until the condition holds; fails when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"gave up after {timeout_s} s"
        time.sleep(0.02)


def copy_sample(name: str, folder: Path) -> None:
    """Copy a sample model, without what Python makes there meanwhile for another test."""
    shutil.copytree(ROOT / "models" / name, folder, ignore=shutil.ignore_patterns("__pycache__"))


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is room: for tests that would wait for a disk thousands of times.

    What is written is real files all the same; only that they are safe on a disk is nothing to wait for.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < _ROOM_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


StartServer = Callable[..., RunningServer]


_SERVERS = pytest.StashKey[list[RunningServer]]()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop what is shared by the tests of one folder when the next one is not of them."""
    for server in item.session.stash.get(_SERVERS, []):
        if server.shared and not (nextitem and nextitem.path.is_relative_to(server.shared)):
            server.end()


@pytest.fixture(scope="session")
def started_servers(request: pytest.FixtureRequest) -> Iterator[list[RunningServer]]:
    """Every server of the session, so that none outlives it."""
    servers: list[RunningServer] = []
    request.session.stash[_SERVERS] = servers
    yield servers
    for server in servers:
        server.end()
    for server in servers:
        try:
            server.process.wait(40)
        except subprocess.TimeoutExpired:
            server.process.kill()


@pytest.fixture(autouse=True, scope="module")
def _stop_servers_of_the_file(started_servers: list[RunningServer]) -> Iterator[None]:
    """Stop what the tests of one file shared: a family that idles takes its part of a processor, too."""
    yield from _stop_what_comes(started_servers)


@pytest.fixture(autouse=True)
def _stop_servers_of_the_test(started_servers: list[RunningServer]) -> Iterator[None]:
    """Stop what one test alone started.

    Servers of fixtures with a wider scope were started before this one is set up.
    """
    yield from _stop_what_comes(started_servers)


def _stop_what_comes(servers: list[RunningServer]) -> Iterator[None]:
    before = len(servers)
    yield
    for server in servers[before:]:
        if not server.shared:
            server.end()


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, started_servers: list[RunningServer]
) -> StartServer:
    """Start servers; what a test leaves running is stopped when it is over."""
    servers = started_servers

    def start(
        models: Path | None = None,
        data: Path | None = None,
        *arguments: str,
        command: str = "serve",
        gateways: int = 2,
        wait: bool = True,
        measured: bool = False,
        **environment: str,
    ) -> RunningServer:
        """`environment` as SAGEBIRD_* names in lower case; `models` defaults to the samples.

        The coverage of one that is `measured` counts.
        """
        folder = tmp_path_factory.mktemp("server")
        port = free_port()
        settings = {f"SAGEBIRD_{name.upper()}": value for name, value in environment.items()}
        settings.setdefault("SAGEBIRD_WORKERS", "0")  # who tests batch jobs asks for some
        settings |= {
            "SAGEBIRD_PORT": str(port),
            "SAGEBIRD_GATEWAYS": str(gateways),
            "SAGEBIRD_DATA": str(data or folder / "data"),
        }
        # The whole suite can be run with the fast path off: TEST_FAST_PATH=off make test
        settings.setdefault("SAGEBIRD_FAST_PATH", os.environ.get("TEST_FAST_PATH", "on"))
        if command == "serve":
            settings["SAGEBIRD_MODELS"] = str(models or ROOT / "models")
        log = folder / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAGEBIRD_")}
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*(python() if measured else [sys.executable]), "-m", "service.cli", command, *arguments],
                cwd=ROOT,
                env=inherited | settings,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        url = f"http://127.0.0.1:{port}"
        models, data = models or ROOT / "models", data or folder / "data"
        server = RunningServer(process, url, log, models, data, settings)
        servers.append(server)
        if wait:
            server.wait_ready()
        return server

    return start


@pytest.fixture(scope="session")
def samples(start_server: StartServer) -> RunningServer:
    """One server over the sample models that all tests share; never stop or change it."""
    server = start_server()
    server.shared = ROOT / "tests"
    return server


def _accepts(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it left a moment ago, and accepts nothing any more
        return any(each.status == psutil.CONN_LISTEN for each in child.net_connections("tcp"))
    return False


def _lends(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(str(each.laddr).endswith(f"/{DOOR}") for each in child.net_connections("unix"))
    return False


def _status(url: str) -> int:
    try:
        return web.get(url, timeout=5).status_code
    except httpx.HTTPError:
        return 0


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """Containers for models with code of their own, whose host all tests of this process share."""
    with model_host() as found:
        yield found
