"""A connection fed bytes as sockets cut them, over a transport that only remembers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.load.connection import ClientConnection, Response

_BODY = b'{"Message": "no"}'
_SIZED = (
    b"HTTP/1.1 424 Failed Dependency\r\nx-amzn-errortype: ModelError\r\n"
    b"X-Amzn-Invoked-Production-Variant: forest\r\ncontent-length: 17\r\n\r\n" + _BODY
)
_CHUNKED = (
    b"HTTP/1.1 424 Failed Dependency\r\nX-AMZN-ErrorType: ModelError\r\nTransfer-Encoding: chunked\r\n"
    b"x-amzn-Invoked-Production-Variant: forest\r\n\r\n7\r\n"
    + _BODY[:7]
    + b"\r\na\r\n"
    + _BODY[7:]
    + b"\r\n0\r\n\r\n"
)
_WHOLE = Response(424, "forest", "ModelError", _BODY)


class _Wire(asyncio.Transport):
    """What the connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.sent += data

    def abort(self) -> None:
        self.aborted = True


class _Diary:
    """An owner that writes down what it is told."""

    def __init__(self, kept_bytes: int = 16_384) -> None:
        self.answers: list[Response] = []
        self.reasons: list[str] = []
        self.wire = _Wire()
        self.connection = ClientConnection(self, kept_bytes)
        self.connection.connection_made(self.wire)

    def answered(self, connection: ClientConnection, answer: Response) -> None:
        assert connection is self.connection
        assert not connection.waits
        self.answers.append(answer)

    def lost(self, connection: ClientConnection, reason: str) -> None:
        assert connection.closing
        self.reasons.append(reason)


@given(st.sampled_from([_SIZED, _CHUNKED, b"HTTP/1.1 100 Continue\r\n\r\n" + _SIZED]), st.data())
def test_an_answer_is_the_same_however_it_is_cut(raw: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    diary = _Diary()
    for _ in range(2):
        diary.connection.send(b"request")
        for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
            diary.connection.data_received(raw[start:end])

    assert diary.answers == [_WHOLE, _WHOLE]
    assert diary.wire.sent == b"requestrequest"
    assert not diary.connection.closing


def test_a_body_without_length_ends_with_the_connection() -> None:
    diary = _Diary()
    diary.connection.send(b"")
    diary.connection.data_received(b"HTTP/1.1 200 OK\r\n\r\n[0]")
    diary.connection.connection_lost(None)

    assert diary.answers == [Response(200, "", "", b"[0]")]
    assert len(diary.reasons) == 1


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nConn", _SIZED[:-1], _CHUNKED[:-1]])
def test_half_an_answer_is_none(raw: bytes) -> None:
    diary = _Diary()
    diary.connection.send(b"")
    diary.connection.data_received(raw) if raw else None
    diary.connection.connection_lost(None)

    assert diary.answers == []
    assert diary.connection.waits
    assert diary.reasons == ["the server closed the connection"]


def test_a_server_that_will_close_says_so() -> None:
    diary = _Diary()
    diary.connection.send(b"")
    diary.connection.data_received(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    assert diary.answers == [Response(200, "", "", b"")]
    assert diary.connection.closing


@pytest.mark.parametrize("raw", [b"SSH-2.0-OpenSSH\r\n", _SIZED + _SIZED])
def test_what_nobody_asked_for_ends_the_connection(raw: bytes) -> None:
    diary = _Diary()
    diary.connection.send(b"")
    diary.connection.data_received(raw)
    diary.connection.connection_lost(ConnectionResetError())

    assert diary.wire.aborted
    assert diary.answers == []
    assert "answer" in diary.reasons[0]


def test_only_the_beginning_of_a_long_body_is_kept() -> None:
    diary = _Diary(kept_bytes=10)
    diary.connection.send(b"")
    diary.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000)
    diary.connection.data_received(b"x" * 50_000)

    assert diary.answers == [Response(200, "", "", b"x" * 10)]
