"""The yardstick: uvicorn with the same parser, loop and number of processes, and an app that does nothing.

Run as a program with SAGEBIRD_PORT and the number of processes as its argument.
"""

import asyncio
import os
import signal
import socket
import sys

import uvicorn
import uvloop

from service.http.asgi import Message, Receive, Scope, Send

ANSWER = b"[0]"
"""What it answers to everything."""

_HEAD: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))],
}
_BODY: Message = {"type": "http.response.body", "body": ANSWER}


async def app(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, answer a constant."""
    while (await receive()).get("more_body", False):
        pass
    await send(_HEAD)
    await send(_BODY)


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: object) -> None:
        """Leave at once."""
        self.should_exit = self.force_exit = True


def _serve(listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Server(config).serve([listener]))


def main() -> None:
    """Serve in so many forked processes until SIGTERM."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(os.environ["SAGEBIRD_PORT"])))
        listener.listen(2048)
        children = []
        for _ in range(int(sys.argv[1])):
            child = os.fork()
            if not child:
                _serve(listener)
                os._exit(0)
            children.append(child)

    def stop(_number: int, _frame: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
