"""Odd heads that are close to a known one get the same bytes as from a server that knows none."""

import re
from collections.abc import Iterator

import pytest

from tests.contracts.http_server import HOT, Running
from tests.contracts.odd_heads import KEY, VARYING, OddHead, signed, table

_ODD = table()
_DATED = re.compile(rb"date: [^\r]*GMT")
_LAST = f"POST {HOT} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast".encode()


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    with Running(fast=True) as fast, Running(fast=False) as slow:
        yield fast, slow


def test_there_are_enough_of_them() -> None:
    assert len(_ODD) >= 300


@pytest.mark.parametrize("odd", _ODD, ids=lambda odd: odd.name)
def test_an_odd_head_is_answered_as_if_none_was_known(both: tuple[Running, Running], odd: OddHead) -> None:
    fast, slow = both
    end = odd.data.find(b"\r\n\r\n") + 4
    in_head, behind = (odd.data[:300], odd.data[300:] + _LAST), (odd.data[:end], odd.data[end:] + _LAST)
    pieces = (odd.data, _LAST), (odd.data + _LAST,), in_head, behind
    told = _talk(slow, pieces[0])
    assert b"connection: close\r\n" in told
    assert [_talk(fast, parts) for parts in pieces] == [told] * len(pieces)


def _talk(server: Running, parts: tuple[bytes, ...]) -> bytes:
    """All that the server says until it closes, to whom it knows the usual head from."""
    with server.connect() as talk:
        talk.send(signed())
        talk.answer()
        try:
            for part in parts:
                talk.send(part)
        except (BrokenPipeError, ConnectionResetError):  # it was refused, and the rest could not be sent
            pass
        return _DATED.sub(b"date: now", talk.end())


@pytest.mark.parametrize("at", range(len(VARYING)), ids=lambda at: VARYING[at].partition(b":")[0].decode())
def test_what_varies_from_call_to_call_is_no_part_of_what_is_known(at: int) -> None:
    """Else the odd heads above are compared with nothing."""
    with Running(fast=True) as server, server.connect() as talk:
        talk.send(signed())
        talk.answer()
        name, _, value = VARYING[at].partition(b": ")
        digits = bytes.maketrans(b"0123456789", b"1032547698")
        body = b"7" * (int(value.translate(digits)) if name == b"Content-Length" else 15)
        told = value if KEY in value else value.translate(digits)
        told = told.replace(b"Signature=0123", b"Signature=3210").replace(b"attempt=0", b"attempt=2; max=5")
        talk.send(signed((*VARYING[:at], name + b": " + told, *VARYING[at + 1 :]), body))
        assert talk.answer()[2] == body
        assert told != value
        assert len(server.front.prepared) == 1
