"""UBJSON as XGBoost writes it, and what is none."""

from typing import Any

import numpy as np
import pytest

from service.hosting.runtimes.ubjson import NotUbjson, read_ubjson


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"Z", None),
        (b"T", True),
        (b"F", False),
        (b"i\xff", -1),
        (b"U\xff", 255),
        (b"I\x01\x00", 256),
        (b"l\x00\x00\x00\x05", 5),
        (b"L" + bytes(7) + b"\x07", 7),
        (b"d\x3f\x80\x00\x00", 1.0),
        (b"D\xbf\xf0" + bytes(6), -1.0),
        (b"SU\x03abc", "abc"),
        (b"[]", []),
        (b"[U\x01U\x02]", [1, 2]),
        (b"[#U\x02TF", [True, False]),
        (b"[$S#U\x02U\x01aU\x01b", ["a", "b"]),
        (b"{U\x01aTU\x01b[]}", {"a": True, "b": []}),
        (b"{#U\x01U\x01aZ", {"a": None}),
        (b"{$U#U\x01U\x01a\x07", {"a": 7}),
    ],
)
def test_each_kind_of_value_is_read(data: bytes, value: Any) -> None:
    assert read_ubjson(data) == value


def test_numbers_of_one_kind_are_an_array() -> None:
    found = read_ubjson(b"[$d#U\x02\x3f\x80\x00\x00\x40\x00\x00\x00")
    np.testing.assert_array_equal(found, [1.0, 2.0])
    assert found.dtype == np.dtype(">f4")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"?",
        b"i",
        b"SU\x09abc",
        b"SSU",
        b"Si\xff",
        b"[",
        b"[T",
        b"{U\x01a",
        b"[$d#L" + b"\x7f" + bytes(7),
        b"[#L" + b"\x7f" + bytes(7) + b"T",
        b"[$UU\x01",
        b"[$Z#L\x00\x7f" + bytes(6),
        b"Sd\x7f\x80\x00\x00",
        b"[" * 100,
        b"SU\x01\xff",
        b"[#I\x75\x30" + b"Z" * 30_000,
    ],
)
def test_what_is_truncated_or_lies_about_lengths_is_refused(data: bytes) -> None:
    with pytest.raises(NotUbjson):
        read_ubjson(data)
