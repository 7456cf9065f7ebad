"""Lists of whole numbers of one digit as JSON, as most labels are: many lists in one pass."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_INT64: Final = np.dtype(np.int64)
# Each with what stands before it, all equally long, so that a part of a list is a part of its bytes.
_WRITTEN: Final = np.array([b", %d" % digit for digit in range(10)])
_BYTES: Final = _WRITTEN.itemsize
_BEFORE: Final = len(b", ")


def write_digits(numbers: npt.NDArray[Any], spans: Iterable[tuple[int, int]]) -> list[bytes] | None:
    """For each span of numbers, from its start to before its end, the list that it is.

    Spans hold at least one number. None if numbers are not int64 (n,), or some has more than a digit.
    """
    if numbers.dtype != _INT64 or numbers.ndim != 1:
        return None
    if b"\xff" in numbers.tobytes():  # as in every small negative number, which would be counted from the end
        return None
    try:
        written = _WRITTEN.take(numbers).tobytes()
    except IndexError:
        return None
    return [b"[%b]" % written[_BYTES * start + _BEFORE : _BYTES * end] for start, end in spans]
