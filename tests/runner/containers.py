"""The host's end of the runner's protocol, as small as it can be."""

import contextlib
import json
import mmap
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

RUNNER = Path(__file__).resolve().parents[2] / "service" / "runner"
# Another Python may be given to run all these tests with; it needs scikit-learn.
PYTHON = os.environ.get("TEST_RUNNER_PYTHON", sys.executable)
_RECORD = struct.Struct("<QQQ")
WAIT_S = 60.0  # a machine that is shared with others takes a minute for what takes a second


@dataclass(frozen=True)
class Reply:
    """What a worker answered; status 0 when it closed the connection without a word."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str | None:
        return self.headers.get("content-type")


def packets() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection that keeps packets apart."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ends[0].settimeout(WAIT_S)
    return ends


def receive(end: socket.socket) -> Any:
    """The next packet; None when the other end is closed."""
    packet = end.recv(1 << 20)
    return json.loads(packet) if packet else None


class Container:
    """One model's template, seen from the host, and the listening socket that its workers share."""

    def __init__(self, spec: Mapping[str, Any], folder: Path, slots: int = 4) -> None:
        self.spec = spec
        self.control, self.far = packets()
        self.address = str(folder / "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.address)
        self.listener.listen(64)
        self.slots = os.memfd_create("slots")
        os.ftruncate(self.slots, _RECORD.size * slots)
        self.record = mmap.mmap(self.slots, 0)
        self.log = folder / "out"
        self.out = self.log.open("ab")
        self.pid = 0
        self.workers: dict[int, int] = {}

    def descriptors(self) -> list[int]:
        out = self.out.fileno()
        return [self.far.fileno(), self.listener.fileno(), self.slots, out, out]

    def ask(self, **packet: Any) -> None:
        self.control.send(json.dumps(packet).encode())

    def told(self) -> Any:
        return receive(self.control)

    def loaded(self) -> dict[str, Any]:
        packet = self.told()
        assert "loaded" in packet, packet
        loaded: dict[str, Any] = packet["loaded"]
        return loaded

    def failed(self) -> str:
        packet = self.told()
        assert "failed" in packet, packet
        assert packet["failed"]["status"] == 500
        return str(packet["failed"]["message"])

    def work(self, *slots: int) -> Self:
        """Have a worker for each of these slots."""
        for slot in slots or (0,):
            self.ask(fork=slot)
            told = self.told()
            assert told["slot"] == slot
            self.workers[slot] = told["worker"]
        return self

    def call(
        self,
        body: Any = b"",
        kind: str | None = "application/json",
        accept: str | None = None,
        *,
        path: str = "POST /invocations",
        **headers: str,
    ) -> Reply:
        """One call over a connection of its own; what is no bytes is sent as JSON."""
        given = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {
            "Content-Type": kind,
            "Accept": accept,
            **{n.replace("_", "-"): v for n, v in headers.items()},
        }
        lines = [f"{name}: {value}" for name, value in named.items() if value is not None]
        head = "\r\n".join([f"{path} HTTP/1.1", *lines, f"Content-Length: {len(given)}", "", ""])
        with self.begin(head.encode() + given) as connection:
            return self.answer(connection)

    def begin(self, request: bytes) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(WAIT_S)
        connection.connect(self.address)
        connection.sendall(request)
        return connection

    def answer(self, connection: socket.socket) -> Reply:
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while not _is_whole(received) and (part := connection.recv(1 << 20)):
                received += part
        head, _, body = received.partition(b"\r\n\r\n")
        if not head:
            return Reply(0, {}, b"")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert int(headers["content-length"]) == len(body)
        return Reply(int(first.split(" ")[1]), headers, body)

    def calls_of(self, slot: int) -> tuple[int, int]:
        """How many calls a slot's worker began, and since when the present one is under way."""
        begun, since, _ = _RECORD.unpack_from(self.record, _RECORD.size * slot)
        return begun, since

    def have_leave(self, slot: int) -> None:
        """Have a slot's worker end before it begins another call."""
        struct.pack_into("<Q", self.record, _RECORD.size * slot + 16, 1)

    def said(self) -> str:
        """What was printed so far."""
        return self.log.read_text()

    def close(self) -> None:
        for end in (self.control, self.far, self.listener, self.out):
            end.close()
        with contextlib.suppress(OSError):
            os.close(self.slots)


class ForkServer:
    """A fork server as a process, and what it says."""

    def __init__(self, environment: Mapping[str, str] | None = None, lenders: Sequence[str] = ()) -> None:
        self.end, far = packets()
        command = [PYTHON, "-I", str(RUNNER), "--fork-server", *lenders, str(far.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[far.fileno()], env=environment)
        far.close()
        self.gone: dict[int, int] = {}

    def ready(self) -> Self:
        assert receive(self.end) == {"ready": True}
        return self

    def start(self, container: Container) -> Container:
        container.pid = self.ask({"container": container.spec}, container)
        return container

    def ask(self, packet: Mapping[str, Any], container: Container) -> int:
        """Ask for a process with the descriptors of a container."""
        socket.send_fds(self.end, [json.dumps(packet).encode()], container.descriptors())
        while "started" not in (told := receive(self.end)):
            self.gone[told["ended"]] = told["status"]
        container.far.close()
        return int(told["started"])

    def status_of(self, pid: int) -> int:
        """How a container ended."""
        while pid not in self.gone:
            told = receive(self.end)
            self.gone[told["ended"]] = told["status"]
        return self.gone[pid]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.end.close()
        self.process.wait(WAIT_S)


def start_alone(container: Container, python: str = PYTHON) -> subprocess.Popen[bytes]:
    """A container in an environment of its own, as a process."""
    numbers = container.descriptors()[:3]
    command = [python, "-I", str(RUNNER), "--container", *map(str, numbers)]
    process = subprocess.Popen(
        command,
        pass_fds=numbers,
        stdout=container.out,
        stderr=container.out,
        env=container.spec["environment"],
    )
    container.pid = process.pid
    container.far.close()
    container.control.send(json.dumps(container.spec).encode())
    return process


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end) and length is not None and len(body) >= int(length[1])
