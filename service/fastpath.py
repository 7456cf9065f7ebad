"""The HTTP protocol that answers hot requests without a task and without ASGI.

A request is hot when the front door knows who prepares it, it came as plain HTTP/1.1 with a small body of
known length, and no earlier request of its connection is still being answered. The first with its head is
answered from the parser's callback; later ones need no parser and wait for the end of the round of the event
loop, in which those with the same head are answered together. Everything else goes to ASGI as uvicorn gives
it there: slow answers, other paths, `Expect`, chunked bodies, HTTP/1.0, calls from web pages. Both ways write
the same bytes; tests/contracts holds them to that.

Written against uvicorn 0.34 to 0.54, whose httptools protocol it extends by overriding parser callbacks.
"""

from collections.abc import Awaitable
from math import inf
from typing import Any, NamedTuple, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.asgi import App, Receive, Scope, Send, header_lines, send_reply
from service.protocol import WholeReplies, common_lines
from service.wire.reply import Answered, Answering, Preparing, Reply, Written

_MOST_BODY_BYTES = 65_536
# Answers to pipelined requests that one read may get before others have their turn.
_MOST_IN_A_ROW = 16
# `origin` and `sec-fetch-site` come from web pages: not each may ask this, see web/guard.py.
_UNUSUAL = frozenset(
    {b"content-encoding", b"expect", b"origin", b"sec-fetch-site", b"transfer-encoding", b"upgrade"}
)
_HEAD_END = b"\r\n\r\n"
_MOST_HEADS = 1024
_MOST_HEAD_BYTES = 4096
_OK, _NO_CONTENT = STATUS_LINE[200], STATUS_LINE[204]


class FrontDoor(Protocol):
    """What knows which requests are hot."""

    draining: bool

    def prepares(self, target: bytes) -> Preparing | None:
        """Who answers `POST target`; None if the request must go to ASGI."""
        ...


class Known(NamedTuple):
    """A head that was parsed before: who answers its requests, and how long their bodies are."""

    answering: Answering
    body_bytes: int


Waiting = list[tuple["FastProtocol", bytes, int]]
"""Requests: where each came in, its bytes, and where its body begins."""


class Round:
    """Requests with known heads that came in one round of the event loop; answered and sent together.

    So the model may answer them by one prediction, and whoever waits for several answers wakes up once for
    all: each of these costs more than all else that one request takes. The first of them waits while the
    others are received, some microseconds each.
    """

    def __init__(self) -> None:
        self._waiting: dict[Answering, Waiting] = {}

    def add(self, connection: "FastProtocol", answering: Answering, request: bytes, at: int) -> None:
        """Answer it soon: before anything else happens in the event loop but more requests being received.

        Its body is `request` from `at` on.
        """
        if not self._waiting:
            connection.loop.call_soon(self.finish)
        self._waiting.setdefault(answering, []).append((connection, request, at))

    def finish(self) -> None:
        """Answer all, now."""
        waiting, self._waiting = self._waiting, {}
        faces: dict[Any, tuple[list[Waiting], list[tuple[Any, list[bytes]]]]] = {}
        for answering, requests in waiting.items():
            there = [each for each in requests if each[0].waits]  # the others are gone
            if there:
                face = faces.get(answering.answer_all)
                if face is None:
                    face = faces[answering.answer_all] = ([], [])
                face[0].append(there)
                face[1].append((answering.head, [request[at:] for _, request, at in there]))
        answered = [(waiters, answer_all(asked)) for answer_all, (waiters, asked) in faces.items()]
        for waiters, found in answered:
            for there, answers in zip(waiters, found, strict=True):
                for (connection, request, _), answer in zip(there, answers, strict=True):
                    connection.take(request, answer)


class FastProtocol(WholeReplies):
    """One connection.

    The heads of hot requests are remembered as they came, bytes for bytes, with what answers them: most
    clients send the same one again and again. A parser that sees the same bytes in the same state does the
    same thing, so that a whole request with a known head, and nothing behind it, needs no parser.
    """

    front_door: FrontDoor
    most_body_bytes: int
    heads: dict[bytes, Known]
    answerings: dict[object, Answering]  # by head, but for its content-length
    round: Round

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._preparing: Preparing | None = None  # set while a hot request is being received
        self._begun: Answered | None = None  # an answer that has to wait, of a known head
        self._data = b""  # what came in the same read as the beginning of a request, from there on
        self._body = b""
        self._plain = True
        self.waits = False  # for the end of the round, with a request that is not answered yet
        self._between = True  # no part of a request was received since the end of the last
        self._in_a_row = 0

    def data_received(self, data: bytes) -> None:
        """Parse; hot requests are answered before this returns, or together with others very soon."""
        if self.waits:
            self.round.finish()
        if self._between and (self.cycle is None or self.cycle.response_complete):
            end = data.find(_HEAD_END) + len(_HEAD_END)
            known = self.heads.get(data[:end])
            if known is not None and len(data) == end + known.body_bytes and not self.flow.write_paused:
                self.waits = True
                self._idle_since_s = inf
                self.round.add(self, known.answering, data, end)
                return
            self._data = data
        self._parse(data)

    def take(self, request: bytes, answer: Answered) -> None:
        """Send the answer to a request of a known head, or have ASGI wait for it and send it."""
        self.waits = False
        self._in_a_row = 0
        if isinstance(answer, Written):
            self._write(_OK, answer.lines, answer.body, self.front_door.draining)
            if self.timeout_keep_alive_task is None:
                self.watch_idleness(self.timeout_keep_alive)
        else:
            self._begun = answer
            self._parse(request)

    def _parse(self, data: bytes) -> None:
        self._in_a_row = 0
        super().data_received(data)
        self._data = b""
        if self._in_a_row and self.timeout_keep_alive_task is None:
            self.watch_idleness(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what a half received request holds."""
        self._preparing = None
        self.waits = False
        super().connection_lost(exc)

    # Parser callbacks

    def on_message_begin(self) -> None:
        """A request begins; what ASGI would want to know of it is gathered only if it goes there."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._plain = True
        self._between = False
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
        self._preparing = self.front_door.prepares(self.url) if self._is_hot() else None
        if self._preparing is None:
            self._leave_to(self.app)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body; a hot request whose body grows too large is hot no more."""
        if self._preparing is None:
            super().on_body(body)
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > self.most_body_bytes:
            self._preparing = None
            self._leave_to(self.app)

    def on_message_complete(self) -> None:
        """Answer a hot request, or have ASGI send what has to be waited for."""
        self._between = True
        preparing, self._preparing = self._preparing, None
        if preparing is None:
            super().on_message_complete()
            return
        if self.transport.is_closing():
            return
        body, self._body = self._body, b""
        begun, self._begun = self._begun, None
        answer = self._answer(preparing, body) if begun is None else begun
        closing = self.front_door.draining or not self.parser.should_keep_alive()
        if isinstance(answer, Written):
            self._write(_OK, answer.lines, answer.body, closing)
        elif isinstance(answer, Reply):
            self._write(STATUS_LINE[answer.status], header_lines(answer.headers), answer.body, closing)
        else:
            self._leave_to(_sender(answer))
            if closing:
                self.cycle.keep_alive = False
            super().on_message_complete()

    def _answer(self, preparing: Preparing, body: bytes) -> Answered:
        answering = preparing(self.headers)
        self._remember(answering, len(body))
        return answering([body])[0]

    def _is_hot(self) -> bool:
        return (
            self._plain
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self._in_a_row < _MOST_IN_A_ROW
            and not self.flow.write_paused
        )

    def _remember(self, answering: Answering, body_bytes: int) -> None:
        """Keep the head of the request that is complete, if it came in one piece and may come again."""
        end = self._data.find(_HEAD_END) + len(_HEAD_END)
        if len(self._data) != end + body_bytes or end > _MOST_HEAD_BYTES:
            return  # it came in parts, or others came with it
        if not self.parser.should_keep_alive() or any(name == b"authorization" for name, _ in self.headers):
            return  # a signature holds the time
        if len(self.heads) >= _MOST_HEADS:
            self.heads.clear()
            self.answerings.clear()
        alike = (self.url, *(header for header in self.headers if header[0] != b"content-length"))
        self.heads[self._data[:end]] = Known(self.answerings.setdefault(alike, answering), body_bytes)

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

    def _write(self, status_line: bytes, lines: bytes, body: bytes, closing: bool) -> None:
        """The bytes that asgi.send_reply and uvicorn write for the same answer."""
        if status_line is _NO_CONTENT:
            body, length = b"", b""
        else:
            length = b"content-length: %d\r\n" % len(body)
        end = b"connection: close\r\n\r\n" if closing else b"\r\n"
        common = common_lines(tuple(self.server_state.default_headers))
        self.transport.write(b"".join((status_line, common, lines, length, end, body)))
        self.server_state.total_requests += 1
        self._in_a_row += 1
        if closing:
            self.transport.close()
        else:
            self._idle_since_s = self.loop.time()

    # The end

    def shutdown(self) -> None:
        """A request that is being received will be answered; ASGI counts it as one under way."""
        if self._preparing is not None:
            self._preparing = None
            self._leave_to(self.app)
        if self.waits:
            self.round.finish()
        super().shutdown()


def fast_protocol(door: FrontDoor, max_body_bytes: int) -> type[FastProtocol]:
    """The protocol class for one gateway; `max_body_bytes` is the limit of ASGI's side."""

    class Bound(FastProtocol):
        front_door = door
        most_body_bytes = min(_MOST_BODY_BYTES, max_body_bytes)
        heads: dict[bytes, Known] = {}  # noqa: RUF012  # shared by the connections of one gateway
        answerings: dict[object, Answering] = {}  # noqa: RUF012
        round = Round()

    return Bound


def _sender(rest: Awaitable[Reply]) -> App:
    async def send_rest(_scope: Scope, _receive: Receive, send: Send) -> None:
        reply = await rest
        await send_reply(send, reply.status, reply.headers, reply.body)

    return send_rest
