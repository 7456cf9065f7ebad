"""A server that shows what lies below sagebird: it only reads and writes.

Run as a program with SAGEBIRD_PORT. What it takes to write is timed.
"""

import asyncio
import os
import signal
from typing import cast

import uvloop

from tests.bench.bare import ANSWER
from tests.harness.timing import report_when_asked, timed

_HEAD = b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: application/json\r\n"
_BYTES = _HEAD + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER


class _Socket(asyncio.Protocol):
    """Answers every read; right for requests that come in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = timed("write", cast(asyncio.Transport, transport).write)

    def data_received(self, data: bytes) -> None:
        self._write(_BYTES)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Socket, "127.0.0.1", port)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


def main() -> None:
    """Serve until SIGTERM."""
    report_when_asked()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(os.environ["SAGEBIRD_PORT"])))


if __name__ == "__main__":
    main()
