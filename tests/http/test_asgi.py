import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ClientGone, PayloadTooLarge
from service.http.asgi import (
    App,
    Headers,
    Message,
    Receive,
    Scope,
    Send,
    made_when_called,
    read_body,
    send_reply,
)

GONE: Message = {"type": "http.disconnect"}


class Client:
    """Sends messages one after the other, and counts how many were asked for."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        return self._messages.pop(0) if self._messages else GONE


def body(*parts: bytes) -> Iterator[Message]:
    for number, part in enumerate(parts, 1):
        yield {"type": "http.request", "body": part, "more_body": number < len(parts)}


def read(client: Client, limit: int, headers: Headers | None = None) -> bytes:
    return asyncio.run(read_body({"type": "http", "headers": headers or []}, client.receive, limit))


def announce(size: int) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % size


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.integers(0, 60), st.booleans())
def test_a_body_comes_whole_or_not_at_all(parts: list[bytes], limit: int, announced: bool) -> None:
    whole = b"".join(parts)
    headers = [(b"x-other", b"1"), announce(len(whole))] if announced else []

    if len(whole) <= limit:
        assert read(Client(*body(*parts)), limit, headers) == whole
    else:
        with pytest.raises(PayloadTooLarge, match=f"exceeded {limit} bytes"):
            read(Client(*body(*parts)), limit, headers)


def test_a_request_without_body_is_empty() -> None:
    assert read(Client({"type": "http.request"}), 10) == b""


@pytest.mark.parametrize("more", [[], [(b"expect", b"100-Continue")], [(b"expect", b"something")]])
def test_a_body_that_is_announced_too_large_is_refused_unseen(more: Headers) -> None:
    client = Client(*body(b"x" * 10, b"x" * 10, b"x"))

    with pytest.raises(PayloadTooLarge):
        read(client, 15, [announce(21), *more])

    assert client.asked == 0


def test_an_endless_body_is_refused_once_it_is_over_the_limit() -> None:
    client = Client(*body(*[b"x" * 10] * 1000))

    with pytest.raises(PayloadTooLarge):
        read(client, 10)

    assert client.asked == 2


@pytest.mark.parametrize(
    ("sent", "limit", "headers"),
    [
        ([], 10, []),
        ([b"x"], 10, []),
        ([b"x" * 5, b"x" * 5], 10, []),
        ([b"x"], 10, [announce(10)]),
    ],
)
def test_a_client_that_leaves_early_gets_no_answer(sent: list[bytes], limit: int, headers: Headers) -> None:
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in sent]

    with pytest.raises(ClientGone):
        read(Client(*messages, GONE), limit, headers)


def reply(status: int, headers: Headers, content: bytes) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(send_reply(send, status, headers, content))
    return sent


def test_a_reply_says_how_long_it_is() -> None:
    headers: Headers = [(b"content-type", b"text/csv")]

    assert reply(200, headers, b"1\n") == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/csv"), (b"content-length", b"2")],
        },
        {"type": "http.response.body", "body": b"1\n"},
    ]
    assert headers == [(b"content-type", b"text/csv")]


def test_too_large_a_body_ends_the_connection() -> None:
    """What is left of it would be taken for the next request."""
    start, _ = reply(413, [], b"too large")

    assert start["headers"] == [(b"connection", b"close"), (b"content-length", b"9")]


@pytest.mark.provenance("documented")
@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_content_has_neither_body_nor_length(status: int) -> None:
    assert reply(status, [], b"ignored") == [
        {"type": "http.response.start", "status": status, "headers": []},
        {"type": "http.response.body", "body": b""},
    ]


def test_an_application_is_made_for_its_first_request_and_kept() -> None:
    made = []

    def make() -> App:
        made.append(1)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": scope["type"]})

        return app

    async def run() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        app = made_when_called(make)
        assert not made
        for name in ("a", "b"):
            await app({"type": name}, Client().receive, send)
        return sent

    assert asyncio.run(run()) == [{"type": "a"}, {"type": "b"}]
    assert made == [1]


class _Whole:
    """A server's side of a request that takes whole replies, or refuses to."""

    def __init__(self, takes: bool) -> None:
        self.takes = takes
        self.replies: list[tuple[int, bytes, bytes]] = []
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    def send_whole(self, status: int, lines: bytes, body: bytes) -> bool:
        if self.takes:
            self.replies.append((status, lines, body))
        return self.takes


def test_a_reply_is_sent_whole_where_the_server_takes_that() -> None:
    server = _Whole(takes=True)
    asyncio.run(send_reply(server.send, 200, [(b"X-A", b"1")], b"body"))
    assert server.replies == [(200, b"x-a: 1\r\n", b"body")]
    assert not server.messages


@pytest.mark.parametrize(
    ("status", "name", "value"),
    [
        (204, b"X-A", b"1"),
        (413, b"X-A", b"1"),
        (200, b"X-A", b"1\r\nX-B: 2"),
        (200, b"X-A", b"\x00"),
        (200, b"Connection", b"close"),
    ],
)
def test_what_the_server_must_look_at_is_sent_the_usual_way(status: int, name: bytes, value: bytes) -> None:
    server = _Whole(takes=True)
    asyncio.run(send_reply(server.send, status, [(name, value)], b"body"))
    assert not server.replies
    assert [message["type"] for message in server.messages] == ["http.response.start", "http.response.body"]


def test_a_reply_that_the_server_does_not_take_whole_or_that_is_wrapped_is_sent_the_usual_way() -> None:
    busy, wrapped = _Whole(takes=False), _Whole(takes=True)

    async def send(message: Message) -> None:
        await wrapped.send(message)

    asyncio.run(send_reply(busy.send, 200, [], b"body"))
    asyncio.run(send_reply(send, 200, [], b"body"))
    assert busy.messages == wrapped.messages
    assert len(busy.messages) == 2
    assert not wrapped.replies
