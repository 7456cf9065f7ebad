"""Files of rows for a model, with the label of each row where there is one: CSV, JSON or JSON lines."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.media import type_of
from service.cli.refusal import fail
from service.media.types import CSV, JSON

MOST_ROWS = 100_000
USUAL_LABELS = ("label", "target")

_NO_LABELS = ("", "nan", "null", "none")
_JSON_LINES = (".jsonl", ".jsonlines", ".ndjson")


LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="Column of the labels: its name or number (-1 is the last).  \\[default: label or target]",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows as they are sent, without their labels.

    `head` is the line of column names, "" if there is none; `labels` are None if the file has none.
    """

    content_type: str
    head: str
    rows: tuple[str, ...]
    labels: tuple[str, ...] | None

    def body(self, first: int, last: int) -> bytes:
        """The request for the rows from `first` to before `last`."""
        rows = self.rows[first:last]
        text = f"[{', '.join(rows)}]" if self.content_type == JSON else self.head + "".join(rows)
        return text.encode()

    def headless(self) -> "LabelledRows":
        """The same without the names of columns."""
        return replace(self, head="")


def read_labelled(file: Path, label: str | None) -> LabelledRows:
    """Read a file; `label` names the label's column, or says its number: 1 is the first, -1 the last.

    Without it a column called label or target is one. What is no such file ends the command with a sentence.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")
    except UnicodeDecodeError as error:
        fail(f"{file} is no text in UTF-8 (byte {error.start + 1}).")
    is_lines = file.suffix.lower() in _JSON_LINES
    is_json = is_lines or type_of(file) == JSON
    found = _read_json(file, text, label, is_lines) if is_json else _read_csv(file, text, label)
    if not found.rows:
        fail(f"{file} has no rows.")
    if len(found.rows) > MOST_ROWS:
        fail(f"{file} has {len(found.rows):,} rows: at most {MOST_ROWS:,} are taken.")
    for number, text in enumerate(found.labels or (), 1):
        if text.strip().lower() in _NO_LABELS:
            fail(f"Row {number} of {file} has a blank label: every row needs one.")
    return found


def _read_csv(file: Path, text: str, label: str | None) -> LabelledRows:
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        fail(f"{file} is no CSV: {error}.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            fail(f"Row {number} of {file} has {len(row)} cells, the first has {len(rows[0])}.")
    if not rows:
        return LabelledRows(CSV, "", (), None)
    names = [name.strip() for name in rows[0]]
    column = _column(file, names, label)
    headed = _is_head(rows) or (column is not None and (names[column] == label or label is None))
    labels = None if column is None else tuple(row[column] for row in rows[headed:])
    lines = tuple(_line(row, column) for row in rows)
    return LabelledRows(CSV, lines[0] if headed else "", lines[headed:], labels)


def _column(file: Path, names: Sequence[str], label: str | None) -> int | None:
    """Which column has the labels."""
    if label is None:
        return next((names.index(name) for name in names if name.lower() in USUAL_LABELS), None)
    if label in names:
        return names.index(label)
    number = int(label) if label.removeprefix("-").isdecimal() else 0
    if not 1 <= abs(number) <= len(names):
        fail(f"{file} has no column {label}: it has {', '.join(names[:20])}.")
    return number - 1 if number > 0 else len(names) + number


def _is_head(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: there is one of numbers in which it alone has a word."""
    for first, *others in zip(*rows, strict=True):
        cells = [cell for cell in others if cell.strip()]
        if cells and not _is_number(first) and first.strip() and all(map(_is_number, cells)):
            return True
    return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _line(row: Sequence[str], column: int | None) -> str:
    line = io.StringIO()
    cells = [cell for number, cell in enumerate(row) if number != column]
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _read_json(file: Path, text: str, label: str | None, is_lines: bool) -> LabelledRows:
    try:
        records = [*_json_lines(text)] if is_lines else json.loads(text)
    except ValueError as error:
        fail(f"{file} is no JSON: {error}.")
    if not isinstance(records, list):
        fail(f"{file} is no list of rows.")
    labels = []
    for number, record in enumerate(records, 1):
        found = _take_label(record, label)
        if found is not None:
            labels.append(found)
        elif label is not None or labels:
            fail(f"Row {number} of {file} has no label{f' {label}' if label else ''}.")
    rows = tuple(json.dumps(record) for record in records)
    return LabelledRows(JSON, "", rows, tuple(labels) if labels else None)


def _json_lines(text: str) -> Iterator[Any]:
    return (json.loads(line) for line in text.splitlines() if line.strip())


def _take_label(record: Any, label: str | None) -> str | None:
    """Take the label out of a record; None if it has none."""
    if isinstance(record, dict):
        names = [label] if label is not None else [name for name in record if name.lower() in USUAL_LABELS]
        taken = record.pop(names[0], None) if names else None
    elif isinstance(record, list) and label is not None and label.removeprefix("-").isdecimal():
        number = int(label)
        inside = 1 <= abs(number) <= len(record)
        taken = record.pop(number - 1 if number > 0 else number) if inside else None
    else:
        taken = None
    return None if taken is None else str(taken)
