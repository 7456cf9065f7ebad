"""What filters and joins make of single records of CSV and JSON (contract D.5, D.6).

A filter picks from the parsed record; cells of CSV keep their spelling, quotes included.
"""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from service.domain.transform.jsonpath import Path
from service.errors import PathError
from service.media.types import CSV, JSON, JSON_LINES

OUTPUT_NAME: Final = "SageMakerOutput"
INPUT_NAME: Final = "SageMakerInput"

_CELL: Final = re.compile(r'(?:"(?:[^"]|"")*"|[^",]*)(?=,|\Z)')
_BARE_QUOTE: Final = 'bare " in non quoted field'
_SHOWN_CHARS: Final = 40


class RecordFormat(Protocol):
    """How records of one media type are read, picked from and joined."""

    def read(self, record: bytes) -> Any:
        """Parse one record. Raises PathError."""
        ...

    def pick(self, value: Any, path: Path) -> Any:
        """What the path finds. Raises PathError."""
        ...

    def join(self, given: Any, answer: Any) -> Any:
        """Input and answer as one record."""
        ...

    def write(self, value: Any) -> bytes:
        """The record's bytes, without a newline."""
        ...


class _Rows:
    """CSV: a row is the list of its cells, each as it is spelled."""

    def read(self, record: bytes) -> list[str]:
        try:
            text = record.decode()
        except UnicodeDecodeError as error:
            raise PathError(f"byte {error.start + 1} is not UTF-8") from error
        return _cells(text) if '"' in text else text.split(",")

    def pick(self, value: list[str], path: Path) -> list[str]:
        try:
            return [value[column] for column in path.columns(len(value))]
        except PathError as error:
            raise PathError(str(error).replace("element", "column")) from None

    def join(self, given: list[str], answer: list[str]) -> list[str]:
        return given + answer

    def write(self, value: list[str]) -> bytes:
        return ",".join(value).encode()


class _Documents:
    """JSON: a record is a document."""

    def read(self, record: bytes) -> Any:
        try:
            return json.loads(record, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise PathError(f"it is not JSON: {error}") from error

    def pick(self, value: Any, path: Path) -> Any:
        return path.find(value)

    def join(self, given: Any, answer: Any) -> Any:
        if isinstance(given, dict):
            return {**given, OUTPUT_NAME: answer}
        return {INPUT_NAME: given, OUTPUT_NAME: answer}

    def write(self, value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


FORMS: Final[Mapping[str, RecordFormat]] = MappingProxyType(
    {CSV: _Rows(), JSON: _Documents(), JSON_LINES: _Documents()}
)
"""Media type -> its form."""


def input_filter(form: RecordFormat, path: Path) -> Callable[[bytes], bytes]:
    """Record in, what the model is sent of it out. Raises PathError."""
    return lambda record: form.write(form.pick(form.read(record), path))


def output_maker(form: RecordFormat, joins: bool, path: Path) -> Callable[[bytes, bytes], bytes]:
    """(unfiltered input record, answer record) -> output record. Raises PathError."""
    if not joins:
        return lambda _, answer: form.write(form.pick(_read_answer(form, answer), path))
    if form is FORMS[CSV] and path.is_whole:
        return lambda given, answer: given + b"," + answer  # nothing to look into
    return lambda given, answer: form.write(
        form.pick(form.join(form.read(given), _read_answer(form, answer)), path)
    )


def _read_answer(form: RecordFormat, answer: bytes) -> Any:
    try:
        return form.read(answer)
    except PathError as error:
        raise PathError(str(error).replace("parse input", "parse output", 1)) from error


def _cells(text: str) -> list[str]:
    """Cells of a row with quotes: a comma inside quotes does not end a cell. Raises PathError.

    A quote elsewhere is refused, in AWS's words (contract Z.40): nobody can tell where such a cell ends.
    """
    cells: list[str] = []
    start = 0
    while start <= len(text):
        cell = _CELL.match(text, start)
        if cell is None:
            fault = 'extraneous or missing " in quoted field' if text[start] == '"' else _BARE_QUOTE
            near = text[start : start + _SHOWN_CHARS]
            raise PathError(f"Failed to parse input as CSV: {fault} found near: {near}")
        cells.append(cell[0])
        start = cell.end() + 1
    return cells


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
