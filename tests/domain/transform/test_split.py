"""Records out of streams: nothing is lost or invented, whatever the chunks."""

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.transform.split import (
    SPLITTERS,
    masked_crc,
    payload,
    split_lines,
    split_record_io,
    split_tf_record,
)
from service.errors import RecordError

MAGIC = struct.pack("<I", 0xCED7230A)


def record_io(data: bytes, flag: int = 0) -> bytes:
    return MAGIC + struct.pack("<I", flag << 29 | len(data)) + data + b"\0" * (-len(data) % 4)


def tf_record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def line(data: bytes) -> bytes:
    return data.replace(b"\n", b"") + b"\n"


FRAMES: dict[str, Callable[[bytes], bytes]] = {"Line": line, "RecordIO": record_io, "TFRecord": tf_record}
kinds = st.sampled_from(sorted(FRAMES))


def in_chunks(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The stream, cut at these places, with empty chunks where places repeat."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        yield stream[start:end]


@given(kinds, st.lists(st.binary(max_size=40), max_size=12), st.lists(st.integers(0, 10_000), max_size=20))
def test_records_are_what_was_put_in_at_any_chunking(kind: str, datas: list[bytes], cuts: list[int]) -> None:
    frames = [FRAMES[kind](data) for data in datas]

    found = list(SPLITTERS[kind](in_chunks(b"".join(frames), cuts), 0))

    assert found == frames
    if kind != "Line":
        assert [payload(record, kind) for record in found] == datas


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=20))
def test_lines_of_any_bytes_add_up_to_these_bytes(stream: bytes, cuts: list[int]) -> None:
    lines = list(split_lines(in_chunks(stream, cuts), 0))

    assert b"".join(lines) == stream
    assert all(each.count(b"\n") == 1 and each.endswith(b"\n") for each in lines[:-1])
    assert not lines or lines[-1].count(b"\n") <= 1


def test_the_last_line_need_not_end_in_a_newline() -> None:
    assert list(split_lines([b"1\n2"], 0)) == [b"1\n", b"2"]
    assert list(split_lines([b"1\n2\n"], 0)) == [b"1\n", b"2\n"]
    assert list(split_lines([b"1\n\n2\n"], 0)) == [b"1\n", b"\n", b"2\n"]
    assert list(split_lines([], 0)) == []


def test_a_line_is_sent_alone_without_its_newline() -> None:
    assert payload(b"1,2\r\n", "Line") == payload(b"1,2\n", "Line") == payload(b"1,2", "Line") == b"1,2"


@pytest.mark.provenance("documented")
def test_a_single_binary_record_loses_header_and_padding() -> None:
    assert payload(record_io(b"abcde"), "RecordIO") == b"abcde"
    assert payload(tf_record(b"abcde"), "TFRecord") == b"abcde"
    assert payload(b"as it is\n", "None") == b"as it is\n"


def test_a_record_in_several_frames_is_one_record() -> None:
    stream = record_io(b"ab", 1) + record_io(b"c", 2) + record_io(b"de", 3) + record_io(b"next")

    parts, following = split_record_io([stream], 0)

    assert payload(parts, "RecordIO") == b"ab" + MAGIC + b"c" + MAGIC + b"de"
    assert payload(following, "RecordIO") == b"next"


def test_the_checksum_is_the_one_that_tensorflow_writes() -> None:
    # The CRC-32C of "123456789" is 0xE3069283 (RFC 3720); masked by rotation and a constant.
    crc = 0xE3069283
    assert masked_crc(b"123456789") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize("kind", sorted(FRAMES))
def test_a_record_over_the_limit_is_named_by_its_number(kind: str) -> None:
    frames = [FRAMES[kind](data) for data in (b"12", b"1234", b"x" * 100, b"1")]
    limit = len(frames[1])

    with pytest.raises(RecordError, match="over MaxPayloadInMB") as caught:
        list(SPLITTERS[kind]([b"".join(frames)], limit))

    assert caught.value.number == 3


def test_an_endless_line_is_refused_before_memory_is_spent() -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b"x" * 1000

    with pytest.raises(RecordError):
        list(split_lines(endless(), 5000))
    assert len(taken) == 6


@pytest.mark.parametrize(
    ("splitter", "stream", "number", "reason"),
    [
        (split_record_io, record_io(b"a") + b"1,2,3,4\n", 2, "no RecordIO frame"),
        (split_record_io, record_io(b"abcdefgh")[:-3], 1, "cut off"),
        (split_record_io, record_io(b"a") + MAGIC[:2], 2, "cut off"),
        (split_record_io, record_io(b"a", 2), 1, "other parts are missing"),
        (split_record_io, record_io(b"a", 1) + record_io(b"b"), 1, "other parts are missing"),
        (split_tf_record, tf_record(b"a") + b"5.1,3.5,1.4,0.2\n", 2, "no TFRecord"),
        (split_tf_record, tf_record(b"abcdefgh")[:-3], 1, "cut off"),
    ],
)
def test_a_damaged_stream_is_refused_at_its_record(
    splitter: Callable[[list[bytes], int], Iterator[bytes]], stream: bytes, number: int, reason: str
) -> None:
    with pytest.raises(RecordError, match=reason) as caught:
        list(splitter([stream], 0))

    assert caught.value.number == number
