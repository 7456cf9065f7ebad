"""uvicorn's HTTP protocol whose ASGI side can send a whole reply in one step.

ASGI sends the head and the body of a reply apart: two messages, two system calls, and every header searched
for what must not be in it. Most replies here are whole when they begin. So the `send` of a request is one
of an object that also takes whole replies, see asgi.send_whole; an application that knows nothing of it, or
wraps `send`, loses nothing.

Written against uvicorn 0.34 to 0.54.
"""

from functools import lru_cache
from math import inf
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.asgi import header_lines


@lru_cache(2)
def common_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The lines of the headers that uvicorn gives to every reply of the same second."""
    return header_lines(headers)


class Cycle(RequestResponseCycle):
    """One request and its response."""

    def send_whole(self, status: int, lines: bytes, body: bytes) -> bool:
        """Send a reply whose header lines are given but for its Content-Length, now.

        False, and nothing is sent, where that is a matter for `send`: the client reads too slowly or is gone,
        the reply has begun, or it has no body.
        """
        if self.response_started or self.disconnected or self.flow.write_paused:
            return False
        if self.scope["method"] == "HEAD":
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        common, length = common_lines(tuple(self.default_headers)), b"content-length: %d\r\n" % len(body)
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], common, lines, length, end, body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class WholeReplies(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._idle_since_s = inf

    def data_received(self, data: bytes) -> None:
        """Parse. The timer runs on: to stop and start it costs more than to see the time when it fires."""
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self._idle_since_s = inf
        super().data_received(data)
        if timer is not None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = timer

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer too."""
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Have a task answer the request, by ASGI."""
        before: Any = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.__class__ = Cycle  # uvicorn makes it itself; the two have the same fields

    def on_response_complete(self) -> None:
        """A response is sent: go on with the next request, or be idle."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self._idle_since_s = self.loop.time()
            self.flow.resume_reading()
            if self.timeout_keep_alive_task is None:
                self.watch_idleness(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle all the while; a request under way starts the clock anew."""
        self.timeout_keep_alive_task = None
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            super().timeout_keep_alive_handler()
        elif left_s < inf:
            self.watch_idleness(left_s)

    def watch_idleness(self, seconds: float) -> None:
        """Look after so long whether the connection was idle all the while."""
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)
