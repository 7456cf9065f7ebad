"""The buckets of a server without the rest of it: two processes with the face of S3, as gateways have it.

They start in a fraction of the time that a whole family takes, so that many starts can be looked at. As at
the start of a family, what killed processes left is removed first; settings are read from variables.
"""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from service.domain.caller import Caller
from service.http.asgi import App, Receive, Scope, Send, send_reply
from service.http.connections import ConnectionLimits
from service.http.edge import asgi_protocol
from service.http.server import Server
from service.processes.buckets import clear_buckets, s3_face
from service.settings import Settings, load_settings
from tests.faces.called import called

READY = "/healthz"
_DRAIN_S = 5.0


def _face(settings: Settings) -> App:
    buckets = s3_face(settings, Caller(settings.account, settings.region))
    if buckets is None:
        sys.exit("SAGEBIRD_S3=off: there are no buckets.")
    inner = called(buckets, Caller(settings.account, settings.region))

    async def face(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == READY:
            await send_reply(send, 200, [], b"")
        else:
            await inner(scope, receive, send)

    return face


async def _serve(settings: Settings, listener: socket.socket) -> None:
    server = Server(_face(settings), _DRAIN_S, lambda: None, asgi_protocol(ConnectionLimits()))
    await server.serve([listener])


def main() -> None:
    """Serve until ended; the second process ends with the first."""
    settings = load_settings()
    clear_buckets(settings)
    with socket.create_server(("127.0.0.1", settings.port)) as listener:
        second = os.fork()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            asyncio.run(_serve(settings, listener))
        finally:
            if second:
                os.kill(second, signal.SIGTERM)
                os.waitpid(second, 0)


if __name__ == "__main__":
    main()
