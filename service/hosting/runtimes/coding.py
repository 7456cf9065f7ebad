"""Rows of words and numbers as programs take them, and back: every word by its code, every gap as nan.

What is read here in a moment is only what is plain: the model's own columns, words in columns of words,
numbers or gaps in columns of numbers. All else is for `Reading`, which knows what to make of it or how to
refuse it.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from service.errors import BadPayload, NotCompilable
from service.hosting.programs.blocks import GAP, STRANGER, UNKNOWN, Words
from service.hosting.runtimes.columns import DType, FittedColumn
from service.hosting.runtimes.reading import Reading, frame_of
from service.media.csv_columns import CellKind
from service.media.csv_words import LEAST_BYTES, ColumnReader
from service.media.readers import Matrix
from service.media.spellings import Spellings
from service.media.tables import GAPS, TRUTHS, CsvBody, Table

_CODED: Final = frozenset({DType.WORD, DType.TRUTH})
_TRUTHS: Final = (False, True)
_EXACT: Final = 2**53  # beyond it whole numbers of one column may not be of one type
_TRUTHS_SPELLED: Final = MappingProxyType({**TRUTHS, "0": False, "1": True})
_Cell = Callable[[Any], Any]
Order = tuple[int, ...] | None
"""Where the columns of the model are in a body; None: as in the model."""


class _NotPlain(Exception):
    """A cell, or a row, that only the estimator's own way knows what to do with."""


class Coding:
    """How one estimator's rows are coded."""

    def __init__(self, reading: Reading) -> None:
        """Raises NotCompilable for columns that have no codes."""
        if not reading.fitted:
            raise NotCompilable("it does not say which columns it takes")
        self.names = reading.names
        self._reading = reading
        self._columns = reading.fitted
        gapless = frozenset(place for place, column in enumerate(self._columns) if column.kind is DType.ANY)
        self._words = Words([self._first_values(column) for column in self._columns], gapless)
        self._cells: list[_Cell] = []
        self._spelled: list[_Cell] = []
        self._kinds: list[CellKind] = []
        self._reader: tuple[Order, ColumnReader] | None = None

    def _first_values(self, column: FittedColumn) -> tuple[Any, ...] | None:
        if column.kind is DType.TEXT:
            raise NotCompilable("it has a column of texts")
        if column.kind is DType.TRUTH:
            return _TRUTHS
        if column.kind is not DType.WORD:
            return None
        if not all(word is None or isinstance(word, str) for word in column.known):
            raise NotCompilable("a column of words holds other values too")
        return (None if None in column.known else math.nan, STRANGER)

    @property
    def columns(self) -> Sequence[FittedColumn]:
        """What the columns hold, in their order."""
        return self._columns

    @property
    def words(self) -> Words:
        """What codes stand for, as far as it is known yet."""
        return self._words

    def learn(self, words: Words) -> None:
        """From now on words have these codes."""
        self._words = words
        columns = list(enumerate(self._columns))
        self._cells = [_reader(column, self._codes(place, spelled=False)) for place, column in columns]
        spelled = [(column, self._codes(place, spelled=True)) for place, column in columns]
        self._spelled = [_reader(column, codes) for column, codes in spelled]
        with suppress(ValueError):  # some word is not for those that look at all cells at once
            self._kinds = [_kind_of_cells(column, codes) for column, codes in spelled]
        self._reader = None

    def _codes(self, place: int, *, spelled: bool) -> "_Codes":
        """Codes by cells of a body, or by what the reader of CSV makes of these."""
        codes, values = _Codes(), self._words.values[place]
        if values is None:
            return codes
        words = self._columns[place].kind is DType.WORD
        for code, value in enumerate(values):
            if self._words.is_refused(place, code):
                continue
            if words and code == UNKNOWN:
                codes.unknown = UNKNOWN
            elif words and code == GAP:
                codes[value if spelled else None] = GAP  # nan is found as the very object that it is
            else:
                codes[value] = code
        return codes

    # ---- what was read, as rows

    def code(self, data: Any) -> Matrix | None:
        """Coded rows (n, features) of what a body held; None: that is for the estimator itself."""
        if not self._cells:
            return None
        try:
            if type(data) is list:
                return self._code_records(data)
            if type(data) is Table:
                return self._code_rows(data)
            if type(data) is CsvBody:
                return self._code_csv(data)
        except (_NotPlain, KeyError, BadPayload):
            return None
        return None

    def _code_records(self, records: Sequence[Any]) -> Matrix | None:
        names, cells = self.names, self._cells
        if names is None:
            return None
        width = len(names)
        pairs = list(zip(names, cells, strict=True))
        rows = []
        for record in records:
            if type(record) is not dict or len(record) != width:
                return None
            rows.append([read(record[name]) for name, read in pairs])
        return np.array(rows, np.float64)

    def _code_rows(self, table: Table) -> Matrix | None:
        if table.spelled:
            return None
        width, order = len(self._cells), self._reading.order_of(table)
        pairs = list(zip(range(width) if order is None else order, self._cells, strict=True))
        rows = [table.rows] if table.flat else table.rows
        if width < 2:
            return None
        found = []
        for row in rows:
            if type(row) is not list or len(row) != width:
                return None
            found.append([read(row[place]) for place, read in pairs])
        return np.array(found, np.float64)

    def _code_csv(self, body: CsvBody) -> Matrix:
        rows: Matrix | None = self._code_block(body) if len(body.body) >= LEAST_BYTES else None
        return self._reading.read(body, self._code_columns) if rows is None else rows

    def _code_block(self, given: CsvBody) -> Matrix | None:
        """Coded rows of CSV, of which all cells are found at once; None where it is odd in any way."""
        body, order, heading = self._reading.below_header(given)
        kinds = self._kinds
        if not kinds or (heading is not None and len(heading) != len(kinds)):
            return None
        rows = self._reader_of(None if order is None else tuple(order)).read(body)
        return rows if rows is None or order is None else np.asfortranarray(rows[:, order])

    def _reader_of(self, order: Order) -> ColumnReader:
        """The reader of columns in this order; it is kept for the next body, which is likely to be alike."""
        if self._reader is None or self._reader[0] != order:
            kinds = self._kinds
            if order is not None:
                placed = dict(zip(order, kinds, strict=True))
                kinds = [placed[place] for place in range(len(kinds))]
            self._reader = order, ColumnReader(kinds)
        return self._reader[1]

    def code_columns(self, columns: Sequence[Any]) -> Matrix | None:
        """Coded rows of arrays of numbers, and of lists of what else the estimator is given; None as `code`.

        A gap in such a list is None or the nan of `math`, whichever the fitting saw.
        """
        try:
            return self._code_columns(columns)
        except (_NotPlain, TypeError):  # TypeError: a cell that is no value
            return None

    def _code_columns(self, columns: Sequence[Any]) -> Matrix:
        """Coded rows of columns, as they are read for the estimator."""
        found = [
            values if isinstance(values, np.ndarray) else np.array(list(map(read, values)), np.float64)
            for values, read in zip(columns, self._spelled, strict=True)
        ]
        return np.column_stack(found)

    # ---- rows, as what could have been read

    def restore(self, words: Words, rows: Matrix) -> Any:
        """What the estimator is called with for coded rows (n, features)."""
        cells = [
            self._restored(column, words.values[place], rows[:, place])
            for place, column in enumerate(self._columns)
        ]
        lines = zip(*cells, strict=True)
        if self.names is not None:
            found = self._reading.read([dict(zip(self.names, line, strict=True)) for line in lines])
            # Of numbers alone no frame is made, unless the estimator is known to want one.
            return frame_of(list(found.T), self.names) if isinstance(found, np.ndarray) else found
        return self._reading.read(Table([list(line) for line in lines]))

    def _restored(self, column: FittedColumn, values: Any, cells: Matrix) -> list[Any]:
        if values is None:
            return [None if math.isnan(cell) else cell for cell in cells.tolist()]
        words = column.kind is DType.WORD
        return [None if words and code == GAP else values[code] for code in cells.astype(np.intp).tolist()]

    def restored(self, rows: Matrix) -> Any:
        """As `restore`, with the words that were learnt."""
        return self.restore(self._words, rows)


class _Codes(dict[Any, int]):
    """Codes by words; `unknown` is that of all other texts, if these have one."""

    unknown: int | None = None

    def __missing__(self, cell: Any) -> int:
        if self.unknown is None or type(cell) is not str:
            raise _NotPlain
        return self.unknown


def _kind_of_cells(column: FittedColumn, codes: _Codes) -> CellKind:
    """Cells of CSV as `_reader` reads them. Raises: ValueError where bytes alone do not tell."""
    match column.kind:
        case DType.UNUSED:
            return CellKind(Spellings({}, 0.0))
        case DType.NUMBER:
            return CellKind(Spellings({**dict.fromkeys(GAPS, math.nan), **TRUTHS}), numbers=True)
        case DType.TRUTH:
            return CellKind(Spellings({text: codes.get(truth) for text, truth in _TRUTHS_SPELLED.items()}))
        case DType.WORD:
            if None in column.known:
                raise ValueError("blanks beside gaps are none of these")
            words = {word: float(code) for word, code in codes.items() if isinstance(word, str)}
            gaps = dict.fromkeys(GAPS - column.known, codes.get(math.nan))
            return CellKind(Spellings({**words, **gaps}, codes.unknown))
    return CellKind(Spellings({}), numbers=True, most=_EXACT)


def _reader(column: FittedColumn, codes: _Codes) -> _Cell:
    if column.kind in _CODED:
        return codes.__getitem__
    if column.kind is DType.UNUSED:
        return _ignored
    return _number if column.kind is DType.NUMBER else _sure_number


def _number(cell: Any) -> Any:
    kind = type(cell)
    if kind is float or kind is int:
        return cell
    if cell is None:
        return math.nan
    if kind is bool:
        return float(cell)
    raise _NotPlain


def _sure_number(cell: Any) -> Any:
    """A number of a column of which nothing is known but that numbers may be in it."""
    kind = type(cell)
    if kind is float or (kind is int and -_EXACT <= cell <= _EXACT):
        return cell
    raise _NotPlain


def _ignored(_cell: Any) -> float:
    return 0.0
