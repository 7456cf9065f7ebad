"""Calls that are quick: several are sent ahead, and none waits where no worker takes it up."""

import asyncio
from contextlib import suppress
from time import monotonic

import pytest

from service.errors import ModelDied
from service.hosting.containers.calls import FAREWELL
from service.hosting.containers.connection import MOST_DEPTH
from service.hosting.containers.line import CallLine
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from tests.harness.played_workers import LIMIT_S, Worker, Workers, run, run_as_gateways_do, send
from tests.hosting.containers.test_line import answered, kept


def be_quick(line: CallLine) -> None:
    """Have a line know that calls took no time of late."""
    for _ in range(200):
        line.note_pace(0.0)


async def known(line: CallLine, workers: Workers) -> Worker:
    """A worker that has answered a call of a line, which knows that such are quick."""
    (call,) = send(line, "first")
    worker = await workers.accept()
    await answered(worker, call)
    be_quick(line)
    return worker


async def lose(line: CallLine, worker: Worker) -> "list[asyncio.Task[Answer]]":
    """Calls, of which "lost" waited elsewhere until it was taken back: the worker has it now."""
    calls = send(line, "a", "lost")
    while (body := await worker.take()) != b"lost":
        be_quick(line)
        await worker.answer(body)
        calls += send(line, "more")
    return calls


async def serve_until(worker: Worker, bodies: set[bytes]) -> None:
    """Answer what comes until these have come."""
    while bodies:
        body = await worker.take()
        assert body in bodies
        bodies.remove(body)
        await worker.answer(body.upper())


def test_as_many_are_sent_ahead_as_are_answered_in_a_moment(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        assert line.depth == 2
        worker = await known(line, workers)
        assert line.depth == MOST_DEPTH
        calls = send(line, *"abcdefghij")
        assert [await worker.take() for _ in range(MOST_DEPTH)] == [bytes([97 + n]) for n in range(8)]
        for text in "ABCDEFGH":
            await worker.answer(text.encode())
        for text in "ij":
            assert await worker.take() == text.encode()
            await worker.answer(text.upper().encode())
        assert [(await call).body.decode() for call in calls] == list("ABCDEFGHIJ")
        for _ in range(200):
            line.note_pace(1.0)
        assert line.depth == 2
        line.close()

    run(test())


def test_a_connection_that_nobody_has_taken_up_gets_one_call(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        be_quick(line)
        calls = send(line, "a", "b", "c")
        worker = await workers.accept()
        assert await worker.take() == b"a"
        taking = asyncio.create_task(worker.take())
        await asyncio.sleep(0)
        assert not taking.done()
        await worker.answer(b"A")
        assert [await taking, await worker.take()] == [b"b", b"c"]
        for text in (b"B", b"C"):
            await worker.answer(text)
        assert [(await call).body for call in calls] == [b"A", b"B", b"C"]
        line.close()

    run(test())


def test_all_that_lie_behind_a_call_that_hangs_go_to_a_worker_that_is_free(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 2, kept_s=2 * LIMIT_S, stuck_s=0.01)
        one = await known(line, workers)
        hanging, *others = send(line, "hang", "a", "b", "c")
        two = await workers.accept()
        assert await one.take() == b"hang"
        assert await two.take() == b"a"
        assert [await one.take() for _ in range(3)] == [b"b", b"c", b"end"]  # they are called back
        serving = asyncio.create_task(serve_until(two, {b"b", b"c"}))
        await two.answer(b"A")
        await serving
        assert [(await call).body for call in others] == [b"A", b"B", b"C"]
        assert line.depth == 2
        await one.answer(b"HANG")
        assert (await hanging).body == b"HANG"
        line.close()

    run(test())


def test_a_worker_that_dies_at_a_call_takes_it_along_though_others_were_called_back(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 2, kept_s=2 * LIMIT_S, stuck_s=0.01)
        one = await known(line, workers)
        hanging, *others = send(line, "hang", "a", "b")
        received = b""
        while not received.endswith(b"hang"):  # and no more: what is called back stays unread
            received += await asyncio.get_running_loop().sock_recv(one.connection, 1)
        two = await workers.accept()
        assert [await answered(two, other) for other in others] == [b"a", b"b"]
        one.die()
        with pytest.raises(ModelDied):
            await hanging
        (call,) = send(line, "c")
        assert await answered(two, call) == b"c"  # and nothing before it
        line.close()

    run(test())


def test_what_was_begun_behind_a_call_that_is_given_up_too_late_is_not_sent_again(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        worker = await known(line, workers)
        told: asyncio.Queue[Outcome] = asyncio.Queue()
        first, _ = (line.begin(Call(body, None, None), told.put_nowait, Stopwatch()) for body in (b"a", b"b"))
        assert [await worker.take(), await worker.take()] == [b"a", b"b"]
        worker.connection.send(b"HTTP/1.1 200 -\r\nContent-Length: 1\r\n\r\nA")  # which nobody has read yet
        first.give_up()
        await worker.answer(b"B")
        assert await told.get() == Answer(b"B", "text/plain")
        assert told.empty()
        assert await worker.take() == b"end"
        with pytest.raises(BlockingIOError):
            workers.listener.accept()
        line.close()

    run(test())


def test_large_calls_are_sent_with_those_before_them(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        worker = await known(line, workers)
        large = "x" * 3_000_000
        calls = send(line, "a", "b", large, "d")
        for body in ("a", "b", large, "d"):
            assert await worker.take() == body.encode()
            await worker.answer(body.upper().encode())
        assert [(await call).body for call in calls] == [b"A", b"B", large.upper().encode(), b"D"]
        line.close()

    run(test())


def test_calls_are_taken_back_where_nobody_takes_them_up(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers, 2)
        worker = await known(line, workers)
        calls = send(line, "a", "lost")
        while (body := await worker.take()) != b"lost":  # the other connection is nobody's
            be_quick(line)
            await worker.answer(body)
            calls += send(line, "more")
        await worker.answer(b"lost")
        assert [(await call).body for call in calls[:-1]] == [b"a", b"lost", *[b"more"] * (len(calls) - 3)]
        nobody = await workers.accept()
        assert [await nobody.take(), await nobody.take()] == [b"lost", b"end"]
        assert await answered(worker, calls[-1]) == b"more"
        line.close()

    run(test())


def test_what_a_worker_is_at_is_not_taken_back(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers, 2)
        worker = await known(line, workers)
        calls = send(line, "a", "slow")
        slow = await workers.accept()
        assert await slow.take() == b"slow"
        ends_s = monotonic() + 0.02  # ten times as long as would be enough
        while monotonic() < ends_s:
            assert await worker.take() in (b"a", b"more")
            be_quick(line)
            await worker.answer(b"done")
            calls += send(line, "more")
        await worker.take()
        await worker.answer(b"done")
        await slow.answer(b"SLOW")
        assert [(await call).body for call in calls] == [b"done", b"SLOW", *[b"done"] * (len(calls) - 2)]
        assert await answered(worker, *send(line, "b")) == b"b"
        line.close()
        assert await slow.take() == b"end"

    run(test())


def test_workers_that_are_at_calls_of_others_are_left_alone_for_a_while(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers, 2, shared_s=LIMIT_S)
        worker = await known(line, workers)
        calls = await lose(line, worker)
        assert await (nobody := await workers.accept()).take() == b"lost"
        calls += send(line, "b", "c", "d")  # before the first of them is answered
        asking = asyncio.create_task(workers.accept())
        await worker.answer(b"lost")
        await serve_until(worker, {b"b", b"c", b"d", b"more"})
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(*calls)
        line.close()
        assert await nobody.take() == b"end"

    run(test())


def test_what_nobody_took_up_goes_to_none_of_those_that_did_not_take_up_theirs(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers, 3, shared_s=LIMIT_S)
        worker = await known(line, workers)
        line.note_pace(LIMIT_S)
        assert line.depth == 2
        large = "b" * 80_000  # is sent at once, wherever it goes
        calls = send(line, "a", large, "c", "d")
        assert await worker.take() == b"a"
        be_quick(line)
        line.relieve(monotonic() + LIMIT_S)  # by then they have waited for too long
        await worker.answer(b"A")
        await serve_until(worker, {large.encode(), b"c", b"d"})
        assert [(await call).body for call in calls[2:]] == [b"C", b"D"]
        assert (await calls[1]).body == large.upper().encode()
        nobody, no_other = await workers.accept(), await workers.accept()
        assert [await nobody.take(), await nobody.take()] == [large.encode(), b"end"]
        assert [await no_other.take(), await no_other.take()] == [b"c", b"end"]
        line.close()

    run(test())


def test_workers_that_were_at_calls_of_others_are_asked_again_soon(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers, 2)
        worker = await known(line, workers)
        calls = await lose(line, worker)
        assert await (nobody := await workers.accept()).take() == b"lost"
        await worker.answer(b"lost")
        answering = [asyncio.create_task(answer_all(worker))]

        async def accept() -> None:
            while True:
                answering.append(asyncio.create_task(answer_all(await workers.accept())))

        accepting = asyncio.create_task(accept())
        await asyncio.gather(*calls)
        while len(answering) == 1:
            await asyncio.gather(*send(line, "c", "d"))
        accepting.cancel()
        line.close()
        await asyncio.gather(*answering)
        assert await nobody.take() == b"end"

    run(test())


async def answer_all(worker: Worker) -> None:
    """Answer what comes until the end, which may come before: it was taken back."""
    with suppress(BrokenPipeError):
        while (body := await worker.take()) != b"end":
            await worker.answer(body)


def test_who_answers_what_was_not_asked_is_asked_nothing_more(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        reply = b"HTTP/1.1 200 -\r\nContent-Length: 1\r\n\r\n%b"
        loop = asyncio.get_running_loop()
        for extra in (reply % b"X", b"HTTP/1.1 200"):
            (call,) = send(line, "a")
            worker = await workers.accept()
            assert await worker.take() == b"a"
            await loop.sock_sendall(worker.connection, reply % b"A" + extra)
            assert (await call).body == b"A"
            assert await worker.take() == b"end"
        (call,) = send(line, "b")
        worker = await workers.accept()
        await answered(worker, call)
        await loop.sock_sendall(worker.connection, reply % b"X")
        assert await worker.take() == b"end"
        (call,) = send(line, "c")
        await answered(await workers.accept(), call)
        assert (await call) == Answer(b"C", "text/plain")
        line.close()

    run(test())


@pytest.mark.parametrize("size", [1, 200_000])
def test_what_a_leaving_worker_has_not_read_goes_to_the_next_however_large_its_answer_is(
    workers: Workers, size: int
) -> None:
    async def test() -> None:
        line = kept(workers)
        worker = await known(line, workers)
        calls = send(line, "a", "b" * 3, "c")
        assert await worker.take() == b"a"
        worker.answer_and_die(b"A" * size, FAREWELL)
        assert (await calls[0]).body == b"A" * size
        await serve_until(await workers.accept(), {b"bbb", b"c"})
        assert [(await call).body for call in calls[1:]] == [b"BBB", b"C"]
        line.close()

    run_as_gateways_do(test())


def test_who_died_while_nobody_asked_is_asked_nothing_more(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        worker = await known(line, workers)
        worker.die()
        (call,) = send(line, "a")  # before the loop has seen that
        await answered(await workers.accept(), call)
        line.close()

    run_as_gateways_do(test())
