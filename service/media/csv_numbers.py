"""CSV of numbers alone to rows, by the fastest reader that is sure: the kernel, or simdjson without it.

Both answer only where there is no doubt, and then as the strict reader, which knows what to make of the rest.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from service.media import csv_quick
from service.native import kernels

_NEWLINE: Final = 10
_read_rows = kernels.read_rows if kernels is not None else None


def read_csv_quickly(body: bytes) -> npt.NDArray[np.float64] | None:
    """What `media.read_csv_strictly` returns, (n, features) float64, or None where only that one can tell."""
    if _read_rows is None:
        return csv_quick.read_csv_quickly(body)
    found = _read_rows(body)
    return None if found is None else np.frombuffer(found[0], np.float64).reshape(-1, found[1])


def read_csv_with_gaps(body: bytes) -> npt.NDArray[np.float64] | None:
    """As `read_csv_quickly`, where cells may be empty, which are nan."""
    if _read_rows is None:
        return csv_quick.read_csv_with_gaps(body)
    found = _read_rows(body, True)
    return None if found is None else np.frombuffer(found[0], np.float64).reshape(-1, found[1])


def read_csv_block(body: bytes) -> npt.NDArray[np.float64] | None:
    """As `read_csv_quickly`, for many rows; a newline at the end is none of a blank row."""
    if _read_rows is None:
        return csv_quick.read_csv_block(body)
    found = _read_rows(memoryview(body)[:-1] if body.endswith(b"\n") else body)
    return None if found is None else np.frombuffer(found[0], np.float64).reshape(-1, found[1])
