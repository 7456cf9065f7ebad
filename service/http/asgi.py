"""The bit of ASGI that both HTTP edges share: a body read within its limit, a reply written in one go."""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from itertools import chain
from typing import Any

from service.errors import ClientGone, PayloadTooLarge
from service.http.gathering import Gathering

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

NO_BODY = frozenset({204, 304})
"""The statuses of answers without a body, whatever is said of its length. Source: RFC 9110, 6.4.1."""

_UNUSUAL = NO_BODY | {413}
# What no header may hold; the server refuses it. Source: RFC 9110, 5.5.
_UNSENDABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The request's body.

    Of a body over the limit nothing is kept, and its client is told as soon as that is known, by the head if
    that says so. The server (protocol.py) reads away some of what still comes, as many send all of it first.

    Raises:
        PayloadTooLarge: the body is over the limit.
        ClientGone: the connection ended early.
    """
    announced, _ = _announced(scope["headers"])
    if announced is not None and announced > limit_bytes:
        raise PayloadTooLarge(limit_bytes)
    return await rest_of_body(await receive(), receive, limit_bytes)


def is_whole(message: Message) -> bool:
    """Whether a message of `receive` brings all that there is of a body."""
    return message["type"] == "http.request" and not message.get("more_body", False)


def is_small(headers: Iterable[tuple[bytes, bytes]], limit_bytes: int) -> bool:
    """Whether a body is on its way whose length is announced and within the limit."""
    announced, expects = _announced(headers)
    return announced is not None and announced <= limit_bytes and not expects


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int | None, bool]:
    """A body's length if it is known, and whether its client waits to be asked for it."""
    length: int | None = None
    expects = False
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"expect":
            expects = value.lower() == b"100-continue"
    return length, expects


async def rest_of_body(message: Message, receive: Receive, limit_bytes: int) -> bytes:
    """The body whose first part is `message`; what is announced of it must be within the limit.

    Raises: as `read_body`.
    """
    _check_there(message)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and len(body) <= limit_bytes:
        return body
    with Gathering(body) as gathered:
        while message.get("more_body", False) and gathered.size <= limit_bytes:
            message = await _next_part(receive)
            gathered.add(message.get("body", b""))
        if gathered.size > limit_bytes:
            raise PayloadTooLarge(limit_bytes)
        return gathered.whole()


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as HTTP/1.1 has them, names in lower case."""
    return b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in headers])


def send_whole(send: Send, status: int, lines: bytes, body: bytes) -> bool:
    """Send a reply in one step, if the server can (protocol.py) and nobody wrapped `send`; else do nothing.

    `lines` are its header lines but for its Content-Length, fit to be sent.
    """
    whole = getattr(getattr(send, "__self__", None), "send_whole", None)
    return whole is not None and whole(status, lines, body)


async def send_reply(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Write a whole reply; its Content-Length is added. 204 and 304 have no body, 413 ends the connection.

    What is left of a body that was too large must not be taken for the next request.
    """
    if _is_usual(status, headers) and send_whole(send, status, header_lines(headers), body):
        return
    if status == 413:
        headers = [*headers, (b"connection", b"close")]
    if status in NO_BODY:
        body = b""
    else:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def made_when_called(make: Callable[[], App]) -> App:
    """An application that is made for its first request: what is seldom asked for must not delay a start."""
    made: list[App] = []

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if not made:
            made.append(make())
        await made[0](scope, receive, send)

    return call


def _is_usual(status: int, headers: Headers) -> bool:
    """Whether a reply has a body, says nothing of its connection, and can be sent without another look."""
    if status in _UNUSUAL or any(name.lower() == b"connection" for name, _ in headers):
        return False
    return not _UNSENDABLE.search(b"".join(chain.from_iterable(headers)))


async def _next_part(receive: Receive) -> Message:
    message = await receive()
    _check_there(message)
    return message


def _check_there(message: Message) -> None:
    if message["type"] == "http.disconnect":
        raise ClientGone
