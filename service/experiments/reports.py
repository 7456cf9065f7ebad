"""What became of predictions, as callers report it: JSON, JSON lines or CSV, read whole or refused whole."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

from service.errors import ValidationFault
from service.pieces import Pieces

LABEL = "label"
"""What is reported under this name is held against the prediction; all else is an outcome by itself."""

MOST_CHARS = 256
"""How long the text of a label may be."""

MOST = 1e100
"""How great a number may be: squares are summed up."""

MOST_OUTCOMES = 10
"""How many outcomes a record may have."""

MOST_REPORTS = 10_000
"""How many outcomes a request may have: about two seconds of work."""

_ID = "inference_id"
_AT = "at"
_MOST_ID_CHARS = 64  # as AWS has it
_MOST_NAME_CHARS = 40
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What no text of a database holds: the end of a text to some readers, and halves of a character."""

_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}  # of spreadsheets where commas are in numbers
_EARLIEST_S, _LATEST_S = 0.0, 253_402_300_799.0  # the year 9999

_Value = float | str


class _Cell(str):
    """A text of CSV, which may stand for a number or a truth value: JSON has these itself."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Twice:
    """An object of JSON that says something twice, in the place of either word."""

    name: str


_NUMBERS = (_Cell, int, float)  # made once: each record has some
_LABELS = (str, int, float)


class Reported(NamedTuple):
    """One outcome of one prediction: a label's text, or a number. `at_s` is None where nobody says when.

    `reporter` is the key by which it came, where that may not manage.
    """

    inference_id: str
    name: str
    value: _Value
    at_s: float | None
    reporter: str = ""


def read_reports(content_type: str, body: bytes, reporter: str = "") -> list[Reported]:
    """The reports of a body: one JSON object, a list of them, one per line, or CSV with a head.

    A row of CSV whose cells for outcomes are all empty reports nothing: of CSV there may be none. Of many it
    sleeps now and then.

    Raises:
        ValidationFault: it is none of these, or a record lacks something; the sentence says which one.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationFault(f"The outcomes are no text in UTF-8 (byte {error.start + 1}).") from error
    is_csv = _is_csv(content_type)
    records = _csv_records(text) if is_csv else _json_records(text)
    found: list[Reported] = []
    number = 0
    for number, record in enumerate(chain.from_iterable(Pieces().of(records)), 1):
        _read(number, record, reporter, found)
        if len(found) > MOST_REPORTS:
            raise ValidationFault(f"A request has {MOST_REPORTS:,} outcomes at most: report them in several.")
    if not found and not (is_csv and number):  # a part of a large file may have empty rows alone
        raise ValidationFault("There is no outcome in the request.")
    return found


def _is_csv(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "text/csv"


def _csv_records(text: str) -> Iterable[Mapping[str, Any]]:
    try:
        head, *rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row] or [[]]
    except csv.Error as error:
        raise ValidationFault(f"The outcomes are no CSV: {error}.{_separator_hint(text)}") from error
    names = [name.strip() for name in head]
    if _ID not in names:
        raise ValidationFault(
            f"The first line of CSV must name its columns, and {_ID} among them.{_separator_hint(text)}"
        )
    if not {*names} - {_ID, _AT, ""}:
        raise ValidationFault("The first line of CSV must name an outcome, as label, reward or click.")
    if twice := _named_twice(name for name in names if name):  # spreadsheets leave columns without a name
        raise ValidationFault(f"The first line of CSV names {twice[:40]!r} twice.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ValidationFault(
                f"Row {number} of the outcomes has {len(row)} cells, the head {len(names)}."
            )
    return (
        {name: _Cell(cell) for name, cell in zip(names, row, strict=True) if cell.strip()} for row in rows
    )


def _separator_hint(text: str) -> str:
    """What is probably wrong where a head has what others separate cells by, "" if it has not."""
    head = text.partition("\n")[0]
    found = next((word for mark, word in _OTHER_SEPARATORS.items() if mark in head), None)
    return "" if found is None else f" It has {found}: cells are separated by commas."


def _json_records(text: str) -> Iterable[Any]:
    try:
        try:
            document = _DECODER.decode(text)
        except ValueError as whole:
            return _json_lines(text, whole)
    except RecursionError:
        raise ValidationFault("The outcomes are nested too deeply.") from None
    return document if isinstance(document, list) else [document]


def _json_lines(text: str, whole: ValueError) -> list[Any]:
    """The records of lines; they end with a line feed alone, since texts may have whatever else ends lines.

    Where the first line is none, `whole` says what is wrong with the text as one document.
    """
    records: list[Any] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(_DECODER.decode(line))
        except ValueError as error:
            if not records:
                raise ValidationFault(
                    f"The outcomes are neither JSON nor JSON lines: {_place(whole)}."
                ) from whole
            raise ValidationFault(f"The outcomes are no JSON lines: {_place(error, number)}.") from error
    return records


def _place(error: ValueError, line: int | None = None) -> str:
    """What is wrong with JSON and where: in the line that it says, or in the one that all of it was."""
    if not isinstance(error, json.JSONDecodeError):
        return f"{error}" if line is None else f"{error}: line {line}"
    return f"{error.msg}: line {error.lineno if line is None else line} column {error.colno}"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _object_of(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any] | _Twice:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Twice(_named_twice(name for name, _ in pairs))


def _named_twice(names: Iterable[str]) -> str:
    """A name that is there more than once, "" if none is."""
    return next((name for name, number in Counter(names).items() if number > 1), "")


_DECODER = json.JSONDecoder(object_pairs_hook=_object_of, parse_constant=_no_constant)


def _read(number: int, record: Any, reporter: str, found: list[Reported]) -> None:
    """Add what a record reports to what was found. Raises ValidationFault."""
    if not isinstance(record, dict):
        if isinstance(record, _Twice):
            raise ValidationFault(f"Record {number} of the outcomes names {record.name[:40]!r} twice.")
        raise ValidationFault(f"Record {number} of the outcomes is no JSON object.")
    inference_id = record.get(_ID)
    if not isinstance(inference_id, str) or not 1 <= len(inference_id) <= _MOST_ID_CHARS:
        raise ValidationFault(
            f"Record {number} of the outcomes has no {_ID}, a text of 1 to {_MOST_ID_CHARS} characters."
        )
    _check_kept(number, _ID, inference_id)
    at_s = _read_time(number, record.get(_AT))
    names = [name for name in record if name not in (_ID, _AT)]
    if not names and isinstance(inference_id, _Cell):
        return  # nobody knows yet what came of it: a table of all predictions has such rows
    if not 1 <= len(names) <= MOST_OUTCOMES:
        raise ValidationFault(
            f"Record {number} of the outcomes has {len(names)} outcomes: it takes 1 to {MOST_OUTCOMES}, as "
            "label, reward or click."
        )
    for name in names:
        if len(name) > _MOST_NAME_CHARS or not _is_name(name):
            raise ValidationFault(
                f"Record {number}: {name[:40]!r} is no name of an outcome: letters, digits and _.- do."
            )
        value = _read_value(number, name, record[name])
        found.append(Reported(str(inference_id), name, value, at_s, reporter))


@lru_cache(maxsize=256)  # of short texts: whoever reports decides what is kept here
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def _check_kept(number: int, name: str, text: str) -> None:
    if _UNKEPT.search(text):
        raise ValidationFault(
            f"Record {number}: {name} has a NUL or half of a character (a lone surrogate), which no text may."
        )


def _read_value(number: int, name: str, value: Any) -> _Value:
    if name == LABEL:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        is_endless = isinstance(value, float) and not isfinite(value)  # 1e999 is read as that
        if isinstance(value, _LABELS) and not is_endless and 1 <= len(text.strip()) <= MOST_CHARS:
            _check_kept(number, LABEL, text)
            return text
        raise ValidationFault(
            f"Record {number}: a label is a word or a number, of {MOST_CHARS} characters at most."
        )
    found = _WORDS.get(value.strip().lower()) if isinstance(value, _Cell) else None
    try:
        found = float(value) if found is None and isinstance(value, _NUMBERS) else found
    except (ValueError, OverflowError):
        found = None
    if found is None or not isfinite(found) or abs(found) > MOST:
        words = "true, false, yes or no" if isinstance(value, _Cell) else "true or false"
        raise ValidationFault(f"Record {number}: {name} is no number, nor {words}.")
    return found


def _read_time(number: int, value: Any) -> float | None:
    """Seconds since 1970, or ISO 8601, which is UTC where it does not say."""
    if value is None:
        return None
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
            moment = datetime.fromisoformat(value.strip())
            at_s = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        else:
            at_s = float(value)
    except (TypeError, ValueError, OverflowError):
        at_s = -1.0
    if isinstance(value, bool) or not _EARLIEST_S <= at_s <= _LATEST_S:
        raise ValidationFault(
            f"Record {number}: at is no time, as 2026-01-31T12:00:00Z or seconds since 1970."
        )
    return at_s
