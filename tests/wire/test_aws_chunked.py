"""AWS's own chunks, however they are cut on their way."""

import pytest

from service.wire.aws_chunked import AwsChunked

_BODY = (
    b"4;chunk-signature=0\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\nX-Other: a\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_what_is_in_the_chunks_is_found_however_they_come(size: int) -> None:
    chunks, found = AwsChunked(), b""
    for at in range(0, len(_BODY), size):
        assert not chunks.is_whole
        found += b"".join(chunks.take(_BODY[at : at + size]))
    assert found == b"123456789"
    assert chunks.is_whole
    assert chunks.trailers == {"x-amz-checksum-crc32": "y/Q5Jg==", "x-other": "a"}


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"4\r\n1234xx",
        b"0\r\nno header\r\n",
        b"0\r\n\r\nmore",
        b"1" * 2000,
        b"0\r\n" + b"".join(b"a%d:b\r\n" % number for number in range(20)),
    ],
)
def test_what_is_no_such_body_is_refused(body: bytes) -> None:
    chunks = AwsChunked()
    with pytest.raises(ValueError, match=r"."):
        chunks.take(body)


def test_a_body_that_ends_early_is_not_whole() -> None:
    chunks = AwsChunked()
    chunks.take(_BODY[:-2])
    assert not chunks.is_whole
