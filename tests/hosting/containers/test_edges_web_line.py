"""The edges of calls to a web server: callers that give up, and what is told without a task."""

import asyncio
from typing import Any

import pytest

from service.errors import ModelDied
from service.hosting.containers.web_line import _Connection
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from tests.hosting.containers.test_web_line import CALL, Served, run

LARGE = Call(bytes(32 << 20), "text/csv", None)


def test_who_gives_up_does_not_send_the_rest_to_a_server_that_does_not_read() -> None:
    async def test(one: Served) -> None:
        asked = one.ask(LARGE)
        server = await one.take()
        await server.reader.readuntil(b"\r\n\r\n")
        asked.cancel()
        await asyncio.wait((asked,))
        with pytest.raises(asyncio.IncompleteReadError) as cut:
            await server.reader.readexactly(len(LARGE.body))
        assert len(cut.value.partial) < len(LARGE.body)
        server.end()

    run(test)


def test_who_gave_up_a_call_is_told_nothing_of_it() -> None:
    async def test(one: Served) -> None:
        told: list[Outcome] = []
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        begun = one.line.begin(CALL, told.append, Stopwatch())
        server = await one.take()
        await server.request()
        begun.give_up()
        assert await server.reader.read() == b""
        server.end()
        assert told == []
        assert reported == []

    run(test)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_a_container_that_ends_at_a_call_is_told_to_who_began_it(reply: bytes) -> None:
    async def test(one: Served) -> None:
        told: asyncio.Queue[Outcome] = asyncio.Queue()
        one.line.begin(CALL, told.put_nowait, Stopwatch())
        server = await one.take()
        await server.request()
        await server.say(reply)
        server.end()
        assert isinstance(await told.get(), ModelDied)
        assert told.empty()

    run(test)


def test_the_end_of_an_answer_that_nobody_waits_for_any_more_harms_nobody() -> None:
    async def test(_: Served) -> None:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        connection = _Connection(answer, 1 << 20)
        connection.data_received(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        answer.cancel()
        connection.connection_lost(None)
        assert answer.cancelled()

    run(test)
