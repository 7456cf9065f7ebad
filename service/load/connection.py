"""One keep-alive HTTP/1.1 connection of a load tester: bytes out, parsed answers in, nothing in between."""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

_VARIANT = b"x-amzn-invoked-production-variant"
_ERROR_TYPE = b"x-amzn-errortype"
_SIZING = (b"content-length", b"transfer-encoding")
_KEPT_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. `body` is cut after 16 KiB unless the connection was told to keep all of it."""

    status: int
    variant: str
    error_type: str
    body: bytes


class Owner(Protocol):
    """Who is told what happens on a connection. Calls come from the event loop."""

    def answered(self, connection: "ClientConnection", answer: Response) -> None:
        """The request that was sent is answered; the connection may be used again unless it is `closing`."""

    def lost(self, connection: "ClientConnection", reason: str) -> None:
        """The connection is gone; `reason` says how. A request under way gets no answer."""


class ClientConnection(asyncio.Protocol):
    """Sends one request at a time.

    `sent_s`, `due_s` and `turn` belong to the owner; `waits` says whether a request is under way.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_error_type",
        "_kept_bytes",
        "_owner",
        "_parser",
        "_sized",
        "_stray",
        "_until_end",
        "_variant",
        "closing",
        "due_s",
        "sent_s",
        "transport",
        "turn",
        "waits",
    )

    transport: asyncio.Transport

    def __init__(self, owner: Owner, kept_bytes: int = _KEPT_BYTES) -> None:
        """Of an answer's body the first `kept_bytes` are kept."""
        self._owner = owner
        self._kept_bytes = kept_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Response | None = None
        self._stray = ""
        self.waits = self.closing = False
        self.due_s = self.sent_s = 0.0
        self.turn = 0
        self.on_message_begin()

    def send(self, request: bytes) -> None:
        """Send a whole request; the one before must be answered."""
        self.waits = True
        self.transport.write(request)

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: part of an answer came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._stray = f"what came is no HTTP answer: {error}"
        answer, self._answer = self._answer, None
        if self._stray:
            self.closing = True
            self.transport.abort()
        elif answer is not None:
            self._hand_over(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self.closing = True
        if self.waits and exc is None and self._until_end:  # a body without length ends with the connection
            self._hand_over(self._make_answer())
        reason = self._stray or ("the server closed the connection" if exc is None else repr(exc))
        self._owner.lost(self, reason)

    def _hand_over(self, answer: Response) -> None:
        self.waits = False
        self._owner.answered(self, answer)

    # ---- the parser's side

    def on_message_begin(self) -> None:
        """httptools: an answer begins."""
        self._variant = self._error_type = self._body = b""
        self._until_end = self._sized = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header."""
        length = len(name)
        if length == 33 and name.lower() == _VARIANT:
            self._variant = value
        elif length == 16 and name.lower() == _ERROR_TYPE:
            self._error_type = value
        elif length in (14, 17) and name.lower() in _SIZING:
            self._sized = True

    def on_headers_complete(self) -> None:
        """httptools: the headers are over."""
        self._until_end = not self._sized

    def on_body(self, body: bytes) -> None:
        """httptools: part of the body."""
        if len(self._body) < self._kept_bytes:
            self._body = (self._body + body)[: self._kept_bytes]

    def on_message_complete(self) -> None:
        """httptools: an answer is whole."""
        if self._parser.get_status_code() < 200:  # 100 Continue and its kin announce the answer
            return
        if self._answer is not None or not self.waits:
            self._stray = "an answer came that nobody asked for"
            return
        self._until_end = False
        self.closing = not self._parser.should_keep_alive()
        self._answer = self._make_answer()

    def _make_answer(self) -> Response:
        return Response(
            self._parser.get_status_code(),
            self._variant.decode("latin-1"),
            self._error_type.decode("latin-1"),
            self._body,
        )
