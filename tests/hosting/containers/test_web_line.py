"""Calls of a container that is a web server of any kind, which this test plays."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from service.errors import ModelDied, ModelFailure, ModelFault, ModelUnreachable
from service.hosting.containers.lease import Lease
from service.hosting.containers.spec import Loaded
from service.hosting.containers.web_line import WebLine
from service.hosting.host import Answer, Call

LIMIT_S = 30.0
CALL = Call(b"abc", "text/csv", "application/json", "mine=1")


class Served:
    """A server, and the line that calls it."""

    def __init__(self, line: WebLine, lease: Lease) -> None:
        self.line = line
        self.lease = lease
        self.accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    def ask(self, call: Call = CALL) -> "asyncio.Task[Answer]":
        return asyncio.ensure_future(self.line.ask(call))

    async def take(self) -> "Conversation":
        return Conversation(*(await self.accepted.get()))


class Conversation:
    """One connection, as the server has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + await self.reader.readexactly(size)

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    def end(self) -> None:
        self.writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    ours, theirs = socket.socketpair()
    lease = Lease(ours, Loaded(0.0), "", 1, 0)
    found = Served(WebLine(lease), lease)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.accepted.put_nowait((reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    lease.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with theirs:
        yield found
    server.close()
    lease.close()


def run(test: Callable[[Served], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with served() as found:
            await test(found)

    asyncio.run(asyncio.wait_for(whole(), LIMIT_S))


def test_a_call_is_asked_as_the_contract_has_it_over_a_connection_of_its_own() -> None:
    async def test(one: Served) -> None:
        asked = one.ask()
        server = await one.take()
        request = await server.request()
        assert request.startswith(b"POST /invocations HTTP/1.1\r\n")
        for header in (
            b"Content-Type: text/csv",
            b"Accept: application/json",
            b"mine=1",
            b"Connection: close",
        ):
            assert header in request
        assert request.endswith(b"\r\n\r\nabc")
        await server.say(
            b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\n",
            b"X-Amzn-SageMaker-Custom-Attributes: theirs\r\n",
            b"Content-Length: 4\r\n\r\nan",
            b"sw",
        )
        assert await asked == Answer(b"answ", "text/plain", "theirs", 201)
        server.end()
        again = one.ask()
        other = await one.take()
        await other.request()
        await other.say(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await again).status == 204
        other.end()

    run(test)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        b"HTTP/1.0 200 OK\r\n\r\nwhole",
    ],
)
def test_answers_of_each_length_come_whole(reply: bytes) -> None:
    async def test(one: Served) -> None:
        asked = one.ask()
        server = await one.take()
        await server.request()
        await server.say(*(reply[at : at + 7] for at in range(0, len(reply), 7)))
        server.end()
        assert await asked == Answer(b"whole", "application/octet-stream")

    run(test)


@pytest.mark.parametrize(("status", "kind"), [(500, ModelFailure), (415, ModelFault), (302, ModelFault)])
def test_what_is_no_success_is_the_models_refusal(status: int, kind: type[ModelFault]) -> None:
    async def test(one: Served) -> None:
        asked = one.ask()
        server = await one.take()
        await server.request()
        await server.say(b"HTTP/1.1 %d No\r\nContent-Length: 3\r\n\r\nwhy" % status)
        with pytest.raises(kind, match="why") as caught:
            await asked
        assert caught.value.status == status
        server.end()

    run(test)


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"", ModelDied, "ended before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", ModelDied, "ended before"),
        (b"HTTP/1.1 200 OK\r\n", ModelDied, "ended before"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, ModelFault, "no end to its headers"),
        (b"no HTTP at all\r\n\r\n", ModelFault, "is no HTTP"),
    ],
)
def test_an_answer_that_is_none_is_told(reply: bytes, kind: type[ModelFault], words: str) -> None:
    async def test(one: Served) -> None:
        asked = one.ask()
        server = await one.take()
        await server.request()
        await server.say(reply)
        server.end()
        with pytest.raises(kind, match=words) as caught:
            await asked
        assert caught.value.status == 502

    run(test)


def test_a_caller_who_gives_up_closes_the_connection() -> None:
    async def test(one: Served) -> None:
        asked = one.ask()
        server = await one.take()
        await server.request()
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        with suppress(ConnectionError):
            assert await server.reader.read() == b""
        server.end()

    run(test)


def test_calls_wait_where_nobody_listens_until_the_container_is_somewhere_or_lost() -> None:
    async def test(one: Served) -> None:
        address, one.lease.address = one.lease.address, ""
        asked = one.ask()
        await asyncio.sleep(0)
        one.lease.address = address
        server = await one.take()
        await server.request()
        await server.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert (await asked).body == b"ok"
        server.end()
        with socket.create_server(("127.0.0.1", 0)) as closed:
            one.lease.address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        lost = one.ask()
        one.lease.close()
        with pytest.raises(ModelUnreachable, match="cannot be reached"):
            await lost

    run(test)
