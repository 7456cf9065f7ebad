"""JSON that is full of numbers: read as any other, within limits."""

import json
from typing import Any

import numpy as np
import pytest

from service.hosting.runtimes.number_json import NotJson, read_number_json


@pytest.mark.parametrize(
    "value",
    [None, True, 7, -1.5, "word", {}, {"a": {"b": [{"c": 1}, "d"]}}, [True, None], ["a", ["b"]], [{}]],
)
def test_each_kind_of_value_is_read(value: Any) -> None:
    assert read_number_json(json.dumps(value).encode()) == value


def test_numbers_are_an_array() -> None:
    found = read_number_json(b'{"a":[1,-2,0.1],"b":[]}')
    np.testing.assert_array_equal(found["a"], [1, -2, 0.1])
    assert len(found["b"]) == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EMPTY"),
        (b"{", "ValueError"),
        (b"[NaN]", "ValueError"),
        (b'{"a":"\xff"}', "UnicodeDecodeError"),
        (b"[123456789012345678901234567890]", "RuntimeError"),
        (b'["a",' * 100 + b"1" + b"]" * 100, "nested too deeply"),
        (b"[%b0]" % (b"true," * 20_000), "too many values"),
        (b"{%b}" % b",".join(b'"%d":1' % number for number in range(1001)), "too many names"),
    ],
)
def test_what_is_no_json_or_too_much_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(NotJson, match=reason):
        read_number_json(data)
