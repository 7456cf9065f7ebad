"""How calls wait for workers: on a real socket, with workers that do as they are told."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.errors import ModelFailure, ModelFault, ModelUnreachable
from service.hosting.containers.line import CallLine
from service.hosting.host import Answer, Call

LIMIT_S = 30.0


class Workers:
    """A container's socket, whose workers this test plays."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "1.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.address)
        self.listener.listen(16)
        self.listener.setblocking(False)
        self._accepted: list[socket.socket] = []

    async def accept(self) -> "Worker":
        connection, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        self._accepted.append(connection)
        return Worker(connection)

    def close(self) -> None:
        for each in (self.listener, *self._accepted):
            each.close()


class Worker:
    """One worker at one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._rest = b""

    async def take(self) -> bytes:
        """The next call's body; b"end" where the caller has closed."""
        while b"\r\n\r\n" not in self._rest:
            data = await self._more()
            if not data:
                return b"end"
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(rest) < size:
            rest += await self._more(rest)
        self._rest = rest[size:]
        return rest[:size]

    async def _more(self, before: bytes = b"") -> bytes:
        data = await asyncio.get_running_loop().sock_recv(self.connection, 65_536)
        if not before:
            self._rest += data
        return data

    async def answer(self, body: bytes, status: int = 200) -> None:
        reply = b"HTTP/1.1 %d -\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            len(body),
            body,
        )
        await asyncio.get_running_loop().sock_sendall(self.connection, reply)

    def die(self) -> None:
        self.connection.close()


@pytest.fixture
def workers() -> Iterator[Workers]:
    with TemporaryDirectory(prefix="sagebird-") as name:
        found = Workers(Path(name))
        yield found
        found.close()


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(test, LIMIT_S))


def send(line: CallLine, *bodies: str) -> "list[asyncio.Task[Answer]]":
    return [asyncio.create_task(line.ask(Call(body.encode(), "text/plain", None))) for body in bodies]


def test_as_many_connections_as_workers_and_one_call_ahead_in_each(workers: Workers) -> None:
    async def test() -> None:
        calls = send(line := CallLine(workers.address, 2), "a", "b", "c", "d", "e")
        one, two = await workers.accept(), await workers.accept()
        assert [await one.take(), await two.take()] == [b"a", b"b"]
        assert {await one.take(), await two.take()} == {b"c", b"d"}
        await one.answer(b"A")
        assert await one.take() == b"e"
        for text in (b"C", b"E"):
            await one.answer(text)
        for text in (b"B", b"D"):
            await two.answer(text)
        answers = [(await call).body for call in calls]
        assert answers[0::2] == [b"A", b"C", b"E"]
        assert [await one.take(), await two.take()] == [b"end", b"end"]
        (late,) = send(line, "f")
        three = await workers.accept()
        assert await three.take() == b"f"
        await three.answer(b"F")
        assert (await late).body == b"F"

    run(test())


def test_a_connection_is_given_up_after_its_share_so_that_others_come_in(workers: Workers) -> None:
    async def test() -> None:
        calls = send(CallLine(workers.address, 1), *(str(number) for number in range(100)))
        taken: list[bytes] = []
        while len(taken) < 100:
            worker = await workers.accept()
            while (body := await worker.take()) != b"end":
                taken.append(body)
                await worker.answer(body)
            assert len(taken) in (64, 100)
        assert [(await call).body for call in calls] == taken

    run(test())


def test_the_call_that_a_worker_died_at_fails_and_the_one_behind_goes_to_another(workers: Workers) -> None:
    async def test() -> None:
        first, second = send(CallLine(workers.address, 1), "a", "b")
        worker = await workers.accept()
        assert await worker.take() == b"a"
        worker.die()
        with pytest.raises(ModelFault, match="ended before it had answered"):
            await first
        another = await workers.accept()
        assert await another.take() == b"b"
        await another.answer(b"B")
        assert (await second).body == b"B"

    run(test())


def test_a_call_that_is_given_up_leaves_its_worker_and_the_one_behind_goes_to_another(
    workers: Workers,
) -> None:
    async def test() -> None:
        first, second = send(CallLine(workers.address, 1), "a", "b")
        worker = await workers.accept()
        assert await worker.take() == b"a"
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        another = await workers.accept()
        assert await another.take() == b"b"
        assert await worker.take() == b"b"  # it lay in its socket,
        assert await worker.take() == b"end"  # and nobody waits for it there
        await another.answer(b"B")
        assert (await second).body == b"B"

    run(test())


def test_one_that_is_given_up_behind_another_disturbs_nobody(workers: Workers) -> None:
    async def test() -> None:
        first, second, third = send(CallLine(workers.address, 1), "a", "b", "c")
        worker = await workers.accept()
        assert [await worker.take(), await worker.take()] == [b"a", b"b"]
        second.cancel()
        third.cancel()
        await asyncio.sleep(0)
        await worker.answer(b"A")
        assert (await first).body == b"A"
        await worker.answer(b"B")
        assert await worker.take() == b"end"

    run(test())


def test_large_calls_and_answers_come_whole(workers: Workers) -> None:
    async def test() -> None:
        large = "x" * 3_000_000
        first, second = send(CallLine(workers.address, 1), large, "b")
        worker = await workers.accept()
        assert await worker.take() == large.encode()
        await worker.answer(large.encode() * 2)
        assert (await first).body == large.encode() * 2
        assert await worker.take() == b"b"
        await worker.answer(b"no", 500)
        with pytest.raises(ModelFailure, match="no"):
            await second

    run(test())


def test_where_nobody_listens_calls_may_be_sent_again(workers: Workers) -> None:
    async def test() -> None:
        workers.listener.close()
        with pytest.raises(ModelUnreachable):
            await CallLine(workers.address, 1).ask(Call(b"a", None, None))

    run(test())


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 -\r\n\r\n", b"x" * 70_000])
def test_what_is_no_answer_is_the_models_fault(workers: Workers, reply: bytes) -> None:
    async def test() -> None:
        (call,) = send(CallLine(workers.address, 1), "a")
        worker = await workers.accept()
        assert await worker.take() == b"a"
        await asyncio.get_running_loop().sock_sendall(worker.connection, reply)
        worker.die()
        with pytest.raises(ModelFault) as caught:
            await call
        assert caught.value.status == 502

    run(test())
