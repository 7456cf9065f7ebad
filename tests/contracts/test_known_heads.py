"""Requests whose head came before, bytes for bytes, are answered without a parser; clients never notice."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.http_server import WAIT_S, Running, request

_MANY = 1500  # more heads than are remembered


@pytest.fixture
def server() -> Iterator[Running]:
    with Running(fast=True) as running:
        yield running


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    with Running(fast=True) as fast, Running(fast=False) as slow:
        yield fast, slow


def test_the_same_head_is_prepared_once_for_all_connections(server: Running) -> None:
    for bodies in ((b"abc", b"def"), (b"ghi", b"reply", b"jkl")):
        with server.connect() as talk:
            for body in bodies:
                talk.send(request(body))
                assert talk.answer()[2] == body
    assert len(server.front.prepared) == 1  # of three bytes and of five


def test_what_is_remembered_of_a_head_is_good_for_one_epoch(server: Running) -> None:
    with server.connect() as talk:
        for prepared in (1, 2, 3):
            for body in (b"abc", b"def"):
                talk.send(request(body))
                assert talk.answer()[2] == body
            assert len(server.front.prepared) == prepared
            server.move_epoch()


def test_the_answer_is_the_same_as_the_first(server: Running) -> None:
    with server.connect() as talk:
        answers = []
        for body in (b"hello", b"hello", b"reply", b"reply"):
            talk.send(request(body))
            answers.append(talk.answer()[:2])
    assert all(one == other for one, other in pairwise(answers))


@pytest.mark.parametrize("lines", [(b"Connection: close",), (b"X-Long: " + b"7" * 5000,)])
def test_some_heads_are_not_worth_remembering(server: Running, lines: tuple[bytes, ...]) -> None:
    for _ in range(2):
        with server.connect() as talk:
            talk.send(request(b"a", *lines))
            assert talk.answer()[2] == b"a"
    assert len(server.front.prepared) == 2


def test_whoever_asks_with_a_credential_of_his_own_has_a_head_of_his_own(server: Running) -> None:
    with server.connect() as talk:
        for prepared, credential in ((1, b"x"), (2, b"y"), (2, b"x"), (2, b"y")):
            talk.send(request(b"a", b"Authorization: " + credential))
            assert talk.answer()[2] == b"a"
            assert len(server.front.prepared) == prepared
            assert server.front.prepared[-1][-1][1] == (b"x" if prepared == 1 else b"y")


def test_no_more_heads_are_remembered_than_fit(server: Running) -> None:
    with server.connect() as talk:
        for number in range(_MANY):
            talk.send(request(b"a", b"X-Number: %d" % number))
            assert talk.answer()[2] == b"a"
        known = len(server.front.prepared)
        talk.send(request(b"b", b"X-Number: 0"))  # forgotten
        assert talk.answer()[2] == b"b"
    assert known == _MANY
    assert len(server.front.prepared) == _MANY + 1


def test_a_known_head_may_come_in_parts_or_with_others_behind_it(server: Running) -> None:
    whole = request(b"abc")
    with server.connect() as talk:
        for parts in (
            (whole,),
            (whole[:10], whole[10:]),
            (whole[:-1], whole[-1:]),
            (whole + whole[:9], whole[9:]),
        ):
            for part in parts:
                talk.send(part)
            assert talk.answer()[2] == b"abc"
        assert talk.answer()[2] == b"abc"


def test_the_body_of_a_known_head_may_come_behind_it_as_that_of_boto3_does(server: Running) -> None:
    whole = request(b"abc")
    with server.connect() as talk, server.connect() as other:
        talk.send(whole)
        assert talk.answer()[2] == b"abc"
        for parts in ((whole[:-3], whole[-3:]), (whole[:-2], whole[-2:]), (whole[:-3], whole[-3:] + whole)):
            for part in parts:
                talk.send(part)
                other.send(whole)  # by then the part is taken up
                assert other.answer()[2] == b"abc"
            assert talk.answer()[2] == b"abc"
        assert talk.answer()[2] == b"abc"
    assert len(server.front.prepared) == 1


def test_a_known_head_is_judged_anew_if_the_epoch_moves_before_its_body_comes(server: Running) -> None:
    whole = request(b"abc")
    with server.connect() as talk:
        talk.send(whole)
        assert talk.answer()[2] == b"abc"
        talk.send(whole[:-3])
        server.move_epoch()
        talk.send(b"new")
        assert talk.answer()[2] == b"new"
    assert b"new" not in server.front.answered_now or len(server.front.prepared) == 2


def test_a_known_head_whose_body_is_late_is_answered_by_a_server_that_stops(server: Running) -> None:
    whole = request(b"abc")
    with server.connect() as talk, server.connect() as holds:
        talk.send(whole)
        assert talk.answer()[2] == b"abc"
        holds.send(request(b"wait"))
        talk.send(whole[:-3])
        assert server.front.waits.acquire(timeout=WAIT_S)
        server.begin_stop()
        while not server.front.draining:
            pass
        talk.send(whole[-3:])
        _, head, body = talk.answer()
        assert body == b"abc"
        assert b"\r\nconnection: close" in head
        assert talk.end() == b""
        server.let_answer()


def test_a_known_head_behind_a_slow_answer_waits_for_it(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"fast"))
        assert talk.answer()[2] == b"fast"
        talk.send(request(b"wait"))  # the head is known, its answer takes time
        assert server.front.waits.acquire(timeout=WAIT_S)
        talk.send(request(b"next"))
        server.let_answer()
        assert [talk.answer()[2] for _ in range(2)] == [b"wait", b"next"]
        talk.send(request(b"fast"))
        assert talk.answer()[2] == b"fast"


def test_requests_of_one_round_are_answered_together_each_on_its_connection(server: Running) -> None:
    bodies = [b"one", b"two", b"reply", b"nothing", b"three"] * 3
    with ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in bodies]
        for talk, body in zip(talks, bodies, strict=True):
            talk.send(request(body))
            talk.answer()
        server.hold_up(0.5)
        for talk, body in zip(talks, bodies, strict=True):
            talk.send(request(body[::-1] if body == b"one" else body))
        found = [talk.answer()[2] for talk in talks]
    assert found == [b"eno", b"two", b"reply", b"", b"three"] * 3
    assert max(server.front.together) > 1


def test_requests_of_several_heads_in_one_round_are_answered_together(server: Running) -> None:
    lines = [b"X: %d" % (number % 3) for number in range(9)]
    with ExitStack() as stack:
        talks = [stack.enter_context(server.connect()) for _ in lines]
        for talk, line in zip(talks, lines, strict=True):
            talk.send(request(b"a", line))
            talk.answer()
        server.hold_up(0.5)
        for number, (talk, line) in enumerate(zip(talks, lines, strict=True)):
            talk.send(request(b"wait" if number == 4 else b"%d" % number, line))
        assert server.front.waits.acquire(timeout=WAIT_S)
        found = [talk.answer()[2] for number, talk in enumerate(talks) if number != 4]
        server.let_answer()
        assert talks[4].answer()[2] == b"wait"
    assert found == [b"%d" % number for number in range(9) if number != 4]
    assert max(server.front.heads) > 1


def test_a_client_that_leaves_in_its_round_disturbs_nobody(server: Running) -> None:
    with server.connect() as talk, server.connect() as alone, server.connect() as other:
        for each, line in ((talk, b"X: 1"), (alone, b"X: 2"), (other, b"X: 1")):
            each.send(request(b"a", line))
            each.answer()
        server.front.together.clear()
        server.hold_up(0.5)
        talk.send(request(b"b", b"X: 1"))
        alone.send(request(b"b", b"X: 2"))
        other.send(request(b"c", b"X: 1"))
        talk.reset()
        alone.reset()
        assert other.answer()[2] == b"c"
    assert 0 not in server.front.together


def test_a_server_that_stops_answers_the_round_first(server: Running) -> None:
    with server.connect() as talk:
        talk.send(request(b"a"))
        talk.answer()
        server.hold_up(0.3)
        talk.send(request(b"b"))
        server.begin_stop()
        assert talk.answer()[2] == b"b"
        assert talk.end() == b""


def test_an_idle_connection_is_closed_though_its_only_head_was_known() -> None:
    with Running(fast=True, keep_alive_s=0.5) as server:
        with server.connect() as talk:
            talk.send(request(b"a"))
            assert talk.answer()[2] == b"a"
        with server.connect() as talk:
            talk.send(request(b"b"))
            assert talk.answer()[2] == b"b"
            assert talk.end() == b""
        assert len(server.front.prepared) == 1


def test_a_draining_server_closes_connections_of_known_heads() -> None:
    with Running(fast=True) as server, server.connect() as talk, server.connect() as other:
        for each in (talk, other):
            each.send(request(b"a"))
            assert each.answer()[2] == b"a"
        server.front.draining = True
        talk.send(request(b"b"))
        assert talk.answer()[1].endswith(b"connection: close")
        assert talk.end() == b""


_REQUESTS = st.sampled_from(
    [
        request(b"abc"),
        request(b"def"),
        request(b"reply"),
        request(b""),
        request(b"nothing"),
        request(b"a\r\n\r\nb"),
        request(b"x", path="/elsewhere"),
        request(b"", method="GET"),
        request(b"abc", b"Authorization: x"),
        b"\r\n" + request(b"abc"),
        b"POST /hot HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_REQUESTS, min_size=1, max_size=12), st.integers(0, 2**32), st.sampled_from((0.0, 0.1, 0.6)))
def test_however_requests_are_cut_the_answers_are_those_of_asgi(
    both: tuple[Running, Running], requests: list[bytes], seed: int, cuts: float
) -> None:
    chance = random.Random(seed)
    wire = b"".join(requests)
    ends = {0, len(wire)}
    at = 0
    for one in requests:
        ends |= {at} if chance.random() < 0.8 else set()
        ends |= {at + chance.randrange(len(one))} if chance.random() < cuts else set()
        at += len(one)
    parts = [wire[start:end] for start, end in pairwise(sorted(ends))]
    found = []
    for server in both:
        with server.connect() as talk:
            for part in parts:
                talk.send(part)
            found.append([talk.answer() for _ in requests])
    assert found[0] == found[1]
