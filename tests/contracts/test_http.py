"""HTTP as clients see it, the same whether the fast path answers or ASGI does."""

from collections.abc import Iterator

import pytest

from tests.contracts.http_server import LIMIT_BYTES, WAIT_S, Running, request

SLOW = pytest.mark.parametrize("slow", [b"wait", b"promise"])
BOTH = pytest.mark.parametrize("fast", [True, False], ids=["fast", "asgi"])


@pytest.fixture(params=[True, False], ids=["fast", "asgi"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with Running(request.param) as running:
        yield running


def test_the_fast_path_answers_hot_requests_and_only_when_it_is_on(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"a"))
        talk.answer()
    assert server.front.answered_now == ([b"a"] if server.fast else [])


def test_an_answer_is_these_bytes(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"hello"))
        assert talk.answer() == (
            200,
            b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-type: text/plain\r\nx-length: 5\r\ncontent-length: 5",
            b"hello",
        )


def test_an_answer_without_content_has_no_length(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"nothing") + request(b"next"))
        head = b"HTTP/1.1 204 No Content\r\ndate: now\r\ncontent-type: text/plain\r\nx-length: 7"
        assert talk.answer() == (204, head, b"")
        assert talk.answer()[2] == b"next"


def test_a_whole_answer_comes_in_one_piece(server: Running) -> None:
    with server.connect() as talk:
        for _ in range(5):
            talk.send(request(b"hello"))
            piece = talk.piece()
            assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
            assert piece.endswith(b"\r\n\r\nhello")


def test_a_connection_is_kept_for_many_requests(server: Running) -> None:
    with server.connect() as talk:
        for number in range(50):
            talk.send(request(b"%d" % number))
            assert talk.answer()[2] == b"%d" % number


def test_a_request_may_come_byte_by_byte(server: Running) -> None:
    with server.connect() as talk:
        for byte in request(b"slowly", b"X-Header: value"):
            talk.send(bytes([byte]))
        assert talk.answer()[2] == b"slowly"


def test_a_body_may_come_after_its_head(server: Running) -> None:
    whole = request(b"later")
    with server.connect() as talk, server.connect() as other:
        talk.send(whole[:-5])
        other.send(request(b"meanwhile"))
        assert other.answer()[2] == b"meanwhile"
        talk.send(whole[-5:])
        assert talk.answer()[2] == b"later"


def test_an_empty_body_and_none_are_answered(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"") + b"POST /hot HTTP/1.1\r\nHost: h\r\n\r\n")
        assert [talk.answer()[0] for _ in range(2)] == [200, 200]


def test_pipelined_requests_are_answered_in_order(server: Running) -> None:
    bodies = [b"%d" % number for number in range(200)]
    with server.connect() as talk:
        talk.send(b"".join(request(body) for body in bodies))
        assert [talk.answer()[2] for _ in bodies] == bodies


@SLOW
def test_a_hot_request_waits_behind_a_slow_one_of_its_connection(server: Running, slow: bytes) -> None:
    with server.connect() as talk, server.connect() as other:
        talk.send(request(slow) + request(b"quick") + request(b"else", path="/elsewhere") + request(b"last"))
        assert server.front.waits.acquire(timeout=WAIT_S)
        other.send(request(b"other"))
        assert other.answer()[2] == b"other"
        server.let_answer()
        assert [talk.answer()[2] for _ in range(4)] == [slow, b"quick", b"else", b"last"]
        talk.send(request(slow))
        assert talk.answer()[2] == slow


def test_what_comes_while_a_promise_is_open_waits_and_is_not_read_without_end(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"promise"))
        assert server.front.waits.acquire(timeout=WAIT_S)
        bodies = [b"%d" % number for number in range(100)]
        talk.send(b"".join(map(request, bodies)))
        server.let_answer()
        assert [talk.answer()[2] for _ in range(101)] == [b"promise", *bodies]


@pytest.mark.parametrize("known", [False, True])
def test_who_sends_no_more_still_hears_what_was_promised(server: Running, known: bool) -> None:
    with server.connect() as talk:
        if known:
            talk.send(request(b"7 bytes"))
            talk.answer()
        talk.send(request(b"promise"))
        talk.send_no_more()
        server.let_answer()
        status, _, body = talk.answer()
        assert (status, body) == (200, b"promise")
        assert talk.end() == b""


def test_a_promise_that_a_bug_breaks_is_told_and_the_connection_closed() -> None:
    with Running(fast=True) as server, server.connect() as talk:
        talk.send(request(b"promise nothing"))
        server.let_answer()
        status, head, body = talk.answer()
        assert (status, body) == (500, b"Internal Server Error")
        assert b"\r\nconnection: close" in head
        assert talk.end() == b""


def test_hot_requests_and_others_take_turns_on_one_connection(server: Running) -> None:
    paths = ["/hot", "/elsewhere", "/hot", "/hot?query", "/hot%20", "/hot", "/elsewhere", "/hot"]
    with server.connect() as talk:
        talk.send(b"".join(request(path.encode(), path=path) for path in paths))
        assert [talk.answer()[2].decode() for _ in paths] == paths
        for path in paths:
            talk.send(request(path.encode(), path=path))
            assert talk.answer()[2].decode() == path


def test_a_client_that_asks_first_is_told_to_go_on(server: Running) -> None:
    whole = request(b"body", b"Expect: 100-continue")
    with server.connect() as talk:
        talk.send(whole[:-4])
        assert talk.answer()[0] == 100
        talk.send(whole[-4:])
        assert talk.answer()[2] == b"body"
        talk.send(request(b"again"))
        assert talk.answer()[2] == b"again"


def test_a_chunked_body_is_read(server: Running) -> None:
    head = b"POST /hot HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect() as talk:
        talk.send(head + b"3\r\nabc\r\n")
        talk.send(b"2\r\nde\r\n0\r\n\r\n" + request(b"next"))
        assert talk.answer()[2] == b"abcde"
        assert talk.answer()[2] == b"next"


def test_a_client_that_wants_the_connection_closed_gets_that(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"bye", b"Connection: close") + request(b"too late"))
        status, head, body = talk.answer()
        assert (status, body) == (200, b"bye")
        assert head.endswith(b"content-length: 3\r\nconnection: close")
        assert talk.end() == b""


@pytest.mark.parametrize("lines", [(), (b"Connection: keep-alive",)])
def test_http_1_0_is_answered_and_closed(server: Running, lines: tuple[bytes, ...]) -> None:
    with server.connect() as talk:
        talk.send(request(b"old", *lines, version="1.0"))
        _, head, body = talk.answer()
        assert body == b"old"
        assert head.endswith(b"\r\nconnection: close")
        assert talk.end() == b""


def test_head_and_get_are_never_hot(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"", method="GET"))
        assert talk.answer()[0] == 200
        talk.send(request(b"", method="HEAD"))
        assert talk.answer()[0] == 200
    assert server.front.answered_now == []


def test_calls_from_web_pages_are_left_to_asgi_where_cross_origin_rules_are(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"x", b"Origin: http://page"))
        assert talk.answer()[2] == b"x"
    assert server.front.answered_now == []


def test_a_large_body_is_read_and_one_over_the_limit_refused(server: Running) -> None:
    with server.connect() as talk:
        for size in (65_535, 65_536, 65_537, LIMIT_BYTES):
            talk.send(request(b"7" * size))
            assert talk.answer()[2] == b"7" * size
        talk.send(request(b"7" * (LIMIT_BYTES + 1)))
        status, head, _ = talk.answer()
        assert status == 413
        assert b"connection: close" in head


def test_a_client_that_does_not_read_holds_up_nobody(server: Running) -> None:
    """Back-pressure: its answers fill the socket, then its requests stay unread."""
    body = b"7" * 60_000
    with server.connect() as talk, server.connect() as other:
        talk._connection.settimeout(0.2)
        sent = 0
        try:
            while sent < 4000:
                talk.send(request(body))
                sent += 1
        except TimeoutError:
            pass
        assert sent < 4000, "240 MB of unread answers were taken in"
        other.send(request(b"other"))
        assert other.answer()[2] == b"other"


def test_a_client_that_goes_away_disturbs_nobody(server: Running) -> None:
    whole = (request(b"wait"), request(b"promise"), request(b"12345"))
    for part in (request(b"12345")[:20], request(b"12345")[:-3], *whole):
        with server.connect() as talk:
            talk.send(part)
    server.let_answer()
    with server.connect() as talk:
        talk.send(request(b"fine"))
        assert talk.answer()[2] == b"fine"


@pytest.mark.parametrize(
    "bad", [b"nonsense\r\n\r\n", b"POST /hot HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n"]
)
def test_what_is_not_http_is_refused_and_closed(server: Running, bad: bytes) -> None:
    with server.connect() as talk:
        talk.send(request(b"fine"))
        assert talk.answer()[2] == b"fine"
        talk.send(bad)
        assert talk.answer()[0] == 400
        assert talk.end() == b""


@BOTH
@SLOW
def test_an_idle_connection_is_closed_in_time_and_a_busy_one_is_not(fast: bool, slow: bytes) -> None:
    with Running(fast, keep_alive_s=0.3) as server, server.connect() as idle, server.connect() as busy:
        for talk in (idle, busy):
            talk.send(request(b"x"))
            talk.answer()
        busy.send(request(slow))
        assert idle.end() == b""
        with server.connect() as probe:  # another such time passes
            probe.send(request(b"x"))
            probe.answer()
            assert probe.end() == b""
        server.let_answer()
        assert busy.answer()[2] == slow
        assert busy.end() == b""


@BOTH
def test_an_answer_starts_the_time_for_being_idle_anew(fast: bool) -> None:
    with (
        Running(fast, keep_alive_s=3.0) as server,
        Running(fast, keep_alive_s=0.5) as clock,
        server.connect() as talk,
    ):
        for _ in range(7):  # half seconds
            talk.send(request(b"x"))
            assert talk.answer()[2] == b"x"
            with clock.connect() as tick:
                tick.send(request(b"x"))
                tick.answer()
                assert tick.end() == b""
        assert talk.end() == b""


@BOTH
@SLOW
def test_draining_answers_close_and_what_is_in_flight_is_finished(fast: bool, slow: bytes) -> None:
    with (
        Running(fast) as server,
        server.connect() as late,
        server.connect() as partial,
        server.connect() as idle,
    ):
        whole = request(b"partial")
        idle.send(request(b"x"))
        idle.answer()
        late.send(request(slow))
        partial.send(whole[:-3])
        assert server.front.waits.acquire(timeout=WAIT_S)
        server.begin_stop()
        assert idle.end() == b""  # closed once there was time for a last request
        partial.send(whole[-3:])
        server.let_answer()
        for talk, body in ((late, slow), (partial, b"partial")):
            _, head, answer = talk.answer()
            assert answer == body
            assert b"\r\nconnection: close" in head
            assert talk.end() == b""


@BOTH
def test_a_request_on_an_open_connection_is_answered_while_draining(fast: bool) -> None:
    with Running(fast) as server, server.connect() as talk, server.connect() as holds:
        holds.send(request(b"wait"))
        assert server.front.waits.acquire(timeout=WAIT_S)
        talk.send(request(b"first"))
        assert b"close" not in talk.answer()[1]
        server.begin_stop()
        while not server.front.draining:
            pass
        talk.send(request(b"second"))
        _, head, body = talk.answer()
        assert body == b"second"
        assert b"\r\nconnection: close" in head
        assert talk.end() == b""
        server.let_answer()
