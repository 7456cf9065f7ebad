"""What the module in C has. Nothing in here is for others than the rooms that service/native names."""

from collections.abc import Mapping, Sequence

from typing_extensions import Buffer

LEAST_POWER: int
MOST_POWER: int
MOST_COLUMNS: int

def know_powers(words: Sequence[int], /) -> None:
    """Take the 128 leading bits of the powers of five from LEAST_POWER to MOST_POWER, two words for each."""

def read_rows(body: Buffer, gaps: bool = ..., /) -> tuple[bytearray, int] | None:
    """Rows of CSV of numbers: float64 one after the other, and how many columns there are.

    With `gaps` a cell may be empty, which is nan. None where a row is not as wide as the first one, or holds
    anything but numbers of JSON with spaces around them.
    """

def look_over(rows: Buffer, /) -> int:
    """What numbers are in rows: 0 such as float32 holds, 1 gaps too, 2 others; 3 not of float64."""

def lay_beside(out: Buffer, rows: int, parts: tuple[tuple[int, Buffer, Buffer | None, bool], ...], /) -> bool:
    """Fill rows (rows, width) float64 with parts side by side. False where a table lacks a code.

    A part: its numbers in each row; codes (rows) float64 and the table (codes, numbers) that they are rows
    of, or numbers (rows, numbers) and None; whether these lie in memory by columns.

    Raises: ValueError where parts are not of so many rows, or not as wide as the rows.
    """

class Columns:
    """Reads CSV of words and numbers, each column by its kind.

    A kind: numbers by the spellings that stand for them, None for one that is refused; the number of all
    other spellings, None where these are refused; whether cells may be numbers, and up to which one.
    """

    def __init__(
        self, kinds: tuple[tuple[Mapping[bytes, float | None], float | None, bool, float], ...], /
    ) -> None:
        """Raises: ValueError for no columns or too many, or too many spellings."""

    def read(self, body: bytes, /) -> bytearray | None:
        """Numbers (columns, rows) float64 of UTF-8 with lines that end in a newline, none behind the last.

        None where a cell is refused, quotes are not simply around a cell, or rows differ in width.
        """

class Trees:
    """Trees whose leaves are added up. They keep the arrays that they are made of."""

    def __init__(
        self,
        nodes: Buffer,
        values: Buffer,
        trees: Buffer,
        features: int,
        width: int,
        outputs: int,
        narrow: bool,
        single: bool,
        /,
    ) -> None:
        """Made of arrays: nodes, what they hold (nodes, width) float64, and trees; see programs/walks.

        `outputs` numbers are added up for each row. `narrow`: rows are compared as float32. `single`: each
        sum is rounded to float32.

        Raises: ValueError where a node leads back or nowhere, or the arrays do not fit together.
        """

    def add(self, rows: Buffer, totals: Buffer, /) -> None:
        """Add the leaves of rows (n, features) float64 to totals (n, outputs) float64, tree by tree."""
