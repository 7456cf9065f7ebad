"""CSV of words, gaps and numbers to rows of numbers, by the kernel, or by numpy without it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from service.media import csv_columns
from service.media.csv_columns import CellKind
from service.native import kernels

LEAST_BYTES: Final = 0 if kernels is not None else 4000
"""Of a body from which on it is quicker to find all cells at once than to look at each."""


class ColumnReader:
    """Reads CSV whose columns are of certain kinds.

    Where the kernel was not built, or the columns are too many for it, numpy reads them.
    """

    def __init__(self, kinds: Sequence[CellKind]) -> None:
        self._kinds = tuple(kinds)
        self._kernel = None
        if kernels is not None and 1 < len(kinds) <= kernels.MOST_COLUMNS:
            self._kernel = kernels.Columns(
                tuple((kind.spellings.known, kind.spellings.other, kind.numbers, kind.most) for kind in kinds)
            )

    def read(self, body: bytes) -> npt.NDArray[np.float64] | None:
        """Rows (n, columns), by columns in memory; None where only the strict way can tell, see tables."""
        if self._kernel is None:
            return csv_columns.read_columns(body, self._kinds)
        lines = csv_columns.clean_lines(body)
        numbers = None if lines is None else self._kernel.read(lines.text)
        if lines is None or numbers is None:
            return None
        rows = np.frombuffer(numbers, np.float64).reshape(len(self._kinds), -1).T
        if lines.of_windows and b'"' in lines.text and len(rows) <= lines.text.count(b"\n"):
            return None  # some end of a line was within quotes, and nobody knows any more what end it was
        return rows
