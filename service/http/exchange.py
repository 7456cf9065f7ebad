"""One request and its answer, as ASGI has them: what `receive` and `send` do on a connection.

ASGI sends the head and the body of a reply apart: two messages, two system calls, and every header searched
for what must not be in it. Most replies here are whole when they begin. So the `send` of a request is one
of an object that also takes whole replies, see asgi.send_whole; an application that knows nothing of it, or
wraps `send`, loses nothing.
"""

import asyncio
import re
from typing import Any, Protocol
from urllib.parse import unquote

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.asgi import NO_BODY, App, Headers, Message, Scope, header_lines
from service.http.failures import note_unanswered
from service.http.head import Head
from service.http.rendering import FAILURE, render
from service.log import get_logger

HIGH_WATER_BYTES = 65_536
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # in values. Source: RFC 9110, 5.5
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class CommonLines:
    """The lines of the headers that uvicorn gives to every reply: it makes a new list of them each second."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[Headers, bytes] = ([], b"")

    def of(self, headers: Headers) -> bytes:
        """The lines of a list of headers, which is never changed."""
        known, lines = self._known
        if headers is known:
            return lines
        lines = header_lines(headers)
        self._known = headers, lines
        return lines


common_lines = CommonLines().of


def scope_of(head: Head, ends: tuple[Any, Any], root_path: str, state: dict[str, Any]) -> Scope:
    """What ASGI calls the request with this head; `ends` are the addresses of the server and the client."""
    path, query = head.path_and_query
    text = path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "server": ends[0],
        "client": ends[1],
        "scheme": "http",
        "method": head.method.decode("ascii"),
        "root_path": root_path,
        "path": root_path + (unquote(text) if "%" in text else text),
        "raw_path": root_path.encode("ascii") + path,
        "query_string": query,
        "headers": head.headers,
        "state": state.copy(),
    }


class Line(Protocol):
    """The connection that an exchange takes place on."""

    transport: asyncio.Transport
    flow: FlowControl

    @property
    def common(self) -> bytes:
        """The header lines that every answer has."""
        ...

    @property
    def may_go_on(self) -> bool:
        """Whether what is left of the request's body is little enough to be read away."""
        ...

    def want_body(self) -> None:
        """More of the body can be taken."""
        ...

    def answered(self) -> None:
        """The answer is written."""
        ...

    def hang_up(self) -> None:
        """Nothing more is to be answered."""
        ...


class Exchange:
    """One request and its answer."""

    def __init__(self, line: Line, scope: Scope, keep_alive: bool, expects: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.is_begun = False
        self.is_complete = False
        self.buffered = 0
        self._line = line
        self._expects = expects  # a client that waits to be asked for the body
        self._body: list[bytes] = []
        self._more = True
        self._gone = False
        self._is_news = False
        self._news: asyncio.Event | None = None  # made for who waits, which few do
        self._is_bare = scope["method"] == "HEAD"
        self._chunked = False
        self._left = 0

    # What the connection tells

    def take(self, part: bytes, more: bool) -> None:
        """A part of the body came; `more` is to come."""
        if part:
            self._body.append(part)
            self.buffered += len(part)
        self._more = more
        self._tell()

    def disconnect(self) -> None:
        """There is nobody to answer any more."""
        self._gone = True
        self._body.clear()
        self._tell()

    async def run(self, app: App) -> None:
        """Have the application answer."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:  # the edge: whatever an application does, the server goes on
            note_unanswered(error, path=self.scope.get("path", ""))
            await self._fail()
            return
        if not self.is_complete and not self._gone:
            path = self.scope.get("path", "")
            get_logger("sagebird.gateway").error("request left without a whole answer", path=path)
            await self._fail()

    # What the application asks

    async def receive(self) -> Message:
        """The next part of the body, or the news that the client is gone or answered."""
        if self._expects and not self._line.transport.is_closing():
            self._line.transport.write(_CONTINUE)
        self._expects = False
        if not self._gone and not self.is_complete:
            self._line.want_body()
            if not self._is_news:
                await self._hear()
            self._is_news = False
        if self._gone or self.is_complete:
            return {"type": "http.disconnect"}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self.buffered = 0
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """Send a part of the answer. Raises: RuntimeError if it is none, or out of turn."""
        if self._line.flow.write_paused and not self._gone:
            await self._line.flow.drain()
        if self._gone:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.is_begun:
            self._begin(message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and self.is_begun and not self.is_complete:
            self._go_on(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"The ASGI message {kind!r} comes out of turn.")

    def send_whole(self, status: int, lines: bytes, body: bytes) -> bool:
        """Send a reply whose header lines are given but for its Content-Length, now.

        False, and nothing is sent, where that is a matter for `send`: the client reads too slowly or is gone,
        the reply has begun, or it has no body.
        """
        if self.is_begun or self._gone or self._line.flow.write_paused or self._is_bare:
            return False
        self._settle_keep_alive()
        whole = render(STATUS_LINE[status], self._line.common, lines, body, self.keep_alive)
        self._line.transport.write(whole)
        self._finish()
        return True

    def _begin(self, status: int, headers: Headers) -> None:
        self._settle_keep_alive()
        for name, value in headers:
            if not _NAME.fullmatch(name) or _UNSENDABLE.search(value):
                raise RuntimeError(f"The header {name!r} cannot be sent.")
        given = {name.lower(): value for name, value in headers}
        closing = b"close" in [token.strip() for token in given.get(b"connection", b"").lower().split(b",")]
        lines = [STATUS_LINE[status], self._line.common, header_lines(headers)]
        if closing:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        self._is_bare = self._is_bare or status in NO_BODY
        if b"content-length" in given:
            self._left = int(given[b"content-length"])
        elif not self._is_bare:
            self._chunked = True
            if b"transfer-encoding" not in given:
                lines.append(b"transfer-encoding: chunked\r\n")
        self._line.transport.write(b"".join((*lines, b"\r\n")))
        self.is_begun = True

    def _go_on(self, body: bytes, more: bool) -> None:
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._line.transport.write(chunk if more else chunk + b"0\r\n\r\n")
        elif not self._is_bare:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("The body is not as long as its Content-Length says.")
            if body:
                self._line.transport.write(body)
        if not more:
            self._finish()

    def _settle_keep_alive(self) -> None:
        """Whether the connection can be used again, now that the answer begins.

        Whoever was not asked for the body may send it or not, and what comes next could be either.
        Source: RFC 9110, 10.1.1.
        """
        if self._more and (self._expects or not self._line.may_go_on):
            self.keep_alive = False

    def _finish(self) -> None:
        self.is_begun = self.is_complete = True
        self._body.clear()
        self._tell()
        self._line.answered()

    def _tell(self) -> None:
        self._is_news = True
        if self._news is not None:
            self._news.set()

    async def _hear(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    async def _fail(self) -> None:
        if self._gone or self.is_complete:
            return
        if self.is_begun:
            self._line.hang_up()  # too early, which the client sees by the length
            return
        headers: Any = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(FAILURE)),
            (b"connection", b"close"),
        ]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": FAILURE})
