"""What one connection may take of a server, the same whether the fast path answers or ASGI does."""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from service.http.connections import ConnectionLimits, Turns
from service.http.head import HeadLimits
from service.http.protocol import Connection
from tests.contracts.http_server import HOT, LIMIT_BYTES, REFUSED, WAIT_S, Running, Talk, request

BOTH = pytest.mark.parametrize("fast", [True, False], ids=["fast", "asgi"])
PATHS = pytest.mark.parametrize("path", [HOT, "/elsewhere"])
_SOON = ConnectionLimits(head_s=0.3, body_s=0.3, answer_s=0.3)


@pytest.fixture(params=[True, False], ids=["fast", "asgi"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with Running(request.param) as running:
        yield running


@BOTH
def test_half_a_head_is_closed_in_time_with_a_word_and_silence_without(fast: bool) -> None:
    with Running(fast, limits=_SOON) as server:
        with server.connect() as silent:
            assert silent.end() == b""
        with server.connect() as half, server.connect() as later:
            half.send(b"POST /hot HTTP/1.1\r\nHost: h\r\n")
            later.send(request(b"x"))
            later.answer()
            later.send(request(b"x")[:30])
            for talk in (half, later):
                assert talk.answer()[0] == 408
                assert talk.end() == b""


@BOTH
def test_a_head_that_never_ends_is_closed_though_it_goes_on(fast: bool) -> None:
    with Running(fast, limits=_SOON) as server, server.connect() as talk, server.connect() as clock:
        talk.send(b"POST /hot HTTP/1.1\r\n")
        while not clock.is_over():
            try:
                talk.send(b"A: b\r\n")
            except (BrokenPipeError, ConnectionResetError):
                break
        assert b" 408 " in talk.end()


@BOTH
@PATHS
def test_a_body_that_does_not_come_is_given_up(fast: bool, path: str) -> None:
    for head in (request(b"late", path=path)[:-2], _chunked(path) + b"5\r\nab"):
        with Running(fast, limits=_SOON) as server, server.connect() as talk:
            talk.send(head)
            status, lines, _ = talk.answer()
            assert status == 408
            assert lines.endswith(b"connection: close")
            assert talk.end() == b""


@BOTH
def test_a_client_that_reads_nothing_loses_its_connection(fast: bool) -> None:
    with Running(fast, limits=_SOON) as server, server.connect() as talk:
        talk.narrow()
        assert _sent(talk, request(b"7" * 60_000), 2000) < 2000


def test_a_refusal_before_the_body_was_asked_for_ends_the_connection(server: Running) -> None:
    """The client may send the body or not, and nobody can tell it from the next request."""
    with server.connect() as talk:
        talk.send(request(b"body", b"Expect: 100-continue", path=REFUSED)[:-4])
        status, head, body = talk.answer()
        assert (status, body) == (404, b"refused")
        assert b"connection: close" in head
        assert talk.end() == b""


def test_a_refusal_before_the_body_came_leaves_the_connection_usable(server: Running) -> None:
    for data in (request(b"7" * 200_000, path=REFUSED), _chunked(REFUSED) + b"5\r\nabcde\r\n0\r\n\r\n"):
        with server.connect() as talk:
            talk.send(data[:100])
            assert talk.answer()[0] == 404
            talk.send(data[100:] + request(b"next"))
            assert talk.answer()[2] == b"next"


def test_a_refused_body_of_any_length_is_read_away_only_so_far(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"", path=REFUSED).replace(b"Length: 0", b"Length: 99999999999"))
        _, head, _ = talk.answer()
        assert b"connection: close" in head
        assert _sent(talk, b"7" * 100_000, 1000) < 1000


def test_no_more_is_read_while_an_answer_is_due(server: Running) -> None:
    block = request(b"next") * 500
    with server.connect() as talk, server.connect() as other:
        talk.send(request(b"wait"))
        assert server.front.waits.acquire(timeout=WAIT_S)
        talk.hurry()
        assert _sent(talk, block, 2000) < 2000  # 70 MB
        other.send(request(b"other"))
        assert other.answer()[2] == b"other"


def test_others_have_their_turn_between_requests_that_came_together(server: Running) -> None:
    many = 2000
    with server.connect() as talk, server.connect() as other:
        for each in (talk, other):
            each.send(request(b"a"))
            each.answer()
        server.hold_up(0.3)
        talk.send(b"".join(request(b"%d" % number) for number in range(many)))
        other.send(request(b"other"))
        assert other.answer()[2] == b"other"
        assert [talk.answer()[2] for _ in range(many)] == [b"%d" % number for number in range(many)]
    if server.fast:
        answered = server.front.answered_now
        assert answered.index(b"other") < answered.index(b"%d" % (many - 1))


def test_a_body_in_very_many_chunks_is_read_in_turns(server: Running) -> None:
    body = b"7" * (LIMIT_BYTES - 1)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    with server.connect() as talk:
        talk.send(_chunked(HOT) + chunks + b"0\r\n\r\n" + request(b"next"))
        assert talk.answer()[2] == body
        assert talk.answer()[2] == b"next"


@BOTH
def test_limits_of_heads_are_settings(fast: bool) -> None:
    limits = ConnectionLimits(HeadLimits(most_bytes=1000, most_line_bytes=100))
    line, head = request(b"x", path="/" + "a" * 200), request(b"x", b"A: " + b"b" * 2000)
    with Running(fast, limits=limits) as server:
        for data, least, status in ((line, 102, 414), (head, 1001, 431)):
            for part in (data, data[:least]):  # refused though it is not over
                with server.connect() as talk:
                    talk.send(part)
                    assert talk.answer()[0] == status
                    assert talk.end() == b""


@BOTH
def test_the_connection_idle_longest_yields_to_a_new_one(fast: bool) -> None:
    with Running(fast, limits=ConnectionLimits(most_connections=3)) as server, ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in range(3)]
        for talk in talks:
            _use(talk)
        _use(talks[0])
        newcomer = stack.enter_context(server.connect())
        _use(newcomer)
        assert talks[1].end() == b""
        for talk in (talks[0], talks[2], newcomer):
            _use(talk)


@BOTH
def test_where_all_are_busy_a_new_connection_is_refused(fast: bool) -> None:
    with Running(fast, limits=ConnectionLimits(most_connections=2)) as server, ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in range(2)]
        for talk in talks:
            talk.send(request(b"wait"))
            assert server.front.waits.acquire(timeout=WAIT_S)
        newcomer = stack.enter_context(server.connect())
        status, head, _ = newcomer.answer()
        assert status == 503
        assert b"connection: close" in head
        server.let_answer()
        for talk in talks:
            assert talk.answer()[2] == b"wait"


@BOTH
def test_the_body_that_is_due_longest_yields_where_nothing_else_can(fast: bool) -> None:
    with Running(fast, limits=ConnectionLimits(most_connections=3)) as server, ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in range(3)]
        for talk in talks:
            _use(talk)
            talk.send(request(b"late")[:-1])
        _use(stack.enter_context(server.connect()))
        assert talks[0].end() == b""


@BOTH
def test_few_of_the_refused_linger(fast: bool) -> None:
    most = 2
    with Running(fast, limits=ConnectionLimits(most_connections=most)) as server, ExitStack() as stack:
        for _ in range(most):
            stack.enter_context(server.connect()).send(request(b"wait"))
            assert server.front.waits.acquire(timeout=WAIT_S)
        for _ in range(60):
            assert stack.enter_context(server.connect()).answer()[0] == 503
        assert server.connections < 30


def test_empty_lines_come_to_an_end(server: Running) -> None:
    for before in (b"", request(b"x")):
        with server.connect() as talk:
            if before:
                talk.send(before)
                talk.answer()
            for _ in range(3):
                talk.send(b"\r\n" * 30)
            assert talk.answer()[0] == 400
            assert talk.end() == b""


@PATHS
@pytest.mark.parametrize("length", [b"100001", b"9999999999999999999"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_comes(
    server: Running, path: str, length: bytes
) -> None:
    with server.connect() as talk:
        talk.send(request(b"", path=path).replace(b"Length: 0", b"Length: " + length))
        status, lines, _ = talk.answer()
        assert status == 413
        assert b"connection: close" in lines
        assert talk.end() == b""


@PATHS
def test_who_sends_all_of_a_body_that_is_too_large_hears_of_it(server: Running, path: str) -> None:
    body = b"7" * 8_000_000
    chunked = _chunked(path) + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    for data in (request(body, path=path), chunked):
        with server.connect() as talk:
            talk.send(data)
            assert talk.answer()[0] == 413
            assert talk.end() == b""


def _connections() -> int:
    return sum(isinstance(each, Connection) for each in gc.get_objects())


def _sent(talk: Talk, data: bytes, most: int) -> int:
    """How often the data could be sent before the server stopped to read, or closed."""
    for number in range(most):
        try:
            talk.send(data)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return number
    return most


def _use(talk: Talk) -> None:
    talk.send(request(b"x"))
    assert talk.answer()[2] == b"x"


def _chunked(path: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


@PATHS
def test_who_sends_nothing_more_is_still_answered(server: Running, path: str) -> None:
    with server.connect() as first, server.connect() as late, server.connect() as half:
        late.send(request(b"wait", path=path))
        late.send_no_more()
        for number in range(3):  # the first comes with an unknown head
            with server.connect() as talk:
                talk.send(request(b"x%d" % number, path=path) * 2)
                talk.send_no_more()
                assert [talk.answer()[2] for _ in range(2)] == [b"x%d" % number] * 2
                assert talk.end() == b""
        half.send(request(b"half", path=path)[:-1])
        half.send_no_more()
        assert half.end() == b""
        assert server.front.waits.acquire(timeout=WAIT_S)
        server.let_answer()
        assert late.answer()[2] == b"wait"
        assert late.end() == b""
        first.send(request(b"on", path=path))
        assert first.answer()[2] == b"on"


def test_what_nobody_waits_for_is_read_in_rounds_that_are_apart() -> None:
    """Rounds that follow each other at once would leave others half of a processor only."""

    async def given() -> list[float]:
        loop = asyncio.get_running_loop()
        turns = Turns(2, every_s=0.01)
        times: list[float] = []
        done = asyncio.Event()
        for _ in range(5):
            turns.add(lambda: times.append(loop.time()), loop)
        turns.add(done.set, loop)
        assert times == []
        await done.wait()
        return times

    times = asyncio.run(given())
    rounds = (times[1:3], times[3:])
    assert all(later - earlier >= 0.009 for earlier, later in rounds)


def test_what_need_not_be_done_any_more_is_not_waited_for() -> None:
    async def given() -> list[int]:
        loop = asyncio.get_running_loop()
        turns = Turns(8)
        done: list[int] = []
        steps = [partial(done.append, number) for number in range(4)]
        for step in steps:
            turns.add(step, loop)
        turns.add(lambda: turns.discard(steps[3]), loop)
        turns.discard(steps[3])
        turns.discard(steps[1])
        turns.add(steps[3], loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return done

    assert asyncio.run(given()) == [0, 2]


def test_refused_clients_that_go_on_do_not_keep_others_from_hearing_of_their_refusal(server: Running) -> None:
    with ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in range(40)]
        for talk in talks:
            talk.send(b"POST /" + b"a" * 100_000)
        for talk in talks:
            assert talk.answer()[0] == 414
            assert talk.end() == b""


def test_connections_that_are_over_leave_nothing_for_the_garbage_collector(server: Running) -> None:
    """It comes late where nothing goes on: what an attack had left would stay."""
    gc.collect()
    gc.disable()
    try:
        for data in (request(b"x"), request(b"x", path="/elsewhere"), b"nonsense\r\n\r\n", b"POST /hot HTT"):
            with server.connect() as talk:
                talk.send(data)
                talk.send_no_more()
                talk.end()
        with server.connect() as talk:
            talk.send(_chunked("/elsewhere"))
        end_s = time.monotonic() + WAIT_S
        while _connections() > 1 and time.monotonic() < end_s:
            with server.connect() as talk:  # the loop has a turn
                talk.send(request(b"x"))
                talk.answer()
        assert _connections() <= 1
    finally:
        gc.enable()


def test_all_of_many_refused_clients_that_send_everything_first_hear_of_it(server: Running) -> None:
    """Their turns come later than one of them may linger by itself: that time runs once it has its turn."""
    body = b"a" * (LIMIT_BYTES + 1)
    with ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in range(150)]
        for talk in talks:
            talk.send(b"POST /elsewhere HTTP/1.1\r\nHost: h\r\nContent-Length: 6000000\r\n\r\n" + body)
        for talk in talks:
            assert talk.answer()[0] == 413
            talk.send_no_more()
            assert talk.end() == b""
