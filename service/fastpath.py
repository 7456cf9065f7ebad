"""The HTTP protocol that answers hot requests from the parser's callback, without a task and without ASGI.

A request is hot when the front door has an answerer for its target, it came as plain HTTP/1.1 with a small
body of known length, and no earlier request of its connection is still being answered. Everything else goes
to ASGI as uvicorn gives it there: slow answers, other paths, `Expect`, chunked bodies, HTTP/1.0, calls from
web pages. Both ways write the same bytes; tests/contracts holds them to that.

Written against uvicorn 0.34 to 0.54, whose httptools protocol it extends by overriding parser callbacks.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from math import inf
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.asgi import App, Headers, Receive, Scope, Send, send_reply
from service.wire.reply import Reply

Answerer = Callable[[Headers, bytes], Reply | Awaitable[Reply]]
"""Takes headers (lower-case names) and body; the reply, or what is left to await for it. Raises nothing."""

_MOST_BODY_BYTES = 65_536
# Answers to pipelined requests that one read may get before others have their turn.
_MOST_IN_A_ROW = 16
_KNOWN_TARGETS = 4096
# `origin` comes from web pages, whose answers need headers of their own (web/cors.py).
_UNUSUAL = frozenset({b"expect", b"origin", b"transfer-encoding", b"upgrade"})


class FrontDoor(Protocol):
    """What knows which requests are hot."""

    draining: bool

    def answerer(self, target: bytes) -> Answerer | None:
        """Who answers `POST target`; None if the request must go to ASGI."""
        ...


class FastProtocol(HttpToolsProtocol):
    """One connection."""

    find: Callable[[bytes], Answerer | None]
    is_draining: Callable[[], bool]
    most_body_bytes: int

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answerer: Answerer | None = None  # set while a hot request is being received
        self._body = b""
        self._plain = True
        self._in_a_row = 0
        self._idle_since_s = inf

    def data_received(self, data: bytes) -> None:
        """Parse; hot requests are answered before this returns."""
        # The timer runs on: to stop and start it would cost more than to look at the clock when it fires.
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self._idle_since_s = inf
        self._in_a_row = 0
        super().data_received(data)
        if timer is not None:
            self.timeout_keep_alive_task = timer
        elif self._in_a_row:
            self._watch_idleness(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what a half received request holds."""
        self._answerer = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    # Parser callbacks

    def on_message_begin(self) -> None:
        """A request begins; what ASGI would want to know of it is gathered only if it goes there."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._plain = True
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, and note what makes a request one for ASGI."""
        name = name.lower()
        self.headers.append((name, value))
        if name in _UNUSUAL:
            self._plain = False
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        """Decide whether the request is hot."""
        self._answerer = self.find(self.url) if self._is_hot() else None
        if self._answerer is None:
            self._leave_to(self.app)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body; a hot request whose body grows too large is hot no more."""
        if self._answerer is None:
            super().on_body(body)
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > self.most_body_bytes:
            self._answerer = None
            self._leave_to(self.app)

    def on_message_complete(self) -> None:
        """Answer a hot request, or have ASGI send what has to be waited for."""
        answer, self._answerer = self._answerer, None
        if answer is None:
            super().on_message_complete()
            return
        if self.transport.is_closing():
            return
        body, self._body = self._body, b""
        reply = answer(self.headers, body)
        if isinstance(reply, Reply):
            self._write(reply)
        else:
            self._leave_to(_sender(reply))
            if self.is_draining():
                self.cycle.keep_alive = False
            super().on_message_complete()

    def _is_hot(self) -> bool:
        return (
            self._plain
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self._in_a_row < _MOST_IN_A_ROW
            and not self.flow.write_paused
        )

    def _leave_to(self, app: App) -> None:
        """Have ASGI answer the request whose head, and perhaps a part of its body, was received."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        usual, self.app = self.app, cast(Any, app)
        try:
            super().on_headers_complete()
        finally:
            self.app = usual
        if self._body:
            super().on_body(self._body)
            self._body = b""

    def _write(self, reply: Reply) -> None:
        """The bytes that asgi.send_reply and uvicorn write for the same reply."""
        status, body = reply.status, reply.body
        parts = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in reply.headers:
            parts += (name.lower(), b": ", value, b"\r\n")
        if status == 204:
            body = b""
        else:
            parts.append(b"content-length: %d\r\n" % len(body))
        closing = self.is_draining() or not self.parser.should_keep_alive()
        parts += (b"connection: close\r\n\r\n" if closing else b"\r\n", body)
        self.transport.write(b"".join(parts))
        self.server_state.total_requests += 1
        self._in_a_row += 1
        if closing:
            self.transport.close()
        else:
            self._idle_since_s = self.loop.time()

    # Time-outs and the end

    def on_response_complete(self) -> None:
        """An answer of ASGI is sent."""
        self._idle_since_s = self.loop.time()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle all the while; a request under way starts the clock anew."""
        self.timeout_keep_alive_task = None
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            super().timeout_keep_alive_handler()
        elif left_s < inf:
            self._watch_idleness(left_s)

    def shutdown(self) -> None:
        """A request that is being received will be answered; ASGI counts it as one under way."""
        if self._answerer is not None:
            self._answerer = None
            self._leave_to(self.app)
        super().shutdown()

    def _watch_idleness(self, seconds: float) -> None:
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)


def fast_protocol(front_door: FrontDoor, max_body_bytes: int) -> type[FastProtocol]:
    """The protocol class for one gateway; `max_body_bytes` is the limit of ASGI's side."""

    class Bound(FastProtocol):
        find = staticmethod(lru_cache(_KNOWN_TARGETS)(front_door.answerer))
        most_body_bytes = min(_MOST_BODY_BYTES, max_body_bytes)

        @staticmethod
        def is_draining() -> bool:
            return front_door.draining

    return Bound


def _sender(rest: Awaitable[Reply]) -> App:
    async def send_rest(_scope: Scope, _receive: Receive, send: Send) -> None:
        reply = await rest
        await send_reply(send, reply.status, reply.headers, reply.body)

    return send_rest
