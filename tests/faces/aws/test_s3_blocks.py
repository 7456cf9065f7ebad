"""Bodies of objects on their way to a thread: how much of one is held at once."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from service.control.s3.context import S3Output
from service.faces.aws.s3 import S3Face
from service.wire.aws_chunked import AwsChunked

_MIB = 1 << 20


class _Receiving:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def finish(self, trailers: Mapping[str, str]) -> S3Output:
        raise AssertionError("not asked for")

    def abandon(self) -> None:
        raise AssertionError("not asked for")


class _Fed(NamedTuple):
    written: list[bytes]
    most_held: int
    """Bytes of messages that had come and were not written when the next one was asked for."""


def _fed(messages: list[bytes], chunks: AwsChunked | None = None, transfers: int = 1) -> _Fed:
    """A body in these messages, beside so many transfers."""
    face: Any = S3Face(None, None, None)  # type: ignore[arg-type]  # of which nothing is asked here
    face._transfers = transfers
    receiving, left = _Receiving(), list(messages)
    come, most_held = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal come, most_held
        most_held = max(most_held, come - sum(map(len, receiving.written)))
        body = left.pop(0)
        come += len(body)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    asyncio.run(face._feed(receiving, chunks, receive))
    return _Fed(receiving.written, most_held)


@pytest.mark.parametrize(("transfers", "most"), [(1, 2 * _MIB), (16, 2 * _MIB), (17, _MIB // 4)])
def test_many_transfers_hold_less_each(transfers: int, most: int) -> None:
    messages = [bytes([number % 256]) * 250_000 for number in range(40)]

    fed = _fed(messages, transfers=transfers)

    assert fed.written == messages
    assert most // 2 < fed.most_held <= most


def test_tiny_chunks_are_written_before_they_are_very_many() -> None:
    message = b"1\r\nx\r\n" * 1000
    fed = _fed([*[message] * 20, b"0\r\n\r\n"], AwsChunked())

    assert b"".join(fed.written) == b"x" * 20_000
    assert [len(part) for part in fed.written] == [5000] * 4  # joined: a write of each would be slow
