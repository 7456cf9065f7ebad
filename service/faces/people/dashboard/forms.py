"""The form by which somebody tries an endpoint: a field for each column, filled in, or a body as a whole."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from service.hosting.host import Column, Interface
from service.invoke.catalogue import ExampleRequest, Manual
from service.media.types import CSV, JSON

MOST_FIELDS: Final = 100
"""How many columns have fields: who tries a model of more writes a body."""

FormKind = Literal["records", "csv", "body"]


@dataclass(frozen=True, slots=True)
class InputField:
    """One column's: the words that it may hold, () for any; an empty `value` with `gaps` is missing."""

    name: str
    value: str
    text: bool = False
    words: tuple[str, ...] = ()
    gaps: bool = False


@dataclass(frozen=True, slots=True)
class InputForm:
    """How a request is put together: `records` as JSON by names, `csv` as a line of numbers, or a `body`."""

    kind: FormKind
    content_type: str
    fields: tuple[InputField, ...] = ()
    body: str = ""


def form_of(manual: Manual, example: ExampleRequest | None = None) -> InputForm:
    """The form for what a manual tells; `example` is one that counts more than the manual's."""
    examples = manual.examples if example is None else (example,)
    interface = manual.interface if example is None else None
    columns = () if interface is None or interface.texts else interface.columns
    for each in examples:
        record = _first_record(each)
        if record is not None:
            return InputForm("records", JSON, _of_record(record, columns))
    if interface is not None and not interface.scripted:
        found = _of_interface(interface, examples)
        if found is not None:
            return found
    for each in examples:
        numbers = _first_row(each)
        if numbers is not None:
            return InputForm("csv", CSV, _numbered(numbers))
    if examples:
        return InputForm("body", examples[0].content_type, body=examples[0].body)
    return InputForm("body", CSV)


def _of_interface(interface: Interface, examples: Sequence[ExampleRequest]) -> InputForm | None:
    """Fields for the columns that a model was fitted with."""
    columns = interface.columns
    if interface.texts or not columns or len(columns) > MOST_FIELDS:
        return None
    cells = next((row for row in map(_first_cells, examples) if row and len(row) == len(columns)), None)
    values = cells or [_usual(column) for column in columns]
    fields = tuple(_field(column, value) for column, value in zip(columns, values, strict=True))
    if any(column.text or column.gaps for column in columns):
        return InputForm("records", JSON, fields)
    return InputForm("csv", CSV, fields)


def _of_record(record: Mapping[str, Any], columns: Sequence[Column]) -> tuple[InputField, ...]:
    known = {column.name: column for column in columns}
    return tuple(
        _field(known[name], _written(value))
        if name in known
        else InputField(name, _written(value), isinstance(value, str), gaps=value is None)
        for name, value in record.items()
    )


def _field(column: Column, value: str) -> InputField:
    return InputField(column.name, value, column.text, column.words, column.gaps)


def _usual(column: Column) -> str:
    if not column.text:
        return "0"
    return column.words[0] if column.words else ""


def _numbered(cells: Sequence[str]) -> tuple[InputField, ...]:
    return tuple(InputField(f"column {place}", cell) for place, cell in enumerate(cells, 1))


def _first_record(example: ExampleRequest) -> dict[str, Any] | None:
    """The first record of an example that is a list of flat ones."""
    if example.content_type != JSON:
        return None
    try:
        found = orjson.loads(example.body)
    except orjson.JSONDecodeError:
        return None
    first = found[0] if isinstance(found, list) and found else None
    if not isinstance(first, dict) or not 0 < len(first) <= MOST_FIELDS:
        return None
    flat = all(value is None or isinstance(value, str | int | float) for value in first.values())
    return first if flat and not any(isinstance(value, bool) for value in first.values()) else None


def _first_row(example: ExampleRequest) -> list[str] | None:
    """The cells of an example's first line, if they are numbers, and few enough."""
    cells = _first_cells(example)
    if not cells or len(cells) > MOST_FIELDS:
        return None
    try:
        for cell in cells:
            float(cell)
    except ValueError:
        return None
    return cells


def _first_cells(example: ExampleRequest) -> list[str] | None:
    if example.content_type != CSV:
        return None
    try:
        return next((row for row in csv.reader(io.StringIO(example.body)) if row), None)
    except csv.Error:
        return None


def _written(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
