"""Servers that show what lies below sagebird: `socket` only reads and writes, `callback` speaks HTTP too.

Run as a program with SAGEBIRD_PORT and one of the two words as its argument.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import cast

import uvicorn
import uvloop

from service.fastpath import fast_protocol
from service.wire.reply import Answered, Preparing, Written
from tests.bench.bare import ANSWER, app

_HEAD = b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-type: application/json\r\n"
_BYTES = _HEAD + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER


class _Socket(asyncio.Protocol):
    """Answers every read; right for requests that come in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(_BYTES)


class _FrontDoor:
    draining = False

    def prepares(self, target: bytes) -> Preparing:
        return lambda _headers: _answer


def _answer(bodies: Sequence[bytes]) -> list[Answered]:
    return [Written(b"content-type: application/json\r\n", ANSWER) for _ in bodies]


async def _serve(kind: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    if kind == "socket":
        server = await loop.create_server(_Socket, "127.0.0.1", port)
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()
        server.close()
        return
    config = uvicorn.Config(
        app,
        http=fast_protocol(_FrontDoor(), 1 << 20),
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        port=port,
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Serve until SIGTERM."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(sys.argv[1], int(os.environ["SAGEBIRD_PORT"])))


if __name__ == "__main__":
    main()
