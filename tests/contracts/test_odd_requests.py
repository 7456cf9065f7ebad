"""Each odd request gets the same bytes by the fast path and by ASGI, however it is cut on its way."""

import random
import re
from collections.abc import Iterator

import pytest

from tests.contracts.http_server import Running
from tests.contracts.odd_requests import Odd, table

_ODD = table()
_VARYING = re.compile(rb"date: [^\r]*GMT")


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    with Running(fast=True) as fast, Running(fast=False) as slow:
        yield fast, slow


def test_there_are_enough_of_them() -> None:
    assert len(_ODD) >= 300


@pytest.mark.parametrize("odd", _ODD, ids=lambda odd: odd.name)
def test_an_odd_request_gets_its_status_both_ways_however_it_is_cut(
    both: tuple[Running, Running], odd: Odd
) -> None:
    chance = random.Random(odd.name)
    cuts = sorted(chance.randrange(len(odd.stream)) for _ in range(3))
    found = [
        _VARYING.sub(b"date: now", _talk(server, odd.stream, parts))
        for server in both
        for parts in ([], cuts)
    ]
    statuses = tuple(int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", found[0]))
    assert statuses == odd.statuses
    assert len(set(found)) == 1
    assert b"connection: close\r\n" in found[0]


def _talk(server: Running, stream: bytes, cuts: list[int]) -> bytes:
    """All that the server says until it closes; a client that is refused may be unable to send more."""
    with server.connect() as talk:
        try:
            for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                talk.send(stream[begin:end])
        except (BrokenPipeError, ConnectionResetError):
            pass
        return talk.end()
