"""Rows of numbers by the kernel: what it reads, the strict reader reads the same, to the bit."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import BadPayload
from service.media import csv_quick
from service.media.csv_numbers import read_csv_block, read_csv_quickly, read_csv_with_gaps
from service.media.readers import read_csv_strictly
from tests.media.test_csv_quick import grids, tables

kernels = pytest.importorskip("service.native._kernels", reason="there was no C compiler")


def bits(number: int) -> str:
    """The double of these bits, as Python writes it."""
    return repr(struct.unpack("<d", struct.pack("<Q", number))[0])


def between(mantissa: int, shift: int, step: int) -> str:
    """A whole number just between two doubles, or next to it."""
    return str((((1 << 53) | 2 * mantissa | 1) << shift) + step)


decimals = st.builds(
    "{}{}.{}e{}".format,
    st.sampled_from(["", "-"]),
    st.integers(0, 10**20),
    st.integers(0, 10**20),
    st.integers(-330, 310),
)
hard = st.one_of(
    st.integers(0, 2**64 - 1).map(bits).filter(lambda text: "n" not in text),
    st.builds(between, st.integers(0, 2**52 - 1), st.integers(0, 11), st.integers(-1, 1)),
    st.integers(-(10**25), 10**25).map(str),
    st.tuples(st.integers(1, 40), st.integers(0, 9)).map(lambda drawn: "0." + "0" * drawn[0] + str(drawn[1])),
    decimals,
)


def strictly(body: bytes) -> Any:
    try:
        return read_csv_strictly(body)
    except BadPayload:
        return None


@given(st.one_of(tables, grids))
@example("1,2\n3")
@example("1\n2,3\n4,5,6")
@example("-0,1")
@example("1 , 2\n 3,4")
def test_what_it_reads_the_strict_reader_reads_the_same(text: str) -> None:
    body = text.encode()
    for found in (read_csv_quickly(body), read_csv_block(body + b"\n")):
        if found is not None:
            expected = strictly(body)
            assert expected is not None
            assert found.shape == expected.shape
            assert found.tobytes() == expected.tobytes()


@given(st.lists(hard, min_size=1, max_size=20))
@example(["9007199254740993", "9007199254740992.5", "1e23", "8.5e22", "5e-324", "2.2250738585072014e-308"])
@example(["1e22", "1e-22", "123456789012345678", "0.1234567890123456789", "17976931348623157e292"])
def test_numbers_are_the_nearest_doubles(cells: list[str]) -> None:
    finite = [cell for cell in cells if np.isfinite(float(cell))]
    found = read_csv_quickly(",".join([*finite, "0"]).encode())

    assert found is not None
    assert found.tolist() == [[float(cell) for cell in [*finite, "0"]]]
    for cell in set(cells) - set(finite):
        assert read_csv_quickly(cell.encode()) is None


ODD = (
    *(
        "",
        "\n",
        "1,2\n\n3,4",
        "1,2\n3",
        "1\n2,3",
        "1\n\n2",
        "1;2",
        "1,é",
        "1\0002",
        "+1",
        ".5",
        "1.",
        "01",
        "-",
        "-.5",
    ),
    *(
        "1e",
        "1e+",
        "--1",
        "0x1",
        "1_0",
        "nan",
        "inf",
        "1 2",
        "\t1",
        "1\t",
        "1\r\n2",
        "[1]",
        '"1"',
        "1e400",
        "-1e400",
    ),
    *("12345678a", "1.2345678a", "12345678.", "1.12345678e", "1,2\n3,4\n5"),
)


@pytest.mark.parametrize("text", [*ODD, ",", "1,", "1,2\n,"])
def test_what_is_not_plain_is_left_to_the_strict_reader(text: str) -> None:
    assert read_csv_quickly(text.encode()) is None
    if text in ODD:
        assert read_csv_with_gaps(text.encode()) is None


@given(st.one_of(tables, grids), st.integers(0, 5))
def test_gaps_are_read_as_numpy_reads_them(text: str, place: int) -> None:
    cells = text.split(",")
    cells[place % len(cells)] = ""
    body = ",".join(cells).encode()
    found, expected = read_csv_with_gaps(body), csv_quick.read_csv_with_gaps(body)
    if found is not None and expected is not None:
        np.testing.assert_array_equal(found, expected)
    if expected is not None and b"8e-21" not in body:
        assert found is not None


@pytest.mark.parametrize("size", range(1, 40))
def test_digits_are_read_to_the_last_byte_of_a_body_and_not_beyond(size: int) -> None:
    digits = ("1234567890" * 4)[:size]
    for text in (digits, f"0.{digits}", f"-{digits}.{digits}", f"{digits}e-{size}"):
        body = f"{text}99999999".encode()
        found = kernels.read_rows(memoryview(body)[: len(text)])
        assert found is not None
        assert np.frombuffer(found[0]).tolist() == [float(text)]


def test_rows_may_be_written_to() -> None:
    for rows in (read_csv_quickly(b"1,2"), read_csv_block(b"1,2\n"), read_csv_with_gaps(b"1,")):
        assert rows is not None
        rows[0, 0] = 7


def test_a_few_rows_of_many_separators_take_no_room_for_what_cannot_be_there() -> None:
    body = b"," * 200_000 + b"\n" * 200_000  # 40,000,000,000 cells, if all rows were as wide as the first one
    assert kernels.read_rows(body, True) is None


def test_only_bytes_are_read() -> None:
    for wrong in ("1,2", None, 7):
        with pytest.raises(TypeError):
            kernels.read_rows(wrong)
    with pytest.raises(ValueError, match="2 words are not those of 131 powers"):
        kernels.know_powers([1, 2])
