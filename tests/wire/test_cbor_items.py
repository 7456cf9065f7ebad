"""CBOR values: what is written is read again, and what is none is refused without spending memory on it."""

import struct

import pytest

from service.wire import cbor_items as cbor


@pytest.mark.parametrize(
    "number", [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32, 2**63, -1, -24, -25, -(2**33)]
)
def test_whole_numbers_come_back(number: int) -> None:
    assert cbor.read_item(cbor.write_integer(number)) == number


@pytest.mark.parametrize("text", ["", "a", "ü" * 30, "x" * 300])
def test_texts_bytes_lists_and_maps_come_back(text: str) -> None:
    data = text.encode()
    written = cbor.write_map({"t": cbor.write_text(text), "l": cbor.write_list([cbor.write_bytes(data)])})
    assert cbor.read_item(written) == {"t": text, "l": [data]}


# Source: RFC 8949, appendix A.
@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("f90000", 0.0),
        ("f93c00", 1.0),
        ("fa47c35000", 100_000.0),
        ("fb3ff199999999999a", 1.1),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("c11a514b67b0", 1_363_896_240),
        ("c1fb41d452d9ec200000", 1_363_896_240.5),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9fff", []),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("1bffffffffffffffff", 2**64 - 1),
    ],
)
def test_each_form_of_a_value_is_read(data: str, value: object) -> None:
    assert cbor.read_item(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "data",
    [
        "",
        "18",
        "1c",  # a length of no known form
        "0000",  # two values
        "f7f7",
        "f818",  # a simple value
        "6161ff",
        "61ff",  # no UTF-8
        "a1616101616102",  # more behind it
        "a2616101616102",  # a name twice
        "a10102",  # a key that is no text
        "5f6161ff",  # a part of another kind
        "5f5fffff",
        "ff",
        "9b7fffffffffffffff",  # so many, and none of them there
        "7b7fffffffffffffff61",
        "81" * 40 + "00",  # too deep
        "c1" * 40 + "00",
    ],
)
def test_what_is_no_value_is_refused(data: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what is wrong with it is for people
        cbor.read_item(bytes.fromhex(data))


def test_floats_come_back_whatever_they_are() -> None:
    assert struct.pack(">d", cbor.read_item(cbor.write_float(0.1))) == struct.pack(">d", 0.1)
    assert cbor.read_item(cbor.write_time(1.5)) == 1.5
