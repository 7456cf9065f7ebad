"""uvicorn's HTTP protocol whose ASGI side can send a whole reply in one step.

ASGI sends the head and the body of a reply apart: two messages, two system calls, and every header searched
for what must not be in it. Most replies here are whole when they begin. So the `send` of a request is a method
of an object that also takes whole replies, see asgi.send_whole; an application that knows nothing of it, or
wraps `send`, loses nothing.

Written against uvicorn 0.34 to 0.54.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.asgi import header_lines


class Cycle(RequestResponseCycle):
    """One request and its response."""

    def send_whole(self, status: int, lines: bytes, body: bytes) -> bool:
        """Send a reply whose header lines are given but for its Content-Length, now.

        False, and nothing is sent, where that is a matter for `send`: the client reads too slowly or is gone,
        the reply has begun, or it has no body.
        """
        if (
            self.response_started
            or self.disconnected
            or self.flow.write_paused
            or self.scope["method"] == "HEAD"
        ):
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        end = (
            b"content-length: %d\r\n\r\n"
            if self.keep_alive
            else b"content-length: %d\r\nconnection: close\r\n\r\n"
        )
        common = header_lines(self.default_headers)
        self.transport.write(b"".join((STATUS_LINE[status], common, lines, end % len(body), body)))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


class WholeReplies(HttpToolsProtocol):
    """One connection."""

    def on_headers_complete(self) -> None:
        """Have a task answer the request, by ASGI."""
        before: Any = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.__class__ = Cycle  # uvicorn makes it itself; the two have the same fields
