"""The HTTP protocol that answers hot requests without a task and without ASGI.

A request is hot when the front door knows who prepares it, and it came as plain HTTP/1.1 with a small body
of known length. The first with its head is answered as soon as it is read; later ones need no reading of the
head (known_heads.py) and wait for the end of the round of the event loop, in which those with the same head
are answered together. Everything else goes to ASGI as protocol.py gives it there: slow answers, other paths,
`Expect`, chunked bodies, HTTP/1.0, calls from web pages. Both ways write the same bytes; tests/contracts
holds them to that.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.asgi import App, Receive, Scope, Send, header_lines
from service.http.connections import ConnectionLimits, Crowd, Paces
from service.http.exchange import Exchange
from service.http.failures import note_unanswered
from service.http.framing import body_of
from service.http.head import HEAD_END, Head, read_head
from service.http.known_heads import Known, KnownHeads, lasting
from service.http.phase import ANSWER, BODY, IDLE, ROUND
from service.http.protocol import Connection
from service.http.remembered import Epoch
from service.http.rendering import render, render_failure
from service.http.reply import Answered, Answering, Preparing, Reply, Written, send_answered
from service.promise import Promise

_MOST_BODY_BYTES = 65_536
# `origin` and `sec-fetch-site` come from web pages: not each may ask this, see guard.py.
_UNUSUAL = frozenset({b"content-encoding", b"expect", b"origin", b"sec-fetch-site"})
_HEAD_END_BYTES = len(HEAD_END)
_OK = STATUS_LINE[200]
_NOTHING = (b"", None)


class FrontDoor(Protocol):
    """What knows which requests are hot."""

    draining: bool
    epoch: Epoch  # heads are remembered with what answers them for so long

    def prepares(self, target: bytes) -> Preparing | None:
        """Who answers `POST target`; None if the request must go to ASGI."""
        ...


class Rounds(Protocol):
    """What answers the requests of one round of the event loop together. Raises nothing."""

    def add(self, waiter: "FastProtocol", answering: Answering, request: bytes, at: int) -> None:
        """Answer it by `take`, now, soon or when `finish` is called; its body is `request` from `at` on."""
        ...

    def answer(self, answering: Answering, body: bytes) -> Answered:
        """Answer one request by itself, now."""
        ...

    def finish(self) -> None:
        """Answer all that wait, now."""
        ...


class FastProtocol(Connection):
    """One connection.

    The heads of hot requests are remembered with what answers them: most clients send the same one again and
    again. So a whole request with a known head, and nothing behind it, needs no reading of its head.
    """

    front_door: FrontDoor
    most_body_bytes: int
    heads: KnownHeads
    head_at_once: Callable[[bytes], Known | None]  # the quick look-up in `heads`
    round: Rounds

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # While the body of a hot request is received: its head, and what answers it.
        self._hot: tuple[bytes, Callable[[bytes], None]] | None = None
        self._part = b""
        self._found: tuple[bytes, Known | None] = _NOTHING  # of the head that `data_received` looked for
        self._keeps_alive = True  # what was asked of the answer that is promised

    def data_received(self, data: bytes) -> None:
        """Answer hot requests before this returns, or together with others very soon."""
        if self.state == IDLE:
            end = data.find(HEAD_END) + _HEAD_END_BYTES
            head = data[:end]
            known = self.head_at_once(head) or self.heads.find(head)
            if known is not None and len(data) == end + known.body_bytes and not self.flow.write_paused:
                answering = known.answering
                if known.judge is not None:
                    data, end = data[end:], 0
                    answering = known.judge(data)
                self.state = ROUND
                self.round.add(self, answering, data, end)
                return
            self._found = head, known
        elif self.state == ROUND:
            self.round.finish()
        super().data_received(data)
        self._found = _NOTHING

    def eof_received(self) -> bool:
        """See Connection; what waits for the end of the round is answered now."""
        if self.state == ROUND:
            self.round.finish()
        return super().eof_received()

    def take_head(self, data: bytes) -> None:
        """Take up a request. Raises: Refused."""
        head, known = self._found
        if head != data:
            known = self.heads.find(data)
        if known is not None:
            epoch = self.front_door.epoch.number
            self._receive_hot(data, known.body_bytes, partial(self._answer_known, data, known, epoch))
            return
        parsed = read_head(data, self.limits.head)
        preparing = self.front_door.prepares(parsed.target) if self._is_hot(parsed) else None
        if preparing is None:
            self.have_answered(parsed, self.app)
            return
        self._receive_hot(data, parsed.length or 0, partial(self._answer, parsed, data, preparing))

    def _receive_hot(self, head: bytes, body_bytes: int, answer: Callable[[bytes], None]) -> None:
        """Have a hot request answered once its body is there, of which nothing was taken yet."""
        end = self._at + body_bytes
        if end <= len(self._unread):
            body, self._at = self._unread[self._at : end], end
            answer(body)
            return
        self.state, self._hot = BODY, (head, answer)
        self._body = body_of(body_bytes)
        self._receive_body()

    def take_part(self, part: bytes) -> None:
        """Keep a part of the body of a hot request; answer it if that was the last."""
        if self._hot is None:
            super().take_part(part)
            return
        self._part = self._part + part if self._part else part
        if self._body.is_whole:
            (_, answer), self._hot = self._hot, None
            body, self._part = self._part, b""
            answer(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what a half received request holds."""
        self._hot, self._part = None, b""
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """A request that is being received will be answered; ASGI counts it as one under way."""
        if self._hot is not None:
            (head, _), self._hot = self._hot, None
            part, self._part = self._part, b""
            self._start_over(head).take(part, more=True)
        if self.state == ROUND:
            self.round.finish()
        super().shutdown()

    def _is_hot(self, head: Head) -> bool:
        return (
            head.method == b"POST"
            and head.version == "1.1"
            and head.length is not None
            and head.length <= self.most_body_bytes
            and _UNUSUAL.isdisjoint(head.fields)
        )

    def _answer(self, head: Head, data: bytes, preparing: Preparing, body: bytes) -> None:
        answering = preparing(lasting(head.headers))
        if head.keep_alive:
            self.heads.keep(data, answering, len(body), head.headers)
        if answering.proving is not None:
            answering = answering.proving.of(head.headers)
        self.take(self.round.answer(answering, body), head.keep_alive)

    def _answer_known(self, head: bytes, known: Known, epoch: int, body: bytes) -> None:
        """Answer a request of a known head, with others unless more came behind it."""
        if epoch != self.front_door.epoch.number:  # it ended while the body was received
            self._start_over(head).take(body, more=False)
        elif self._at < len(self._unread):
            self.take(self.round.answer(known.of(body), body), keep_alive=True)
        else:
            answering = known.of(body)
            self.state = ROUND
            self.round.add(self, answering, body, 0)

    def _start_over(self, head: bytes) -> Exchange:
        """Have ASGI answer a request after all, whose head was found to be right."""
        parsed = read_head(head, self.limits.head)
        return self.start(self.scope(parsed), self.app, parsed.keep_alive and not self._leaving)

    def _take_promised(self, answer: Answered | Exception) -> None:
        """Send what was promised, if the client is still there."""
        if self.state == ANSWER:
            self.take(answer, self._keeps_alive and not self._leaving)
            if self.state != IDLE or self.flow.read_paused:
                self._balance_reading()

    def take(self, answer: Answered | Exception, keep_alive: bool = True) -> None:
        """Send an answer, now or once it is there, or have ASGI wait for it and send it. Raises nothing."""
        keep_alive = keep_alive and not self.front_door.draining
        try:
            if isinstance(answer, Written):
                data = render(_OK, self.common, answer.lines, answer.body, keep_alive)
            elif isinstance(answer, Reply):
                lines = header_lines(answer.headers)
                data = render(STATUS_LINE[answer.status], self.common, lines, answer.body, keep_alive)
            elif isinstance(answer, Promise):
                self.state, self._keeps_alive = ANSWER, keep_alive
                answer.then(self._take_promised)
                return
            elif isinstance(answer, Exception):
                raise answer
            else:
                scope = {"type": "http", "method": "POST"}
                self.start(scope, _sender(answer), keep_alive).take(b"", more=False)
                return
        except Exception as error:  # a bug of ours, of which the client is told as ASGI's side does
            note_unanswered(error)
            data, keep_alive = render_failure(self.common), False
        self.transport.write(data)
        self.server_state.total_requests += 1
        if keep_alive:
            self.proceed()
        else:
            self.hang_up()


def fast_protocol(
    door: FrontDoor, rounds: Rounds, max_body_bytes: int, at_most: ConnectionLimits | None = None
) -> type[FastProtocol]:
    """The protocol class for one gateway; `max_body_bytes` is the limit of ASGI's side."""
    most_bytes = min(_MOST_BODY_BYTES, max_body_bytes)
    bounds = at_most or ConnectionLimits()
    known = KnownHeads(door.epoch, most_bytes, bounds.head.most_bytes)

    class Bound(FastProtocol):
        front_door = door
        most_body_bytes = most_bytes
        limits = bounds
        paces = Paces()
        crowd = Crowd()
        heads = known
        head_at_once = known.young.get
        round = rounds

    return Bound


def _sender(rest: Awaitable[Written | Reply]) -> App:
    async def send_rest(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send_answered(send, rest)

    return send_rest
