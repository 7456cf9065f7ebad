"""HTTP/1.1 on one connection: one request at a time, bounded in memory and in time whatever a client does.

What belongs to later requests stays as it came, within one read of the socket; requests that came together
are answered in turns with those of other connections. Offers to change the protocol (`Upgrade`) are passed
over. An ASGI application answers each request; fastpath.py answers some without. Source: RFC 9112.
"""

import asyncio
from math import inf
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from service.http.asgi import App, Scope
from service.http.connections import ConnectionLimits, Crowd, Paces
from service.http.exchange import HIGH_WATER_BYTES, Exchange, common_lines, scope_of
from service.http.framing import Body, body_of
from service.http.head import Head, HeadSearch, Refused, read_head
from service.http.phase import ANSWER, BODY, HEAD, IDLE, NEXT, OVER, REST
from service.http.rendering import render_refusal
from service.http.watch import Watch

_LINGER_S = 2.0
_MOST_LINGER_BYTES = 2 << 20
_MOST_REST_BYTES = 64 << 20
_SILENT_S = 1.0
_MANY = 1 << 62


class Connection(asyncio.Protocol):
    """One connection, made by uvicorn's server for each that it takes."""

    limits = ConnectionLimits()
    paces: Paces
    crowd: Crowd

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        self.app: App = config.loaded_app
        self.loop: asyncio.AbstractEventLoop = _loop or asyncio.get_event_loop()
        self.server_state = server_state
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # until the connection is made
        self.flow: FlowControl = None  # type: ignore[assignment]  # likewise
        self.state = IDLE
        self._connections: set[Any] = server_state.connections
        self._app_state = app_state
        self._root_path: str = config.root_path
        self._ends: Any = None  # the addresses of both
        self._unread, self._at = b"", 0  # what is not taken up yet, from there on
        self._search = HeadSearch()
        self._body: Body = body_of(0)
        self._exchange: Exchange | None = None
        self._rest_bytes, self._is_used, self._leaving, self._queued = 0, False, False, False
        self._reads_later = 0.0  # since when it waits for its turn to read
        self._since_s = 0.0  # when what it is at began, or last went on
        self._stalled = (0.0, _MANY)  # when it was seen last how many bytes of answers wait to be read
        self.watch = Watch(self.loop, self._deadline_s, self._expire, self.paces.ends)

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; where there are too many connections, another one yields, or this one is refused."""
        self.transport = cast(asyncio.Transport, transport)
        self.flow = FlowControl(self.transport)
        self._since_s = now_s = self.loop.time()
        self.watch.look_within(min(self.limits.head_s, self.limits.keep_alive_s))
        if not self.crowd.admits(self, self._connections, self.limits.most_connections, now_s):
            self.refuse(503, "The server has as many connections as it can have.")

    def data_received(self, data: bytes) -> None:
        """Go as far as it leads; what is beyond waits."""
        if self.state == OVER:
            self._pass_over(data)
            return
        self._unread = self._unread[self._at :] + data if self._unread else data
        self._at = 0
        self._go_on()

    def eof_received(self) -> bool:
        """Who sends nothing more may still read: a request that is whole is answered, then it is over."""
        if self.state != ANSWER or not self._body.is_whole:
            return False
        self.shutdown()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything, so that nothing is left for the garbage collector, which may come late."""
        self._connections.discard(self)
        self.state = OVER
        self._unread, self._at = b"", 0
        self.watch.end()
        self.paces.drains.discard(self._read_on)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnect()
        self.flow.resume_writing()

    def pause_writing(self) -> None:
        """The client reads too slowly: nothing is answered until it has read most of what there is."""
        self.flow.pause_writing()
        self._stalled = (self.loop.time(), self._unsent())
        self.watch.look_within(self.limits.answer_s)

    def resume_writing(self) -> None:
        """The client has read enough of what was written: answers go on."""
        self.flow.resume_writing()
        self._stalled = (0.0, _MANY)
        if self.state == NEXT:
            self._queue()

    # What the server asks

    def shutdown(self) -> None:
        """Answer what was received, and close."""
        self._leaving = True
        if self.state in (IDLE, HEAD):
            self.close()
        elif self._exchange is not None:
            self._exchange.keep_alive = False

    def dispensable(self, now_s: float) -> tuple[int, float] | None:
        """See connections.Held: who is closed in any case, said nothing yet, is idle, slow or not done."""
        age_s = now_s - self._since_s
        if self.state == OVER:
            return 0, self._since_s
        if self.state in (IDLE, HEAD):
            silent = not self._is_used and age_s > _SILENT_S
            return (1 if silent else 2), self._since_s
        due = self._body_is_due()
        if (due or self.flow.write_paused) and age_s > _SILENT_S:
            return 3, self._since_s
        return (4, self._since_s) if due else None

    def yield_place(self) -> None:
        """See connections.Held."""
        self._connections.discard(self)
        self.state = OVER
        self.transport.abort()

    # One request after the other

    def _go_on(self) -> None:
        """Take up what is there, and read more or not."""
        try:
            if self.state in (BODY, ANSWER, REST):
                if not self._body.is_whole:
                    self._receive_body()
            elif self.state != NEXT:
                if self.flow.write_paused:
                    self.state = NEXT
                else:
                    self._begin()
        except Refused as refusal:
            self.refuse(refusal.status, refusal.sentence)
        self._balance_reading()

    def _begin(self) -> None:
        """Take up one request, or wait for the rest of its head. Raises: Refused."""
        data = self._unread
        at, end = self._search.find(data, self._at, self.limits.head)
        if end:
            self._at = end
            self.take_head(data[at:end])
            return
        self._unread, self._at = data[at:] if at else data, 0
        if not self._unread:
            self.state = IDLE
        elif self.state != HEAD:
            self.state = HEAD
            self._since_s = self.loop.time()
            self.watch.look_within(self.limits.head_s)

    def take_head(self, data: bytes) -> None:
        """Take up the request with this head. Raises: Refused."""
        self.have_answered(read_head(data, self.limits.head), self.app)

    def have_answered(self, head: Head, app: App) -> None:
        """Have the application answer a request, of whose body nothing was taken yet. Raises: Refused."""
        self._body = body_of(head.length)
        keep_alive = head.keep_alive and not self._leaving
        self.start(self.scope(head), app, keep_alive, head.expects)
        self._receive_body()

    def scope(self, head: Head) -> Scope:
        """What ASGI calls this request."""
        if self._ends is None:
            self._ends = get_local_addr(self.transport), get_remote_addr(self.transport)
        return scope_of(head, self._ends, self._root_path, self._app_state)

    def start(self, scope: Scope, app: App, keep_alive: bool, expects: bool = False) -> Exchange:
        """Begin to have a request answered."""
        self._exchange = exchange = Exchange(self, scope, keep_alive, expects)
        self.state = ANSWER
        self._since_s = self.loop.time()
        self.server_state.tasks.add(self.loop.create_task(self._carry_out(exchange, app)))
        return exchange

    async def _carry_out(self, exchange: Exchange, app: App) -> None:
        try:
            await exchange.run(app)
        finally:  # not by a callback, which takes another turn of the event loop
            self.server_state.tasks.discard(asyncio.current_task(self.loop))

    def _receive_body(self) -> None:
        part, self._at = self._body.take(self._unread, self._at)
        if self._at == len(self._unread):
            self._unread, self._at = b"", 0
        self._since_s = self.loop.time()
        self.take_part(part)
        if not self._body.is_whole and self.state != OVER:
            if self._body.is_starved:
                self.watch.look_within(self.limits.body_s)
            else:
                self._queue()

    def take_part(self, part: bytes) -> None:
        """A part of the body was received."""
        if self.state == ANSWER and self._exchange is not None:
            self._exchange.take(part, not self._body.is_whole)
        elif self.state == REST:
            self._rest_bytes += len(part)
            if self._body.is_whole:
                self.proceed()
            elif self._rest_bytes > _MOST_REST_BYTES:
                self.hang_up()

    def proceed(self) -> None:
        """The request is received and answered: go on to the next."""
        self._exchange = None
        self._is_used = True
        self._since_s = self.loop.time()
        if self._at < len(self._unread):
            self.state = NEXT
            self._queue()
        elif self._leaving:
            self.close()
        else:
            self.state = IDLE
            if self.watch.timer is None:
                self.watch.look_within(self.limits.keep_alive_s)

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self.paces.requests.add(self._take_turn, self.loop)

    def _take_turn(self) -> None:
        self._queued = False
        if self.state == NEXT and not self.flow.write_paused:
            self.state = IDLE
        if self.state not in (NEXT, OVER):
            self._go_on()

    def _balance_reading(self) -> None:
        """Read on unless there is enough of what cannot be taken up yet."""
        exchange = self._exchange
        if self.state == OVER or self.transport.is_closing():
            return
        enough = self.state == NEXT or self._queued
        if not enough and self.state == ANSWER:
            late = self._at < len(self._unread) and self._body.is_whole
            enough = late or (exchange is not None and exchange.buffered > HIGH_WATER_BYTES)
        if enough:
            self.flow.pause_reading()
        elif self.state == REST:
            self._read_on_later()
        else:
            self.flow.resume_reading()

    def _read_on_later(self) -> None:
        """Read on when others had their turn: a socket can have some MiB, which would be read at once."""
        self.flow.pause_reading()
        if not self._reads_later:
            self._reads_later = self.loop.time()
            turns = self.paces.drains if self.state in (REST, OVER) else self.paces.reads
            turns.add(self._read_on, self.loop)

    def _read_on(self) -> None:
        now_s, since_s, self._reads_later = self.loop.time(), self._reads_later, 0.0
        if self.transport.is_closing():
            return
        self._since_s = self._since_s + now_s - since_s if self.state == OVER else now_s
        if self.state == OVER:
            self.transport.write_eof()
            self.watch.look_within(_LINGER_S)
        self.flow.resume_reading()

    def _body_is_due(self) -> bool:
        return self.state in (BODY, ANSWER, REST) and not self._body.is_whole and not self.flow.read_paused

    # What an exchange asks, see exchange.Line

    @property
    def common(self) -> bytes:
        """See exchange.Line."""
        return common_lines(self.server_state.default_headers)

    @property
    def may_go_on(self) -> bool:
        """See exchange.Line."""
        return self._body.left <= _MOST_REST_BYTES

    def want_body(self) -> None:
        """See exchange.Line."""
        if self.flow.read_paused and not self._body.is_whole and not self._queued:
            self.watch.look_within(self.limits.body_s)
            self._read_on_later()

    def answered(self) -> None:
        """See exchange.Line."""
        exchange = self._exchange
        self.server_state.total_requests += 1
        if self.state == OVER or exchange is None:
            return
        if not exchange.keep_alive:
            self.hang_up()
        elif self._body.is_whole:
            self.proceed()
            self._balance_reading()
        else:
            self.state, self._rest_bytes = REST, 0
            self.watch.look_within(self.limits.body_s)
            self._balance_reading()

    # The end, and time

    def refuse(self, status: int, sentence: str) -> None:
        """Answer what is no request, or none that can be answered, and close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.disconnect()
        if exchange is None or not (exchange.is_begun or exchange.is_complete):
            self.transport.write(render_refusal(status, self.common, sentence))
        self.hang_up(goes_on=self.state in (IDLE, HEAD))

    def hang_up(self, goes_on: bool = False) -> None:
        """Send what is written and close. What still comes is read away for a moment.

        A client that has more to send would hear of a reset, not the answer. It is told at its turn.
        """
        if self.transport.is_closing():
            return
        more = self._at < len(self._unread) or not self._body.is_whole or self.flow.read_paused
        if (more or goes_on) and self.transport.can_write_eof():
            self._be_over()
            self._read_on_later()
        else:
            self.close()

    def _pass_over(self, data: bytes) -> None:
        self._rest_bytes += len(data)
        if not self._body.is_whole and not self._leaving:  # many send all of it before they listen
            self._since_s = self.loop.time()
        if self._rest_bytes > (_MOST_LINGER_BYTES if self._body.is_whole else _MOST_REST_BYTES):
            self.transport.abort()
        elif not self.transport.is_closing():
            self._read_on_later()

    def close(self) -> None:
        """Close once all is sent that is written."""
        self._be_over()
        self.transport.close()

    def _be_over(self) -> None:
        self.state, self._rest_bytes = OVER, 0
        self._unread, self._at = b"", 0
        self._since_s = self.loop.time()
        self._stalled = (self._since_s, _MANY)
        self.watch.look_within(_LINGER_S)

    def _deadline_s(self) -> float:
        limits = self.limits
        if self.flow.write_paused or (self.state == OVER and self._unsent()):
            return self._stalled[0] + limits.answer_s
        if self.state == OVER:
            return inf if self._reads_later else self._since_s + _LINGER_S
        if self.state == IDLE:
            return self._since_s + (limits.keep_alive_s if self._is_used else limits.head_s)
        if self.state == HEAD:
            return self._since_s + limits.head_s
        return self._since_s + limits.body_s if self._body_is_due() else inf

    def _expire(self) -> None:
        unsent = self._unsent()
        if unsent and unsent < self._stalled[1]:  # it is being read, if slowly
            self._stalled = (self.loop.time(), unsent)
            self.watch.look_within(self.limits.answer_s)
        elif unsent or self.state == OVER:
            self.transport.abort()
        elif self.state == HEAD:
            self.refuse(408, "The head of the request took too long.")
        elif self._body_is_due():
            self.refuse(408, "The body of the request took too long.")
        else:
            self.close()

    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()
