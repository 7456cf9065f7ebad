"""How bird-strike reads a request and words its answer: the four functions of a SageMaker handler.

A request is JSON records or CSV. Every column must be there; a value may be missing (null, or a blank cell).
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd

KINDS: dict[str, tuple[str, ...]] = {
    "wildlife_size": ("small", "medium", "large"),
    "phase_of_flight": ("approach", "climb", "descent", "landing roll", "parked", "take-off run", "taxi"),
    "time_of_day": ("dawn", "day", "dusk", "night"),
}
COLUMNS = (*KINDS, "speed_knots")
JSON, CSV = "application/json", "text/csv"


class Strike(NamedTuple):
    """What is answered about one strike."""

    damage: str
    probability: float


class BadRow(ValueError):
    """The request cannot be read, or a value in it is not allowed; the server answers 400."""

    status_code = 400


class UnreadableType(ValueError):
    """The Content-Type is neither JSON nor CSV; the server answers 415."""

    status_code = 415


class UnwritableType(ValueError):
    """The Accept header names neither JSON nor CSV; the server answers 406."""

    status_code = 406


def model_fn(model_dir: str) -> Any:
    """Load the pipeline that train.py wrote."""
    return joblib.load(Path(model_dir) / "model.joblib")


def input_fn(input_data: str | bytes, content_type: str) -> pd.DataFrame:
    """Read rows of `COLUMNS` from JSON records or CSV; NaN where a value is missing.

    Raises: BadRow, UnreadableType.
    """
    media_type = _media_type(content_type)
    if media_type not in (JSON, CSV):
        raise UnreadableType(f"Content-Type {content_type} is not read here: send {JSON} or {CSV}.")
    text = _text(input_data)
    rows = _json_rows(text) if media_type == JSON else _csv_rows(text)
    if not rows:
        raise BadRow("The request holds no rows.")
    checked = [[_value(row, n, column) for column in COLUMNS] for n, row in enumerate(rows, start=1)]
    # object, or a batch of nothing but gaps would turn a column of words into one of numbers
    return pd.DataFrame(checked, columns=list(COLUMNS), dtype=object)


def predict_fn(data: pd.DataFrame, model: Any) -> list[Strike]:
    """Return for each strike the `damage` (yes or no) and the `probability` of yes."""
    probability = model.predict_proba(data)[:, list(model.classes_).index("yes")]
    return [Strike(*each) for each in zip(model.predict(data).tolist(), probability.tolist(), strict=True)]


def output_fn(prediction: Sequence[Strike], accept: str | None) -> tuple[str, str]:
    """Write the predictions as JSON records or as CSV lines without a header, and say which.

    Raises: UnwritableType.
    """
    for wanted in (accept or JSON).split(","):
        media_type = _media_type(wanted)
        if media_type in (JSON, "*/*", "application/*"):
            return json.dumps({"predictions": [strike._asdict() for strike in prediction]}), JSON
        if media_type in (CSV, "text/*"):
            return "".join(f"{damage},{probability}\n" for damage, probability in prediction), CSV
    raise UnwritableType(f"Accept {accept} is not written here: ask for {JSON} or {CSV}.")


def _media_type(header: str) -> str:
    """Drop parameters such as charset."""
    return header.partition(";")[0].strip().lower()


def _text(body: str | bytes) -> str:
    try:
        return (body if isinstance(body, str) else body.decode()).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadRow("The request is not UTF-8 text.") from error


def _json_rows(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"The request is not JSON: {error}.") from error
    if isinstance(document, dict):
        document = document["instances"] if set(document) == {"instances"} else [document]
    if not isinstance(document, list):
        raise BadRow('The request must be a record, a list of records or {"instances": [records]}.')
    for n, row in enumerate(document, start=1):
        if not isinstance(row, dict):
            raise BadRow(f"Row {n} is not a record: send an object with the columns {', '.join(COLUMNS)}.")
        _check_columns(list(row), f"Row {n}")
    return document


def _csv_rows(text: str) -> list[dict[str, Any]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise BadRow(f"The request is not CSV: {error}.") from error
    columns: Sequence[str] = COLUMNS
    if lines and set(names := [cell.strip() for cell in lines[0]]) & set(COLUMNS):
        _check_columns(names, "The header")
        columns, lines = names, lines[1:]
    for n, line in enumerate(lines, start=1):
        if len(line) != len(columns):
            raise BadRow(f"Row {n} has {len(line)} cells, not {len(columns)}: {', '.join(columns)}.")
    return [dict(zip(columns, line, strict=True)) for line in lines]


def _check_columns(names: list[str], place: str) -> None:
    allowed = f"the columns are {', '.join(COLUMNS)}"
    for name in names:
        if name not in COLUMNS:
            raise BadRow(f"{place} has an unknown column {_shown(name)}: {allowed}.")
        if names.count(name) > 1:
            raise BadRow(f"{place} has the column {name} twice: {allowed}.")
    for column in COLUMNS:
        if column not in names:
            raise BadRow(f"{place} lacks the column {column}: {allowed}.")


def _value(row: dict[str, Any], n: int, column: str) -> Any:
    """Return the value as the pipeline was trained on it, NaN for a missing one."""
    value = row[column].strip() if isinstance(row[column], str) else row[column]
    if value is None or value == "":
        return np.nan
    if column not in KINDS:
        return _number(value, n, column)
    if value not in KINDS[column]:
        allowed = ", ".join(KINDS[column])
        raise BadRow(f"Row {n}, column {column}: {_shown(value)} is not allowed; use one of {allowed}.")
    return value


def _number(value: Any, n: int, column: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadRow(f"Row {n}, column {column}: {_shown(value)} is not a number; leave it blank if unknown.")
    return number


def _shown(value: Any) -> str:
    """Quote a caller's value, cut short so that a message stays one line."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
