"""How calls wait for workers: on a real socket, with workers that do as they are told."""

import asyncio
from contextlib import suppress

import pytest

from service.errors import ModelFailure, ModelFault, ModelUnreachable
from service.hosting.containers.calls import FAREWELL
from service.hosting.containers.line import CallLine
from service.hosting.host import Answer, Call, Outcome
from service.hosting.stopwatch import Stopwatch
from tests.harness.lines import ask
from tests.harness.played_workers import LIMIT_S, Worker, Workers, line_to, run, send


def test_as_many_connections_as_workers_and_one_call_ahead_in_each(workers: Workers) -> None:
    async def test() -> None:
        calls = send(line := line_to(workers, 2), "a", "b", "c", "d", "e")
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
        calls = send(line_to(workers, 1), *(str(number) for number in range(600)))
        taken: list[bytes] = []
        while len(taken) < 600:
            worker = await workers.accept()
            while (body := await worker.take()) != b"end":
                taken.append(body)
                await worker.answer(body)
            assert len(taken) in (512, 600)
        assert [(await call).body for call in calls] == taken

    run(test())


def test_the_call_that_a_worker_died_at_fails_and_the_one_behind_goes_to_another(workers: Workers) -> None:
    async def test() -> None:
        first, second = send(line_to(workers, 1), "a", "b")
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
        first, second = send(line_to(workers, 1), "a", "b")
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


def test_what_lies_behind_a_call_that_hangs_goes_to_a_worker_that_is_free(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 2, kept_s=0.0, stuck_s=0.01)
        hanging, second, behind = send(line, "a", "b", "c")
        one, two = await workers.accept(), await workers.accept()
        assert [await one.take(), await two.take()] == [b"a", b"b"]
        assert await one.take() == b"c"  # it lies in its socket,
        assert await one.take() == b"end"  # and is called back
        await two.answer(b"B")
        assert (await second).body == b"B"
        free = two if await two.take() == b"c" else await workers.accept()
        if free is not two:
            assert await free.take() == b"c"
        await free.answer(b"C")
        assert (await behind).body == b"C"
        await one.answer(b"A")
        assert (await hanging).body == b"A"

    run(test())


def test_what_a_worker_has_begun_is_not_called_back(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 1, kept_s=0.0, stuck_s=0.01)
        calls = send(line, "a", "b", "c")
        worker = await workers.accept()
        for text in (b"a", b"b", b"c"):
            got = await worker.take()
            if got == b"end":  # called back, as the test was slow: it comes anew
                worker = await workers.accept()
                got = await worker.take()
            assert got == text
            await worker.answer(text.upper())
        assert [answer.body for answer in await asyncio.gather(*calls)] == [b"A", b"B", b"C"]

    run(test())


def test_one_that_is_given_up_behind_another_disturbs_nobody(workers: Workers) -> None:
    async def test() -> None:
        first, second, third = send(line_to(workers, 1), "a", "b", "c")
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
        first, second = send(line_to(workers, 1), large, "b")
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
        told: list[Outcome] = []
        line = line_to(workers, 1)
        line.begin(Call(b"a", None, None), told.append, Stopwatch())
        line.begin(Call(b"b", None, None), told.append, Stopwatch()).give_up()
        assert told == []  # who asks has to know first that it does
        await asyncio.sleep(0)
        assert [type(one) for one in told] == [ModelUnreachable]
        with pytest.raises(ModelUnreachable):
            await ask(line_to(workers, 1), Call(b"a", None, None))

    run(test())


@pytest.mark.parametrize(
    "reply",
    [
        *(b"", b"HTTP/1.1 200 -\r\n\r\n", b"x" * 70_000, b"HTTP/1.1 200 -\r\nContent-Length: -1\r\n\r\n"),
        *(b"HTTP/1.1\r\nContent-Length: 1\r\n\r\n1", b"HTTP/1.1 x -\r\nContent-Length: 1\r\n\r\n1"),
    ],
)
def test_what_is_no_answer_is_the_models_fault(workers: Workers, reply: bytes) -> None:
    async def test() -> None:
        (call,) = send(line_to(workers, 1), "a")
        worker = await workers.accept()
        assert await worker.take() == b"a"
        await asyncio.get_running_loop().sock_sendall(worker.connection, reply)
        worker.die()
        with pytest.raises(ModelFault) as caught:
            await call
        assert caught.value.status == 502

    run(test())


def test_each_call_has_its_own_headers_and_each_answer_its_own(workers: Workers) -> None:
    async def test() -> None:
        line = line_to(workers, 1)
        for number in (1, 2, 1):
            call = Call(b"%d" % number, "text/csv", None, f"attributes {number}", None, f"session {number}")
            asked = asyncio.create_task(ask(line, call))
            worker = await workers.accept()
            request = await asyncio.get_running_loop().sock_recv(worker.connection, 65_536)
            head, _, body = request.partition(b"\r\n\r\n")
            assert body == call.body
            assert head.split(b"\r\n") == [
                *(b"POST /invocations HTTP/1.1", b"Host: model", b"Connection: keep-alive"),
                b"Content-Type: text/csv",
                b"X-Amzn-SageMaker-Custom-Attributes: attributes %d" % number,
                *(b"X-Amzn-SageMaker-Session-Id: session %d" % number, b"Content-Length: 1"),
            ]
            reply = b"HTTP/1.1 200 -\r\ncontent-length:1\r\nX-Amzn-SageMaker-New-Session-Id: s%d\r\n\r\n%d"
            await asyncio.get_running_loop().sock_sendall(worker.connection, reply % (number, number))
            assert await asked == Answer(
                body, "application/octet-stream", None, 200, new_session_id=f"s{number}"
            )

    run(test())


def test_answers_that_come_together_or_in_parts_are_each_callers_own(workers: Workers) -> None:
    async def test() -> None:
        calls = send(line_to(workers, 1), "a", "b", "c")
        worker = await workers.accept()
        assert [await worker.take(), await worker.take()] == [b"a", b"b"]
        reply = b"HTTP/1.1 200 -\r\nContent-Length: 2\r\n\r\nA!HTTP/1.1 400 -\r\nContent-Length: 2\r\n\r\nB"
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(worker.connection, reply)
        assert await worker.take() == b"c"
        for part in (b"!HTTP/1.1 200 -\r\nContent-", b"Length: 2\r", b"\n\r\nC", b"!"):
            await loop.sock_sendall(worker.connection, part)
            await asyncio.sleep(0)
        assert (await calls[0]).body == b"A!"
        with pytest.raises(ModelFault, match="B!") as caught:
            await calls[1]
        assert caught.value.status == 400
        assert (await calls[2]).body == b"C!"

    run(test())


# ---- connections that are kept


def kept(workers: Workers, number: int = 1, shared_s: float = 0.02) -> CallLine:
    """One that keeps its connections for longer than any test takes."""
    return CallLine(workers.address, number, kept_s=2 * LIMIT_S, stuck_s=LIMIT_S, shared_s=shared_s)


async def answered(worker: Worker, call: "asyncio.Task[Answer]") -> bytes:
    """Have a worker answer a call; its body."""
    body = await worker.take()
    await worker.answer(body.upper())
    assert (await call).body == body.upper()
    return body


def test_a_connection_without_calls_is_kept_for_the_next_until_its_line_is_closed(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        (call,) = send(line, "a")
        worker = await workers.accept()
        assert await answered(worker, call) == b"a"
        for body in ("b", "c"):
            (call,) = send(line, body)
            assert await answered(worker, call) == body.encode()
        line.close()
        assert await worker.take() == b"end"
        line.close()

    run(test())


def test_who_closes_a_line_lets_calls_end(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        (call,) = send(line, "a")
        worker = await workers.accept()
        line.close()
        assert await answered(worker, call) == b"a"
        line.close()

    run(test())


def test_a_connection_is_not_kept_for_long(workers: Workers) -> None:
    async def test() -> None:
        line = CallLine(workers.address, 1, kept_s=0.01, stuck_s=LIMIT_S)
        (call,) = send(line, "a")
        worker = await workers.accept()
        assert await answered(worker, call) == b"a"
        assert await worker.take() == b"end"

        (stays,) = send(line, "b")
        worker = await workers.accept()
        assert await worker.take() == b"b"
        await asyncio.sleep(0.05)  # several times as long: a call is under way
        await worker.answer(b"B")
        assert (await stays).body == b"B"
        assert await worker.take() == b"end"

    run(test())


def test_what_had_not_reached_a_worker_that_takes_its_leave_goes_to_another(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        (call,) = send(line, "a")
        worker = await workers.accept()
        assert await answered(worker, call) == b"a"
        lost = send(line, "b", "c")
        await asyncio.sleep(0)  # they are sent
        await asyncio.get_running_loop().sock_sendall(worker.connection, FAREWELL)
        worker.die()
        worker = await workers.accept()
        assert [await answered(worker, call) for call in lost] == [b"b", b"c"]
        line.close()

    run(test())


def test_a_farewell_may_come_with_the_answer_before_it(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        (call,) = send(line, "a")
        worker = await workers.accept()
        await worker.take()
        reply = b"HTTP/1.1 200 -\r\nContent-Length: 1\r\n\r\nA" + FAREWELL
        await asyncio.get_running_loop().sock_sendall(worker.connection, reply)
        worker.die()
        assert (await call).body == b"A"
        (call,) = send(line, "b")
        assert await answered(await workers.accept(), call) == b"b"
        line.close()

    run(test())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_without_a_call_harms_none_that_is_sent_to_it(workers: Workers, when: str) -> None:
    async def test() -> None:
        line = kept(workers)
        (call,) = send(line, "a")
        worker = await workers.accept()
        assert await answered(worker, call) == b"a"
        if when == "before":
            worker.die()
        (call,) = send(line, "b")
        await asyncio.sleep(0)  # it is sent
        worker.die()
        assert await answered(await workers.accept(), call) == b"b"
        line.close()

    run(test())


def test_a_worker_that_dies_at_a_later_call_of_a_connection_harms_that(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        (call,) = send(line, "a")
        worker = await workers.accept()
        assert await answered(worker, call) == b"a"
        (call,) = send(line, "b")
        assert await worker.take() == b"b"
        worker.die()
        with pytest.raises(ModelFault, match="ended before it had answered"):
            await call
        line.close()

    run(test())


def test_a_kept_connection_is_closed_after_its_share_like_any_other(workers: Workers) -> None:
    async def test() -> None:
        line = kept(workers)
        worker: Worker | None = None
        for number in range(512):
            (call,) = send(line, str(number))
            worker = worker or await workers.accept()
            await answered(worker, call)
        assert worker is not None
        assert await worker.take() == b"end"
        line.close()

    run(test())
