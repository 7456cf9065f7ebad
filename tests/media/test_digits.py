import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.media.digits import write_digits


@given(st.lists(st.lists(st.integers(-1000, 1000) | st.integers(0, 9), min_size=1), min_size=1))
def test_each_list_is_written_as_json_writes_it_alone_or_none_is(lists: list[list[int]]) -> None:
    numbers = np.array([number for each in lists for number in each])
    ends = np.cumsum([len(each) for each in lists]).tolist()
    spans = list(zip([0, *ends], ends, strict=False))

    found = write_digits(numbers, spans)

    if all(0 <= number <= 9 for number in numbers):
        assert found == [json.dumps(each).encode() for each in lists]
    else:
        assert found is None


@pytest.mark.parametrize(
    "numbers",
    [
        np.array([1], np.int32),
        np.array([1.0]),
        np.array([True]),
        np.array(["1"]),
        np.array([[1, 2]]),
        np.array([1], ">i8"),
        np.array([-(2**63)]),
        np.array([2**63 - 1]),
    ],
)
def test_anything_but_digits_is_left_to_others(numbers: np.ndarray) -> None:
    assert write_digits(numbers, [(0, 1)]) is None
