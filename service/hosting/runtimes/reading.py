"""From what a body held to what a fitted estimator is called with: rows, a data frame, texts or records.

Knows the estimator's columns, so that cells become what its training saw: a word stays a word though it looks
like a number, a gap is nan. Refuses by row and column, and says what would be taken.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from service.errors import BadPayload
from service.hosting.runtimes.cells import text_of, truth_of, words_of
from service.hosting.runtimes.columns import ANY, DType, FittedColumn, columns_of, takes_records, takes_texts
from service.log import get_logger
from service.media.readers import Records, read_csv_numbers
from service.media.tables import (
    NUMBER,
    CsvBody,
    Label,
    Table,
    Takes,
    check_width,
    header_order,
    misnamed,
    quoted,
    read_cells,
    read_header,
    read_numbers,
    read_value,
    separated_otherwise,
    shown_names,
)

_WORDED: Final = frozenset({DType.WORD, DType.TEXT, DType.TRUTH})
_SHOWN_NAMES: Final = 30
_SHOWN_NUMBERS: Final = 8
_SHOWN_WORDS: Final = 8


Join = Callable[[Sequence[Any]], Any]
"""What is made of the columns of some rows: arrays of numbers, lists of all else."""


class Reading:
    """How one estimator is given what was sent."""

    def __init__(self, estimator: Any) -> None:
        self._name = type(estimator).__name__
        self.features: int | None = getattr(estimator, "n_features_in_", None)
        names = getattr(estimator, "feature_names_in_", None)
        self.names: tuple[str, ...] | None = None if names is None else tuple(map(str, names))
        self._texts, self._records, self._columns = self._look_into(estimator)
        kinds = {column.kind for column in self._columns}
        self._is_plain = bool(kinds) and kinds == {DType.NUMBER}
        of_sklearn = type(estimator).__module__.startswith("sklearn.")
        unknown = of_sklearn and DType.ANY in kinds and self.names is not None
        lone = len(self._columns) == 1 and kinds == {DType.TEXT}
        silent = self.features is None and self.names is None
        self.takes = Takes(
            numbers=not (kinds & _WORDED or unknown or self._texts),
            texts=self._texts or lone or silent,
            example=self.example,
        )

    def _look_into(self, estimator: Any) -> tuple[bool, bool, tuple[FittedColumn, ...]]:
        count = self.features if self.features is not None else len(self.names or ())
        try:
            return takes_texts(estimator), takes_records(estimator), columns_of(estimator, count)
        except Exception:  # edge: a model's own classes may answer anything; it is then asked for numbers
            get_logger("sagebird.models").exception("columns not known", model=self._name)
            return False, False, (ANY,) * count

    @property
    def fitted(self) -> tuple[FittedColumn, ...]:
        """What the columns hold."""
        return self._columns

    def read(self, data: CsvBody | Table | Records, join: Join | None = None) -> Any:
        """What the estimator is called with, or what `join` makes of columns of CSV. Raises: BadPayload."""
        if isinstance(data, CsvBody):
            return self._read_csv(data, join)
        if isinstance(data, Table):
            return self._read_table(data)
        return self._read_records(data)

    @property
    def example(self) -> str:
        """What can be sent, for people."""
        if self._texts:
            return 'texts, such as ["a text", "another one"] as application/json'
        if self.names is not None:
            record = ", ".join(f'"{name}": {_sample(column)}' for name, column in self._shown_columns())
            more = ", ..." if len(self.names) > _SHOWN_NAMES else ""
            return f"records such as [{{{record}{more}}}], or rows with the columns {self._shown_names}"
        if self.features is None:
            return "rows of numbers, such as [[1, 2], [3, 4]]"
        row = ", ".join(_sample(column) for column in self._columns[:_SHOWN_NUMBERS])
        more = ", ..." if self.features > _SHOWN_NUMBERS else ""
        return f"rows of {self.features}, such as [[{row}{more}]]"

    def locate_gap(self, rows: Any) -> str | None:
        """Where the first gap of what the estimator was called with is; None where there is none."""
        cells = np.asarray(rows, dtype=object)
        if cells.ndim != 2:
            return None
        for number, row in enumerate(cells, 1):
            for place, cell in enumerate(row):
                if cell is None or cell != cell:
                    return self._place(place)(number)
        return None

    def locate_unknown(self, rows: Any, gap: str | None) -> str | None:
        """A sentence about the first word that an encoder did not see when it was fitted; None for none.

        Such a word may be a gap, which the caller wrote as `gap`.
        """
        for place, column in enumerate(self._columns):
            if not column.strict:
                continue
            for number, cell in enumerate(np.asarray(rows, dtype=object)[:, place], 1):
                is_gap = cell != cell or cell is None
                if cell in column.known or (is_gap and column.gaps):
                    continue
                known = sorted(map(str, column.known))
                shown = ", ".join(map(quoted, known[:_SHOWN_WORDS]))
                more = ", ..." if known[_SHOWN_WORDS:] else ""
                what = f" is {gap or 'blank'}, which" if is_gap else f": {quoted(str(cell))}"
                return f"{self._label(place)(number)}{what} is none of the words it knows: {shown}{more}."
        return None

    # ---- the forms

    def _read_csv(self, given: CsvBody, join: Join | None) -> Any:
        if self._texts:
            cells_of_all = read_cells(given.body)
            return self._texts_of(_below_header(cells_of_all) if given.header else cells_of_all)
        body, order, heading = self.below_header(given)
        if self._is_plain:
            rows = read_csv_numbers(body, self._header_hint)
            _check_heading(order or heading, rows.shape[1])
            return rows if order is None else _arranged(rows, order)
        cells_of_all = read_cells(body)
        _check_heading(heading, len(cells_of_all[0]))
        return self._columns_of_rows(cells_of_all, order, spelled=True, join=join)

    def below_header(self, given: CsvBody) -> tuple[bytes, Sequence[int] | None, list[str] | None]:
        """The rows of CSV, and where in them each of the model's columns is, None: all are in their places.

        Third come the cells of a header that says nothing to the model, None if there is none.
        Raises: BadPayload.
        """
        body, header = given.body, given.header
        first, _, rest = body.partition(b"\n")
        order: Sequence[int] | None = None
        if header is not False and self.names is not None:
            cells = read_header(first)
            order = None if cells is None else self._order(cells, insisted=bool(header))
        if order is not None or header:
            body = rest
            if not rest.strip(b"\r\n"):
                _below_header([])
        return body, order, read_header(first) if header and self.names is None else None

    def _read_table(self, table: Table) -> Any:
        if self._texts or (table.flat and not self._columns):
            return self._texts_of(table.rows)
        if table.flat and isinstance(table.rows[0], str) and len(table.rows) == 1 and not self._fits(1):
            raise BadPayload(f"The body is text; {self._name} takes {self.example}.")
        rows, order = table.rows, self.order_of(table)
        if table.flat:
            is_column = self._columns and self._fits(1) and not self._fits(len(rows))
            rows = [[value] for value in rows] if is_column else [rows]
        return self._columns_of_rows(rows, order, spelled=table.spelled)

    def order_of(self, table: Table) -> Sequence[int] | None:
        """Where each of the model's columns is in a table, None: each in its place. Raises: BadPayload."""
        if table.names is None or self.names is None or table.names == self.names:
            return None
        order = header_order(table.names, self.names, insisted=True)
        if order is None:
            raise BadPayload(misnamed("the table", table.names, self.names))
        return order

    def _read_records(self, records: Records) -> Any:
        if self._records:
            return records
        names = self.names
        if [*records[0]] == ["instances"] and "instances" not in (names or ()):
            raise BadPayload(f"'instances' holds no rows; send {self.example}.")
        if names is None:
            raise BadPayload(
                f"records need a model that was fitted with column names, and {self._name} was not: "
                f"send {self.example}"
            )
        expected = frozenset(names)
        for number, record in enumerate(records, start=1):
            if record.keys() != expected:
                raise BadPayload(misnamed(f"record {number}", list(record), names))
        cells = [[record[name] for record in records] for name in names]
        return self._assembled(cells, len(records), spelled=False)

    # ---- texts

    def _texts_of(self, rows: Sequence[Any]) -> list[str]:
        texts = [row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows]
        for number, text in enumerate(texts, 1):
            if isinstance(text, list):
                raise BadPayload(
                    f"Row {number} has {len(text)} cells, and {self._name} takes one text each: "
                    f"put a text with commas into double quotes, or send {self.example}."
                )
            if not isinstance(text, str):
                raise BadPayload(f"Row {number} is {text}, not a text; {self._name} takes {self.example}.")
        return texts

    # ---- headers

    def _order(self, cells: list[str], *, insisted: bool) -> Sequence[int] | None:
        """Where each of the model's columns is, if the first row is a header. Raises: BadPayload."""
        names = self.names or ()
        order = header_order(cells, names, insisted=insisted)
        if order is not None or sorted(cells) == sorted(names):
            return order
        if insisted or self._is_meant_as_header(cells):
            raise BadPayload(misnamed("the header", cells, names))
        return None

    def _is_meant_as_header(self, cells: list[str]) -> bool:
        known = set(cells).intersection(self.names or ())
        if not known or all(map(NUMBER.fullmatch, known)):
            return False
        if len(cells) != len(self._columns) or 2 * len(known) >= len(cells):
            return True
        return any(
            column.kind is DType.NUMBER and cell in known
            for cell, column in zip(cells, self._columns, strict=True)
        )

    @property
    def _header_hint(self) -> str:
        if self.names is None:
            return "a header row is not accepted, as the model was fitted without column names: leave it out"
        return f"a header row is not accepted unless it holds the model's columns: {self._shown_names}"

    # ---- columns

    def _columns_of_rows(
        self,
        rows: Sequence[Sequence[Any]],
        order: Sequence[int] | None,
        *,
        spelled: bool,
        join: Join | None = None,
    ) -> Any:
        width = len(rows[0])
        for number, row in enumerate(rows, 1):
            check_width(len(row), width, number)
        if not self._fits(width):
            hint = " Put a text with commas into double quotes." if self.takes.texts and width > 1 else ""
            raise BadPayload(self.misfit(width) + ((hint or _other_form(rows[0])) if spelled else ""))
        cells: list[Sequence[Any]] = list(zip(*rows, strict=True))
        if order is not None:
            cells = [cells[place] for place in order]
        return self._assembled(cells, len(rows), spelled=spelled, join=join)

    def _fits(self, width: int) -> bool:
        return not self._columns or width == len(self._columns)

    def misfit(self, width: int) -> str:
        """The sentence for rows of a wrong width; its first part is scikit-learn's."""
        told = (
            "" if self._is_plain or self.names is None else f" The model's columns are {self._shown_names}."
        )
        return (
            f"X has {width} features, but {self._name} is expecting {self.features} features as input.{told}"
        )

    def _assembled(
        self, cells: Sequence[Sequence[Any]], count: int, *, spelled: bool, join: Join | None = None
    ) -> Any:
        columns = self._columns or (ANY,) * len(cells)
        found = [
            self._values(each, column, self._label(place), spelled)
            for place, (each, column) in enumerate(zip(cells, columns, strict=True))
        ]
        if join is not None:
            return join(found)
        if self._is_plain:
            return np.column_stack(found)
        found = [
            _objects(values) if column.kind in _WORDED else values
            for values, column in zip(found, columns, strict=True)
        ]
        if self.names is not None:
            return frame_of(found, self.names)
        if all(_is_number(values) for values in found):
            return np.column_stack([np.asarray(values, np.float64) for values in found])
        rows = np.empty((count, len(found)), dtype=object)
        for place, values in enumerate(found):
            rows[:, place] = values
        return rows

    def _place(self, place: int) -> Label:
        """As the readers of plain numbers name a cell, where all columns are such."""
        return self._label(place) if not self._is_plain else lambda row: f"Row {row}, column {place + 1}"

    def _label(self, place: int) -> Label:
        shown = place + 1 if self.names is None else repr(self.names[place])
        return lambda row: f"Row {row}, column {shown}"

    def _values(self, cells: Sequence[Any], column: FittedColumn, label: Label, spelled: bool) -> Any:
        match column.kind:
            case DType.NUMBER:
                try:
                    return read_numbers(cells, label, spelled=spelled)
                except BadPayload as error:
                    raise BadPayload(
                        f"{error.message.removesuffix('.')}; {self._name} takes {self.example}."
                    ) from None
            case DType.WORD:
                return words_of(cells, column, spelled)
            case DType.TEXT:
                return [text_of(cell, row, label) for row, cell in enumerate(cells, 1)]
            case DType.TRUTH:
                return [truth_of(cell, row, label) for row, cell in enumerate(cells, 1)]
        return [read_value(cell) for cell in cells] if spelled else list(cells)

    # ---- what people are shown

    @property
    def _shown_names(self) -> str:
        return shown_names(self.names or ())

    def _shown_columns(self) -> list[tuple[str, FittedColumn]]:
        return list(zip(self.names or (), self._columns, strict=True))[:_SHOWN_NAMES]


def frame_of(columns: Sequence[Any], names: Sequence[str]) -> Any:
    """A data frame of columns, whose names may be alike."""
    import pandas as pd  # heavy, and only models that are asked by column name need it

    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(names)
    return frame


def _other_form(cells: Sequence[str]) -> str:
    """What else a row may be that was sent as CSV and has a wrong width."""
    if cells[0].lstrip().startswith(("[", "{")):
        return " A JSON body needs Content-Type: application/json."
    if len(cells) == 1 and separated_otherwise(cells[0]):
        return " Cells of text/csv are separated by commas."
    return ""


def _arranged(rows: Any, order: Sequence[int]) -> Any:
    return rows if list(order) == list(range(len(order))) else np.ascontiguousarray(rows[:, order])


def _check_heading(heading: Sequence[Any] | None, width: int) -> None:
    if heading is not None and len(heading) != width:
        raise BadPayload(f"Row 1 has {width} columns, but the header has {len(heading)}.")


def _below_header(rows: Sequence[Any]) -> Sequence[Any]:
    if len(rows) < 2:
        raise BadPayload("There is no row below the header.")
    return rows[1:]


def _is_number(values: Any) -> bool:
    return isinstance(values, np.ndarray) or {int, float}.issuperset(map(type, values))


def _objects(values: Sequence[Any]) -> Any:
    """A column that stays one of objects, though it may hold nothing but gaps."""
    import pandas as pd

    found = np.empty(len(values), dtype=object)
    found[:] = values
    return pd.Series(found, dtype=object)


def _sample(column: FittedColumn) -> str:
    if column.kind is DType.WORD:
        known = sorted(str(word) for word in column.known)
        return f'"{known[0] if known else "word"}"'
    return {DType.TEXT: '"a text"', DType.TRUTH: "true"}.get(column.kind, "0")
