"""Answers that would harm others: too long, of no status, or more of them than were asked for."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.errors import AnswerTooLarge, ModelFault
from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.line import CallLine
from service.hosting.containers.web_line import WebLine
from service.hosting.host import Answer, Call, Outcome
from service.hosting.runtimes.remote import RemoteModel
from service.hosting.stopwatch import Stopwatch
from tests.harness.played_workers import LIMIT_S, Workers, run, send
from tests.hosting.containers.test_web_line import Served
from tests.hosting.containers.test_web_line import run as run_served

CALL = Call(b"1", "text/csv", None)
MOST = 1000
FORGED = b"HTTP/1.1 200 -\r\nContent-Length: 6\r\n\r\nforged"


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 -\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def say(connection: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, data)


@pytest.mark.parametrize("when", ["with the answer", "later"])
def test_what_a_worker_says_unasked_is_nobodys_answer(workers: Workers, when: str) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 1, kept_s=2 * LIMIT_S, stuck_s=LIMIT_S)
        (call,) = send(line, "a")
        worker = await workers.accept()
        await worker.take()
        await say(worker.connection, whole(b"A") + (FORGED if when == "with the answer" else b""))
        assert (await call).body == b"A"
        if when == "later":
            await say(worker.connection, FORGED)
        assert await worker.take() == b"end"
        (call,) = send(line, "b")
        other = await workers.accept()
        assert await other.take() == b"b"
        await other.answer(b"B")
        assert (await call).body == b"B"
        line.close()

    run(test())


def test_who_calls_again_as_soon_as_it_is_answered_is_not_given_what_came_behind(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 1, kept_s=2 * LIMIT_S, stuck_s=LIMIT_S)
        answers: asyncio.Queue[Outcome] = asyncio.Queue()

        def told(outcome: Outcome) -> None:
            if answers.empty():
                line.begin(Call(b"b", None, None), answers.put_nowait, Stopwatch())
            answers.put_nowait(outcome)

        line.begin(Call(b"a", None, None), told, Stopwatch())
        worker = await workers.accept()
        await worker.take()
        await say(worker.connection, whole(b"A") + FORGED)
        other = await workers.accept()
        assert await other.take() == b"b"
        await other.answer(b"B")
        outcomes = [await answers.get(), await answers.get()]
        assert [each.body for each in outcomes if isinstance(each, Answer)] == [b"A", b"B"]
        line.close()

    run(test())


def test_an_answer_over_the_limit_is_refused_by_its_head_and_the_worker_is_let_go(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 1, kept_s=0.0, stuck_s=LIMIT_S, most_bytes=MOST)
        (call,) = send(line, "a")
        worker = await workers.accept()
        await worker.take()
        await say(worker.connection, b"HTTP/1.1 200 -\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
        with pytest.raises(AnswerTooLarge, match=r"1,099,511,627,776 bytes or more, and 1,000 are") as caught:
            await call
        assert (caught.value.size_bytes, caught.value.status) == (1 << 40, 500)
        assert await worker.take() == b"end"
        (call,) = send(line, "b")
        other = await workers.accept()
        await other.take()
        await other.answer(b"B" * MOST)
        assert (await call).body == b"B" * MOST

    run(test())


@pytest.mark.parametrize("status", [b"100", b"199", b"600", b"99", b"0200"])
def test_a_status_that_ends_no_call_is_no_answer(workers: Workers, status: bytes) -> None:
    async def test() -> None:
        (call,) = send(CallLine(workers.address, 1, kept_s=0.0), "a")
        worker = await workers.accept()
        await worker.take()
        await say(worker.connection, b"HTTP/1.1 %b -\r\nContent-Length: 1\r\n\r\nx" % status)
        with pytest.raises(ModelFault, match="status") as caught:
            await call
        assert caught.value.status == 502

    run(test())


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nx", 70_000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001, 1001),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1001, 1001),
    ],
)
def test_a_web_servers_answer_over_the_limit_is_refused_before_it_is_there(reply: bytes, size: int) -> None:
    async def test(one: Served) -> None:
        one.line = WebLine(one.lease, most_bytes=MOST)
        asked = one.ask()
        server = await one.take()
        await server.request()
        await server.say(reply)
        with pytest.raises(AnswerTooLarge) as caught:
            await asked
        assert caught.value.size_bytes == size
        assert await server.reader.read() == b""
        server.end()

    run_served(test)


def test_a_web_servers_status_that_ends_no_call_is_no_answer() -> None:
    async def test(one: Served) -> None:
        asked = one.ask()
        server = await one.take()
        await server.request()
        await server.say(b"HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\nx")
        with pytest.raises(ModelFault, match="the status 999") as caught:
            await asked
        assert caught.value.status == 502
        server.end()

    run_served(test)


@contextmanager
def answering(listener: socket.socket, reply: bytes) -> Iterator[None]:
    """A server that answers one call, in a thread."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(1 << 16, socket.MSG_PEEK):
                pass
            connection.sendall(reply)
            connection.recv(1 << 16)

    listener.listen(1)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(LIMIT_S)


def test_a_thread_that_waits_has_the_same_limit() -> None:
    with TemporaryDirectory(prefix="sagebird-") as name, socket.socket(socket.AF_UNIX) as listener:
        address = str(Path(name) / "1.sock")
        listener.bind(address)
        with answering(listener, whole(b"x" * 1001)), pytest.raises(AnswerTooLarge):
            ask_blocking(address, CALL, LIMIT_S, MOST)


def _packed(body: bytes) -> bytes:
    small = gzip.compress(body)
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(small), small)


@pytest.mark.parametrize("form", [whole, _packed])
def test_so_has_who_calls_a_container_at_a_port(form: Callable[[bytes], bytes]) -> None:
    for size, is_taken in ((MOST, True), (MOST + 1, False)):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            model = RemoteModel(url, LIMIT_S, direct=True, most_bytes=MOST)
            with answering(listener, form(b"x" * size)):
                try:
                    assert model.answer(CALL).body == b"x" * MOST
                    assert is_taken
                except AnswerTooLarge:
                    assert not is_taken
            model.close()
