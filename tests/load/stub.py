"""A real HTTP server on loopback that answers as a test's script says, and remembers what it was asked."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One answer: after `delay_s`; `raw` bytes instead of all else; `close` ends the connection behind it."""

    status: int = 200
    body: bytes = b"[0]"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    raw: bytes | None = None
    close: bool = False

    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


Script = Callable[[Asked], Reply]


@dataclass
class Stub:
    """A running server. `first` is set by the first request."""

    script: Script
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = line.split(" ")
        asked = Asked(method, path, headers, body)
        self.asked.append(asked)
        reply = self.script(asked)
        self.first.set()
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        writer.write(reply.wire())
        await writer.drain()
        return not reply.close


@contextmanager
def serving(script: Script) -> Iterator[Stub]:
    """Serve in a thread until the block is left."""
    stub = Stub(script)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    over = asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, backlog=512)
        stub.port = server.sockets[0].getsockname()[1]
        ready.set()
        await over.wait()
        server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)

    def run() -> None:
        with loop_runner(loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield stub
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)


def loop_runner(loop: asyncio.AbstractEventLoop) -> asyncio.Runner:
    """A runner of that loop."""
    return asyncio.Runner(loop_factory=lambda: loop)
