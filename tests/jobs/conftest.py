"""What tests of jobs share: a folder of inputs, a container on a socket, and a way to run a job."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.clock import SystemClock
from service.domain.transform.options import TransformOptions, check_options
from service.hosting.containers.opener import Containers
from service.jobs.inputs import find_inputs
from service.jobs.journal import NoJournal
from service.jobs.outcome import JobOutcome, Progress
from service.jobs.pool import ProcessPool, ThreadPool, WorkerPool
from service.jobs.process import ContainerOpener, LocalModelOpener
from service.jobs.transform import Job, JobMonitor, run_transform
from service.objects.resolver import Resolver
from tests.conftest import ROOT
from tests.jobs.house import House

IRIS = ROOT / "models" / "iris-logistic"

ECHO = """
def model_fn(model_dir): return None
def transform_fn(model, data, content_type, accept):
    return data, accept
"""


@dataclass
class Bench:
    """A folder with inputs below `in`, and jobs over it."""

    folder: Path
    containers: Containers
    told: list[Progress] = field(default_factory=list)

    def put(self, name: str, data: bytes | str) -> None:
        """Make an input."""
        file = self.folder / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)

    def model(self, script: str) -> Path:
        """A model that this inference.py is."""
        place = self.folder / "model"
        place.mkdir(exist_ok=True)
        (place / "inference.py").write_text(script)
        return place

    def run(
        self,
        model: Path | str = IRIS,
        *,
        processes: int = 0,
        quarantine: bool = False,
        report: bool = False,
        large: bool = False,
        stop: Callable[[], bool] = lambda: False,
        source: str = "",
        target: str = "out",
        **options: Any,
    ) -> JobOutcome:
        """Run a job with the model in this process, in processes, or at an address."""
        wanted = TransformOptions(**options)
        check_options(wanted)
        resolver = Resolver(self.folder / "s3", allow_paths=True)
        place = resolver.locate(str(self.folder / target))
        inputs = find_inputs(resolver, source or str(self.folder / "in"), place, wanted)
        with closing(self._open_pool(model, wanted, quarantine, processes, large=large)) as pool:
            job = Job(inputs, place, wanted, pool, isinstance(model, str), quarantine, report)
            return run_transform(job, JobMonitor(SystemClock(), NoJournal(), stop, self.told.append))

    def out(self, name: str, target: str = "out") -> bytes:
        """What was written for an input."""
        return (self.folder / target / f"{name}.out").read_bytes()

    def written(self, target: str = "out") -> list[str]:
        """All files of the output, hidden ones too."""
        place = self.folder / target
        return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())

    def _open_pool(
        self, model: Path | str, options: TransformOptions, quarantine: bool, processes: int, *, large: bool
    ) -> WorkerPool:
        if isinstance(model, str):
            return ThreadPool(ContainerOpener(model, options, quarantine), options)
        containers = self.containers.for_job(processes or 1, options.timeout_s)
        environment = options.container_environment()
        opener = LocalModelOpener(model, environment, options, quarantine, containers=containers, large=large)
        return ProcessPool(opener, processes) if processes else ThreadPool(opener, options)


@pytest.fixture
def bench(tmp_path: Path, containers: Containers) -> Bench:
    """A bench of one's own."""
    return Bench(tmp_path, containers)


@pytest.fixture
def house(tmp_path: Path, containers: Containers) -> Iterator[House]:
    """An empty house."""
    one = House(tmp_path, containers)
    yield one
    one.store.close()


@dataclass
class Container:
    """A container as SageMaker's contract has it; `answer` makes (status, body) of a request's body."""

    url: str
    answer: Callable[[bytes], tuple[int, bytes]] = lambda body: (200, body)
    parameters: bytes | None = None
    healthy: bool = True
    calls: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def bodies(self) -> list[bytes]:
        """The requests' bodies."""
        return [body for method, _, body, _ in self.calls if method == "POST"]


@pytest.fixture
def container() -> Iterator[Container]:
    """A running container that answers with what it was sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.calls.append(("GET", self.path, b"", dict(self.headers)))
            if self.path == "/ping":
                self._reply(200 if state.healthy else 503, b"")
            else:
                self._reply(404 if state.parameters is None else 200, state.parameters or b"")

        def do_POST(self) -> None:
            with state.lock:
                state.at_once += 1
                state.most_at_once = max(state.most_at_once, state.at_once)
            body = self._body()
            state.calls.append(("POST", self.path, body, dict(self.headers)))
            status, answer = state.answer(body)
            with state.lock:
                state.at_once -= 1
            self._reply(status, answer)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Container(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
