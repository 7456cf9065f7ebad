"""Starts what is measured, as processes of their own, and reads their CPU time and memory."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from tests.harness.load import Load, Plan

ROOT = Path(__file__).resolve().parent.parent.parent
_START_S = 300.0
_SAMPLE_S = 0.02
_TRIES = 30
_ANONYMOUS = re.compile(r"^Pss_(?:Anon|Shmem): +([0-9]+) kB$", re.MULTILINE)


class Family:
    """A process and its children; leaving the `with` block ends it."""

    def __init__(
        self,
        arguments: list[str] | Callable[[int], list[str]],
        log: Path,
        ready_path: str,
        **environment: str,
    ) -> None:
        """Start `python ARGUMENTS` with the given variables and SAGEBIRD_PORT, and wait for its 200.

        A function gives another program's command line for a port.
        """
        self.port = free_port()
        self.log = log
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAGEBIRD_")}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                arguments(self.port) if callable(arguments) else [sys.executable, *arguments],
                cwd=ROOT,
                env=inherited | environment | {"SAGEBIRD_PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,  # so that all of it can be sent a signal, as a terminal's Ctrl-C is
            )
        self._wait_ready(f"http://127.0.0.1:{self.port}{ready_path}")

    def __enter__(self) -> "Family":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)

    def processes(self) -> list[psutil.Process]:
        """The process and its children."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def gateways(self) -> list[psutil.Process]:
        """The children that hold the port."""
        return [child for child in self.processes()[1:] if _listens(child)]

    def cpu_s(self) -> float:
        """User and system seconds that all processes used so far."""
        times = [process.cpu_times() for process in self.processes()]
        return sum(time.user + time.system for time in times)

    def memory_bytes(self) -> int:
        """Proportional set size of all processes: shared pages count once."""
        return memory_bytes(self.process.pid)

    def _wait_ready(self, url: str) -> None:
        deadline_s = time.monotonic() + _START_S
        while time.monotonic() < deadline_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"it left with {self.process.returncode}: {self.log.read_text()}")
            with suppress(URLError, ConnectionError, TimeoutError), urlopen(url, timeout=5):  # noqa: S310
                return
            time.sleep(0.02)
        self.process.kill()
        raise RuntimeError(f"it was not ready within {_START_S:g} s: {self.log.read_text()}")


def serve(
    folder: Path, models: Path, gateways: int, ready_path: str = "/readyz", **environment: str
) -> Family:
    """`sagebird serve` with its data and its log below `folder`, which is made unless it is there."""
    folder.mkdir(exist_ok=True)
    variables = {
        "SAGEBIRD_MODELS": str(models),
        "SAGEBIRD_DATA": str(folder / "data"),
        "SAGEBIRD_GATEWAYS": str(gateways),
    }
    return Family(["-m", "service.cli", "serve"], folder / "log", ready_path, **variables, **environment)


class MemoryWatch:
    """Samples the memory that models can be in, of a whole family, until the `with` block is left."""

    def __init__(self, pid: int) -> None:
        self.samples_bytes: list[int] = []
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def peak_bytes(self) -> int:
        """The most that was seen."""
        return max(self.samples_bytes)

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.samples_bytes.append(models_memory_bytes(self._pid))


def client_ports(gateway: psutil.Process) -> set[int]:
    """The clients' ports of the connections that a gateway holds."""
    return {place.raddr.port for place in gateway.net_connections("tcp") if place.raddr}


def load_on_all(plan: Plan, gateways: list[psutil.Process]) -> Load:
    """A load that every gateway has a part of.

    They accept from one queue, so that one of them may get all connections: then it is begun anew.
    """
    for _ in range(_TRIES):
        load = Load(plan)
        if all(client_ports(gateway) for gateway in gateways):
            return load
        load.stop()
        load.__exit__()
    raise RuntimeError(f"one of the gateways got no connection in {_TRIES} tries")


def memory_bytes(pid: int) -> int:
    """Proportional set size of a process and its children: shared pages count once."""
    total = 0
    process = psutil.Process(pid)
    for member in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it left a moment ago
            total += member.memory_full_info().pss
    return total


def models_memory_bytes(pid: int) -> int:
    """The part of the proportional set size that models can be in: what no file stands behind.

    Pages of libraries are shared with whatever else runs, so their part changes with what others do.
    """
    total = 0
    process = psutil.Process(pid)
    for member in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):  # it left a moment ago
            rollup = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
            total += sum(int(size) << 10 for size in _ANONYMOUS.findall(rollup))
    return total


def _listens(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it left a moment ago
        return any(place.status == psutil.CONN_LISTEN for place in process.net_connections("tcp"))
    return False


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
