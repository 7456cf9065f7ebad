"""Workers ring once all is answered that they had received; whoever does not ring is heard soon enough."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from service.errors import ModelDied
from service.hosting.containers.begun import Begun
from service.hosting.containers.bell import Bell
from service.hosting.containers.calls import FAREWELL, written
from service.hosting.containers.connection import WorkerConnection
from service.hosting.containers.line import CallLine
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from tests.harness.containers import model_host
from tests.harness.played_workers import LIMIT_S, Worker, Workers, line_to, run, run_as_gateways_do, send

SCRIPT = """
import time
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    time.sleep(float(body))
    return body, "text/plain"
"""

DIES = """
import os
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept): os._exit(1)
"""


class Ringer(Worker):
    """A worker that was handed a bell."""

    bell: socket.socket | None = None

    async def _more(self, before: bytes = b"") -> bytes:
        if self.bell is not None:
            return await super()._more(before)
        data = b""
        while not data:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.connection, 65_536, 1)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        self.bell = socket.socket(fileno=descriptors[0])
        self._rest += data
        return data

    def ring(self) -> None:
        assert self.bell is not None
        self.bell.send(b"\0")

    def ring_until_nobody_hears(self) -> Iterator[None]:
        with suppress(BrokenPipeError):
            while True:
                self.ring()
                yield


Accept = Callable[[], Awaitable[Ringer]]


@pytest.fixture
def accept(workers: Workers) -> Iterator[Accept]:
    """Takes the next connection."""
    taken: list[Ringer] = []

    async def found() -> Ringer:
        taken.append(Ringer((await workers.accept()).connection))
        return taken[-1]

    yield found
    for each in taken:
        if each.bell is not None:
            each.bell.close()


async def ringing(
    workers: Workers, kept_s: float = 2 * LIMIT_S, stuck_s: float = LIMIT_S
) -> tuple[CallLine, Worker]:
    """A line, and its first worker, which is busy: whoever has but one call under way hands no bell over.

    Of several calls that come now every second one goes to that worker.
    """
    line = CallLine(workers.address, 2, kept_s=kept_s, stuck_s=stuck_s, rings=True)
    send(line, "first")
    worker = await workers.accept()
    assert await worker.take() == b"first"
    return line, worker


def test_what_is_answered_is_told_when_the_worker_rings(workers: Workers, accept: Accept) -> None:
    async def test() -> None:
        line, _ = await ringing(workers)
        first, _, second = send(line, "a", "elsewhere", "b")
        worker = await accept()
        assert [await worker.take(), await worker.take()] == [b"a", b"b"]
        await worker.answer(b"A")
        await worker.answer(b"B")
        worker.ring()
        assert [(await first).body, (await second).body] == [b"A", b"B"]
        line.close()
        assert await worker.take() == b"end"

    run_as_gateways_do(test())


@pytest.mark.parametrize("way", [run, run_as_gateways_do])
def test_an_answer_that_nobody_rang_for_is_told_soon(
    workers: Workers, accept: Accept, way: Callable[[Coroutine[object, object, None]], None]
) -> None:
    async def test() -> None:
        line, _ = await ringing(workers)
        first, _, second = send(line, "a", "elsewhere", "b")
        worker = await accept()
        assert await worker.take() == b"a"
        await worker.answer(b"A")
        assert (await first).body == b"A"
        assert await worker.take() == b"b"
        worker.die()
        with pytest.raises(ModelDied):
            await second
        line.close()

    way(test())


UNASKED = b"HTTP/1.1 200 -\r\nContent-Length: 7\r\n\r\nunasked"


@pytest.mark.parametrize(("last_words", "dies"), [(FAREWELL, False), (FAREWELL, True), (UNASKED, False)])
def test_what_a_worker_says_unheard_is_nobodys_answer_and_the_last_of_it(
    workers: Workers, accept: Accept, last_words: bytes, dies: bool
) -> None:
    async def test() -> None:
        line, _ = await ringing(workers, stuck_s=0.01)
        (first,) = send(line, "a")
        worker = await accept()
        assert await worker.take() == b"a"
        await worker.answer(b"A")
        worker.ring()
        assert (await first).body == b"A"
        worker.connection.send(last_words)
        if dies:
            worker.die()
        (second,) = send(line, "b")
        other = await accept()
        assert await other.take() == b"b"
        await other.answer(b"B")
        assert (await second).body == b"B"
        line.close()

    run_as_gateways_do(test())


def test_who_rings_in_vain_again_and_again_is_heard_no_more(workers: Workers, accept: Accept) -> None:
    async def test() -> None:
        line, _ = await ringing(workers)
        calls = send(line, "a")
        worker = await accept()
        assert await worker.take() == b"a"
        for _ in worker.ring_until_nobody_hears():
            await asyncio.sleep(0)
        await worker.answer(b"A")
        assert (await calls[0]).body == b"A"
        calls = send(line, "b", "elsewhere", "c")
        assert [await worker.take(), await worker.take()] == [b"b", b"c"]
        await worker.answer(b"B")
        await worker.answer(b"C")
        assert [(await calls[0]).body, (await calls[2]).body] == [b"B", b"C"]
        line.close()

    run_as_gateways_do(test())


def test_a_line_that_is_over_leaves_nothing_open(workers: Workers, accept: Accept) -> None:
    async def test() -> None:
        before = set(os.listdir("/proc/self/fd"))
        line, busy = await ringing(workers, kept_s=0.01)
        (call,) = send(line, "a")
        worker = await accept()
        assert await worker.take() == b"a"
        line.close()  # its call goes on
        await worker.answer(b"A")
        worker.ring()
        assert (await call).body == b"A"
        busy.die()
        assert await worker.take() == b"end"
        worker.die()
        assert worker.bell is not None
        worker.bell.close()
        assert set(os.listdir("/proc/self/fd")) == before

    run(test())


def asked(*bodies: str) -> bytes:
    return b"".join(written(Call(body.encode(), "text/plain", None), "keep-alive") for body in bodies)


def test_what_an_answer_brings_about_is_looked_for_once(workers: Workers, accept: Accept) -> None:
    """Whoever is told of an answer may call again at once, while what nobody rang for is being looked for."""

    async def test() -> None:
        line, _ = await ringing(workers)
        more = [b"c", b"d", b"e"]
        over = asyncio.get_running_loop().create_future()

        def told(_outcome: Outcome) -> None:
            if more:
                line.begin(Call(more.pop(0), None, None), told, Stopwatch())
            elif not over.done():
                over.set_result(None)

        line.begin(Call(b"a", None, None), told, Stopwatch())
        worker = await accept()
        for body in (b"a", b"c", b"d", b"e"):
            assert await worker.take() == body
            await worker.answer(body)  # and rings for none
        await over
        looks = [each for each in asyncio.get_running_loop()._scheduled if each._callback == line._check]  # type: ignore[attr-defined]
        assert len([each for each in looks if not each.cancelled()]) <= 1
        line.close()

    run(test())


def test_a_bell_that_cannot_be_handed_over_is_done_without(workers: Workers) -> None:
    async def test() -> None:
        bell = Bell(lambda: False)
        told: asyncio.Queue[Outcome] = asyncio.Queue()
        connection = WorkerConnection(line_to(workers, 1), workers.address)
        connection.listen(bell)
        bell.close()
        connection.take(Begun(asked("a"), told.put_nowait, Stopwatch()))
        worker = await workers.accept()
        assert await worker.take() == b"a"
        await worker.answer(b"A")
        assert await told.get() == Answer(b"A", "text/plain")

    run_as_gateways_do(test())


def test_the_rest_of_a_large_answer_is_read_as_it_comes(workers: Workers, accept: Accept) -> None:
    async def test() -> None:
        line, _ = await ringing(workers)
        (call,) = send(line, "a")
        worker = await accept()
        assert await worker.take() == b"a"
        (there,) = (each for each in line._connections if not each._is_watched)
        body = b"x" * (8 << 20)
        answering = asyncio.create_task(worker.answer(body))
        while not there._is_watched:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
        await answering
        assert (await call).body == body
        line.close()

    run_as_gateways_do(test())


def test_each_caller_of_a_real_worker_that_dies_hears_of_it(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text(DIES)

    async def test(line: CallLine) -> None:
        calls = send(line, "a", "b", "c")
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), LIMIT_S)
        assert [type(each) for each in outcomes] == [ModelDied] * 3
        line.close()

    with model_host(workers=1) as containers:
        lease = containers.open(tmp_path, "1", {}, program, (tmp_path,))
        with closing(lease):
            run_as_gateways_do(test(CallLine(lease.address, 1, rings=True)))


def read_until(connection: socket.socket, end: bytes) -> bytes:
    read = b""
    while not read.endswith(end):
        more = connection.recv(65_536)
        assert more, read
        read += more
    return read


def test_a_real_worker_rings_once_for_what_it_received_together(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text(SCRIPT)
    with model_host(workers=1) as containers:
        lease = containers.open(tmp_path, "1", {}, program, (tmp_path,))
        with closing(lease), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(LIMIT_S)
            connection.connect(lease.address)
            own, bell = socket.socketpair()
            own.settimeout(LIMIT_S)
            socket.send_fds(connection, [asked("0", "0.5")], [bell.fileno()])
            bell.close()
            read_until(connection, b"\r\n\r\n0")
            own.setblocking(False)
            with pytest.raises(BlockingIOError):  # it is at the next call, and has told nobody yet
                own.recv(100)
            read_until(connection, b"\r\n\r\n0.5")
            own.settimeout(LIMIT_S)
            assert own.recv(100) == b"\0"
            connection.shutdown(socket.SHUT_WR)
            assert read_until(connection, FAREWELL) == FAREWELL
            assert connection.recv(100) == b""
            assert own.recv(100) == b"\0"  # that it has closed is told as well
            assert own.recv(100) == b""
            own.close()
