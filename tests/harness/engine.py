"""A stand-in for Docker: a real HTTP server on a Unix socket that speaks what is used of the Engine API.

Its containers are web servers of this process, each at a port of its own, that do what their image says.
"""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from tarfile import open as open_tar
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LIMIT_S = 60.0
Answer = tuple[int, bytes]


@dataclass
class Image:
    """What the containers of an image do.

    `ping` and `invoke` answer; where it `ends` it does so at once, after it has said `words`; `start` is why
    it cannot even start.
    """

    name: str
    user: str = ""
    ping: Callable[["Box"], int] = lambda box: 200
    invoke: Callable[["Box", bytes], Answer] = lambda box, body: (200, body[::-1])
    parameters: bytes = b""
    words: tuple[tuple[int, bytes], ...] = ()
    ends: Mapping[str, Any] | None = None
    start: str = ""
    publishes: bool = True

    @property
    def identity(self) -> str:
        """Its id."""
        return f"sha256:{self.name.encode().hex()}"


@dataclass
class Box:
    """One container."""

    name: str
    image: Image
    config: dict[str, Any]
    put: dict[str, bytes] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer | None = None
    pings: int = 0

    def run(self) -> None:
        """Have its web server take calls."""
        box = self

        class App(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/ping":
                    box.pings += 1
                    self.reply(box.image.ping(box), b"")
                elif self.path == "/execution-parameters" and box.image.parameters:
                    self.reply(200, box.image.parameters)
                else:
                    self.reply(404, b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.reply(*box.image.invoke(box, body))

            def reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

            def handle(self) -> None:
                with suppress(ConnectionError):  # whoever asked has gone
                    super().handle()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), App)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def end(self, **state: Any) -> None:
        """It ends by itself."""
        self.state = state or {"ExitCode": 1}
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        self.over.set()

    def inspect(self) -> dict[str, Any]:
        """What the engine says of it."""
        ports: dict[str, Any] = {}
        if self.server is not None and self.image.publishes:
            ports["8080/tcp"] = [{"HostIp": "127.0.0.1", "HostPort": str(self.server.server_address[1])}]
        return {"Id": self.name, "State": dict(self.state), "NetworkSettings": {"Ports": ports}}


class StandIn:
    """What the engine has: its images, those that its registry has as well, and containers by their names."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.images: dict[str, Image] = {}
        self.registry: dict[str, Image] = {}
        self.boxes: dict[str, Box] = {}
        self.made: list[Box] = []
        self.info: dict[str, Any] = {"NCPU": 2, "MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
        self.refuses: dict[str, str] = {}
        self.refused: list[str] = []

    @property
    def environ(self) -> dict[str, str]:
        """How it is named."""
        return {"DOCKER_HOST": f"unix://{self.socket}"}

    def add(self, name: str, **members: Any) -> Image:
        """Have an image."""
        image = self.images[name] = Image(name, **members)
        return image

    def find(self, name: str) -> Image | None:
        """An image by its name or id."""
        return next((one for one in self.images.values() if name in (one.name, one.identity)), None)

    @property
    def box(self) -> Box:
        """The only container."""
        (box,) = self.boxes.values()
        return box


class _Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # whoever asked has gone
            self.close_connection = True

    def do_GET(self) -> None:
        self.answer()

    do_POST = do_PUT = do_DELETE = do_GET

    def answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        body = self.body()
        asked = f"{self.command} {url.path}"
        why = next((why for path, why in self.stand_in.refuses.items() if path in asked), "")
        if why:
            self.stand_in.refused.append(asked)
            self.reply(500, {"message": why})
        elif parts == ["info"]:
            self.reply(200, self.stand_in.info)
        elif parts[:2] == ["images", "create"]:
            self.pull(query)
        elif parts[0] == "images":
            self.image("/".join(parts[1:-1]))
        elif parts[1] == "json":
            self.listed(json.loads(query["filters"])["label"])
        elif parts[1] == "create":
            self.create(query["name"], json.loads(body))
        else:
            self.of_container(parts[1], parts[2] if len(parts) > 2 else "it", body)

    def of_container(self, name: str, what: str, body: bytes) -> None:
        box = self.stand_in.boxes.get(name)
        if box is None:
            self.reply(404, {"message": f"No such container: {name}"})
        else:
            getattr(self, f"{self.command.lower()}_{what}")(box, body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def reply(self, status: int, document: Any) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def image(self, name: str) -> None:
        image = self.stand_in.find(name)
        if image is None:
            self.reply(404, {"message": f"No such image: {name}"})
        else:
            self.reply(200, {"Id": image.identity, "Config": {"User": image.user}})

    def pull(self, query: Mapping[str, str]) -> None:
        name = f"{query['fromImage']}{'@' if ':' in query['tag'] else ':'}{query['tag']}"
        image = self.stand_in.registry.get(name)
        lines = [b'{"status": "Pulling"}', b"", b"no JSON"]
        if image is None:
            lines.append(b'{"error": "pull access denied."}')
        else:
            self.stand_in.images[name] = image
        self.reply_raw(b"\r\n".join(lines))

    def reply_raw(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listed(self, labels: list[str]) -> None:
        boxes = [
            {"Id": box.name, "Labels": box.config.get("Labels", {})}
            for box in self.stand_in.boxes.values()
            if {f"{key}={value}" for key, value in box.config.get("Labels", {}).items()}.issuperset(labels)
        ]
        self.reply(200, boxes)

    def create(self, name: str, config: dict[str, Any]) -> None:
        image = self.stand_in.find(config["Image"])
        if image is None:
            self.reply(404, {"message": f"No such image: {config['Image']}"})
            return
        box = self.stand_in.boxes[name] = Box(name, image, config)
        self.stand_in.made.append(box)
        self.reply(201, {"Id": name})

    def put_archive(self, box: Box, body: bytes) -> None:
        with open_tar(fileobj=BytesIO(body)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                box.put[f"{member.name} {member.mode:o}"] = b"" if file is None else file.read()
        self.reply(200, None)

    def post_start(self, box: Box, _body: bytes) -> None:
        if box.image.start:
            self.reply(400, {"message": box.image.start})
            return
        if box.image.ends is None:
            box.run()
        else:
            box.end(**box.image.ends)
        self.reply(204, None)

    def get_json(self, box: Box, _body: bytes) -> None:
        self.reply(200, box.inspect())

    def post_wait(self, box: Box, _body: bytes) -> None:
        box.over.wait(LIMIT_S)
        self.reply(200, {"StatusCode": 0})

    def get_stats(self, _box: Box, _body: bytes) -> None:
        memory = {"usage": 50 << 20, "stats": {"inactive_file": 10 << 20}}
        self.reply(200, {"memory_stats": memory, "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}}})

    def get_logs(self, box: Box, _body: bytes) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        for stream, words in box.image.words:
            frame = bytes([stream, 0, 0, 0]) + len(words).to_bytes(4, "big") + words
            self.wfile.write(frame[:5])
            self.wfile.flush()
            self.wfile.write(frame[5:])
            self.wfile.flush()
        box.over.wait(LIMIT_S)
        self.close_connection = True

    def delete_it(self, box: Box, _body: bytes) -> None:
        self.stand_in.boxes.pop(box.name, None)
        box.end(ExitCode=137)
        self.reply(204, None)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def stand_in_engine() -> Iterator[StandIn]:
    """An engine for as long as the context lasts, without images and containers."""
    with tempfile.TemporaryDirectory(prefix="sagebird-") as folder:
        found = StandIn(Path(folder) / "docker.sock")

        class Handler(_Engine):
            stand_in = found

        server = _Server(str(found.socket), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            server.server_close()
            for box in list(found.boxes.values()):
                box.end()
