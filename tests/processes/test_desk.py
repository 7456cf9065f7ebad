"""The desk: requests that a gateway hands in are answered by another process, whoever dies in between."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from service.domain.caller import EVERYTHING, Caller
from service.errors import Unavailable
from service.http.reply import Asked, Reply
from service.processes.desk import Desk
from tests.conftest import wait_until

SOMEONE = Caller("123456789012", "cn-north-1", "alice", key_id="a-key", session_id="a-session")
LARGE = bytes(range(256)) * 8192


def asked(body: bytes = LARGE) -> Asked:
    return Asked([(b"x-amz-target", b"SageMaker.X"), (b"odd", b"\xe9")], body, "an-id")


def echo(caller: Caller, request: Asked) -> Reply:
    told = [(b"id", request.request_id.encode()), (b"by", "/".join(caller).encode())]
    return Reply(418, [*request.headers, *told], request.body[::-1])


@contextmanager
def keeper(desk: Desk, answer: Callable[[Caller, Asked], Reply]) -> Iterator[int]:
    """Another process that answers at the desk."""
    pid = os.fork()
    if not pid:
        try:
            desk.open(answer)
            threading.Event().wait()
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.dispose()


def test_requests_come_back_as_the_other_process_answers_them(desk: Desk) -> None:
    async def run() -> list[Reply]:
        return await asyncio.gather(*(desk.hand_in(SOMEONE, asked(LARGE[number:])) for number in range(40)))

    with keeper(desk, echo):
        replies = asyncio.run(run())

    expected = [(b"x-amz-target", b"SageMaker.X"), (b"odd", b"\xe9"), (b"id", b"an-id")]
    expected.append((b"by", b"123456789012/cn-north-1/alice/" + EVERYTHING.encode() + b"/a-key/a-session"))
    assert [(reply.status, reply.headers) for reply in replies] == [(418, expected)] * 40
    assert all(reply.body == LARGE[number:][::-1] for number, reply in enumerate(replies))


def test_a_request_whose_answerer_dies_is_refused_and_the_next_one_waits_for_another(
    desk: Desk,
) -> None:
    def die(caller: Caller, request: Asked) -> Reply:
        os._exit(0)

    async def run() -> Reply:
        with keeper(desk, die), pytest.raises(Unavailable):
            await desk.hand_in(SOMEONE, asked())
        waiting = asyncio.create_task(desk.hand_in(SOMEONE, asked(b"later")))
        await asyncio.sleep(0)
        with keeper(desk, echo):
            return await waiting

    assert asyncio.run(run()).body == b"retal"


def test_a_desk_that_closes_finishes_what_was_handed_in(desk: Desk) -> None:
    begun, go = threading.Event(), threading.Event()

    def slowly(caller: Caller, request: Asked) -> Reply:
        begun.set()
        go.wait(20)
        return echo(caller, request)

    async def run() -> Reply:
        handed = asyncio.create_task(desk.hand_in(SOMEONE, asked(b"ab")))
        await asyncio.to_thread(begun.wait, 20)
        closing = asyncio.create_task(asyncio.to_thread(desk.close))
        await asyncio.to_thread(wait_until, lambda: not desk.is_open)
        go.set()
        await closing
        return await handed

    desk.open(slowly)
    assert asyncio.run(run()).body == b"ba"


def test_what_takes_long_holds_up_nothing_else(desk: Desk) -> None:
    go = threading.Event()

    def answer(caller: Caller, request: Asked) -> Reply:
        if request.body == b"long":
            go.wait(20)
        return echo(caller, request)

    async def run() -> list[bytes]:
        long = [asyncio.create_task(desk.hand_in(SOMEONE, asked(b"long"))) for _ in range(3)]
        short = await asyncio.gather(*(desk.hand_in(SOMEONE, asked(b"short")) for _ in range(3)))
        assert not any(task.done() for task in long)
        go.set()
        return [reply.body for reply in [*short, *await asyncio.gather(*long)]]

    desk.open(answer, lambda request: request.body == b"long")
    assert asyncio.run(run()) == [*[b"trohs"] * 3, *[b"gnol"] * 3]
    desk.close()


def test_what_nobody_waits_for_any_more_is_not_begun(desk: Desk) -> None:
    go, begun = threading.Event(), list[bytes]()

    def answer(caller: Caller, request: Asked) -> Reply:
        begun.append(request.body)
        go.wait(20)
        return echo(caller, request)

    async def run() -> Reply:
        first = asyncio.create_task(desk.hand_in(SOMEONE, asked(b"first")))
        await asyncio.to_thread(wait_until, lambda: begun)
        left = asyncio.create_task(desk.hand_in(SOMEONE, asked(b"left")))
        last = asyncio.create_task(desk.hand_in(SOMEONE, asked(b"last")))
        await asyncio.to_thread(wait_until, lambda: desk.waiting_long() == 2)
        left.cancel()
        await asyncio.wait([left])
        go.set()
        await first
        return await last

    desk.open(answer, lambda request: True)
    assert asyncio.run(run()).body == b"tsal"
    assert begun == [b"first", b"last"]
    desk.close()
