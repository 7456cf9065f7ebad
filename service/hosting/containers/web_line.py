"""Calls of one container that is a web server of its own kind, from one event loop, without threads.

Each call has a connection of its own, which is closed behind it: who kept one open that is idle would keep
others out of a server that takes one at a time. While the container is made anew calls wait for where it will
be.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import httptools

from service.errors import ModelDied, ModelFault, ModelUnreachable
from service.hosting.containers.calls import (
    ENDED,
    MOST_ANSWER_BYTES,
    answer_too_large,
    checked_status,
    fault_of,
    written,
)
from service.hosting.containers.lease import Lease
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from service.media.types import BYTES
from service.promise import BegunCall

_LOOK_S: Final = 0.05
_MOST_HEAD_BYTES: Final = 1 << 16
_MOST_MESSAGE_BYTES: Final = 8192
_SIZING: Final = (b"content-length", b"transfer-encoding")


class WebLine:
    """The way to one container."""

    def __init__(self, lease: Lease, most_bytes: int = MOST_ANSWER_BYTES) -> None:
        """`lease` knows where the container is, whose answers may have `most_bytes`."""
        self._lease = lease
        self._most_bytes = most_bytes

    def begin(self, call: Call, told: Callable[[Outcome], None], watch: Stopwatch) -> BegunCall:
        """See host.Elsewhere."""
        watch.start()
        return _Asked(self.ask(call), told)

    async def ask(self, call: Call) -> Answer:
        """Answer one call; who gives up waiting cancels it.

        Raises:
            ModelUnreachable: nobody took the call, so that it may be sent again.
            ModelDied: the container ended.
            ModelFault: the model's own refusal or failure.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        transport = await self._connect(answer)
        try:
            transport.write(written(call._replace(log_place=None, request_id=None)))
            return await answer
        finally:
            if transport.get_write_buffer_size():  # nobody reads it
                transport.abort()
            else:
                transport.close()

    async def _connect(self, answer: "asyncio.Future[Answer]") -> asyncio.Transport:
        """Connect to where the container is, once it is somewhere."""
        loop = asyncio.get_running_loop()
        while True:
            if self._lease.address:
                host, _, port = self._lease.address.rpartition("//")[2].partition(":")
                with suppress(OSError):  # it has just ended, which is told soon
                    connection = partial(_Connection, answer, self._most_bytes)
                    transport, _ = await loop.create_connection(connection, host, int(port))
                    return transport
            await asyncio.sleep(_LOOK_S)
            if not self._lease.look():
                raise ModelUnreachable(f"The model's container cannot be reached: {self._lease.lost}")


class _Asked:
    """A call that a task waits for."""

    def __init__(self, asking: Coroutine[Any, Any, Answer], told: Callable[[Outcome], None]) -> None:
        self._told: Callable[[Outcome], None] | None = told
        self._task = asyncio.get_running_loop().create_task(asking)
        self._task.add_done_callback(self._tell)

    def give_up(self) -> None:
        """See promise.BegunCall."""
        self._told = None
        self._task.cancel()

    def _tell(self, task: "asyncio.Task[Answer]") -> None:
        error = ModelDied(ENDED) if task.cancelled() else task.exception()
        if self._told is None:
            return
        if error is None:
            self._told(task.result())
        else:
            self._told(error if isinstance(error, Exception) else ModelDied(ENDED))


class _Connection(asyncio.Protocol):
    """The connection of one call."""

    def __init__(self, answer: "asyncio.Future[Answer]", most_bytes: int) -> None:
        self._reply = _Reply(most_bytes)
        self._answer = answer

    def data_received(self, data: bytes) -> None:
        """asyncio: part of the answer came."""
        try:
            self._reply.add(data)
        except ModelFault as fault:
            self._fail(fault)
        if self._reply.is_whole:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone, which is how some answers end."""
        if exc is None and self._reply.ends_with_connection:
            self._settle()
        else:
            self._fail(ModelDied(ENDED))

    def _settle(self) -> None:
        if not self._answer.done():
            try:
                self._answer.set_result(self._reply.answer())
            except ModelFault as fault:
                self._answer.set_exception(fault)

    def _fail(self, fault: ModelFault) -> None:
        if not self._answer.done():
            self._answer.set_exception(fault)


class _Reply:
    """One answer, as it comes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._size_bytes = 0  # of the body, as announced or as far as it came
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._head_bytes = 0
        self._has_headers = self.is_whole = False

    def add(self, data: bytes) -> None:
        """Take the next bytes. Raises ModelFault: this is no answer, or too much of one."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ModelFault(f"The model's answer is no HTTP: {error}.", 502) from error
        self._head_bytes += 0 if self._has_headers else len(data)
        if self._head_bytes > _MOST_HEAD_BYTES:
            raise ModelFault("The model's answer has no end to its headers.", 502)
        if self._size_bytes > self._most_bytes:
            raise answer_too_large(self._size_bytes, self._most_bytes)

    @property
    def ends_with_connection(self) -> bool:
        """Whether its end is not told in any other way."""
        return self._has_headers and not self.is_whole and self._headers.keys().isdisjoint(_SIZING)

    def answer(self) -> Answer:
        """What it says. Raises ModelFault: that the model refused, or failed."""
        status, body = checked_status(self._parser.get_status_code()), bytes(self._body)
        if not 200 <= status < 300:
            raise fault_of(body[:_MOST_MESSAGE_BYTES].decode("utf-8", "replace"), status)
        return Answer(
            body,
            self._header(b"content-type") or BYTES,
            self._header(b"x-amzn-sagemaker-custom-attributes"),
            status,
            self._header(b"x-amzn-sagemaker-new-session-id"),
            self._header(b"x-amzn-sagemaker-closed-session-id"),
        )

    def _header(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    # ---- the parser's side

    def on_message_begin(self) -> None:
        """httptools: an answer begins."""
        self._headers.clear()
        self._has_headers = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """httptools: the headers are over."""
        self._has_headers = self._parser.get_status_code() >= 200
        announced = self._headers.get(b"content-length", b"")
        self._size_bytes = int(announced) if announced.isdigit() else 0

    def on_body(self, body: bytes) -> None:
        """httptools: part of the body."""
        came = len(self._body) + len(body)
        self._size_bytes = max(self._size_bytes, came)
        if came <= self._most_bytes:
            self._body += body

    def on_message_complete(self) -> None:
        """httptools: an answer is whole; others announce it only."""
        if self._parser.get_status_code() >= 200:
            self.is_whole = True
