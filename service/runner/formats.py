"""What the built-in input and output functions read and write.

As AWS's container does, and kinder where that only fails: one CSV row is a row, records and words go to models
that know columns by name, texts to models of texts, numbers keep their 64 bits. Source: contract A.8, A.9.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
from collections.abc import Callable
from typing import Any

from .faults import Refused

try:
    import numpy

    np: Any = numpy
except ImportError:  # a model's environment may do without
    np = None

JSON, CSV, NPY, LINES, TEXT = (
    "application/json",
    "text/csv",
    "application/x-npy",
    "application/jsonlines",
    "text/plain",
)
_ALIASES = {"application/x-ndjson": LINES, "application/jsonl": LINES, "application/x-jsonlines": LINES}
_WRITTEN = (JSON, CSV, LINES, NPY)
_CELLS = {"": math.nan, "true": 1.0, "false": 0.0, "na": math.nan, "null": math.nan}
_VECTORIZERS = {"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"}


class Fitted:
    """What is known of a model that built-in code calls, and its call."""

    def __init__(self, model: Any) -> None:
        self.model = model
        width, names = getattr(model, "n_features_in_", None), getattr(model, "feature_names_in_", None)
        self.width = int(width) if width else None
        self.names: list[str] | None = None if names is None else [str(name) for name in names]
        self.reads = _reads(model)
        self._by_name = False
        call = getattr(model, "predict", None) or getattr(model, "transform", None)
        if not callable(call):
            raise Refused(
                f"the model is a {type(model).__name__}, which has neither predict nor transform: save a fitted "
                "estimator, or define predict_fn in code/inference.py",
                500,
            )
        self._call: Callable[[Any], Any] = call

    def predict(self, data: Any) -> Any:
        """What the model says; what it refuses is the caller's fault."""
        try:
            return self._call(self._framed(data))
        except (ValueError, TypeError) as error:
            if type(error).__name__ == "NotFittedError":
                raise
            if "only supported for" in str(error) and self.names and not self._by_name:
                self._by_name = True  # columns chosen by name: from now on rows get names at once
                return self.predict(data)
            raise Refused(str(error).strip()) from error

    def _framed(self, data: Any) -> Any:
        rows = self._by_name and self.names and getattr(data, "ndim", 0) == 2 and not hasattr(data, "columns")
        return self.frame(list(data.T)) if rows else data

    def frame(self, columns: list[Any]) -> Any:
        """A data frame of columns in the model's order."""
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(dict(zip(self.names or (), columns)))

    def shaped(self, data: Any) -> Any:
        """An array of rows, where one row or one column came as a line of numbers."""
        if data.ndim == 0 or (data.ndim == 1 and (self.width != 1 or len(data) == 1)):
            return data.reshape(1, -1)
        return data.reshape(-1, 1) if data.ndim == 1 else data


def _reads(part: Any) -> str | None:
    """Whether a model takes `texts` or `records` instead of rows, by the step that comes first."""
    names = {kind.__name__ for kind in type(part).__mro__}
    if names & _VECTORIZERS:
        return "texts"
    if "DictVectorizer" in names:
        return "records"
    steps = getattr(part, "steps", None) or getattr(part, "transformer_list", None)
    inner = (
        [steps[0][1]] if steps else [getattr(part, name, None) for name in ("best_estimator_", "estimator")]
    )
    return next(filter(None, (_reads(each) for each in inner if each is not None)), None)


# ---- in


def decode(body: bytes, content_type: str, model: Fitted | None) -> Any:
    """Read a body for a model that built-in code calls, or, without one, for the script's predict_fn."""
    kind, parameters = _parsed(content_type)
    if kind not in _READERS or (kind == TEXT and not (model and model.reads == "texts")):
        written = f"{', '.join(_WRITTEN[:-1])} or {_WRITTEN[-1]}"
        raise Refused(f"Content-Type '{content_type}' is not read; send {written}, or define input_fn.", 415)
    if not body:
        raise Refused("The body is empty.")
    if kind == NPY:
        return _read_npy(body, model)
    charset = parameters.get("charset", "utf-8")
    try:
        text = body.decode("latin-1" if charset.lower() in ("iso-8859-1", "latin1", "latin-1") else "utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"The body is not UTF-8: {error}.") from error
    return _READERS[kind](text.lstrip("\ufeff"), model, parameters)


def _parsed(header: str) -> tuple[str, dict[str, str]]:
    kind, *rest = header.split(";")
    pairs = (part.partition("=") for part in rest)
    kind = kind.strip().lower()
    return _ALIASES.get(kind, kind), {name.strip().lower(): value.strip(' "') for name, _, value in pairs}


def _read_npy(body: bytes, model: Fitted | None) -> Any:
    try:
        array = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        if "allow_pickle" in str(error) or "Object arrays" in str(error):
            raise Refused("The npy array holds pickled objects, which are not read.") from error
        raise Refused(f"The body is no npy array: {error}.") from error
    return model.shaped(array) if model and array.dtype.kind in "biuf" else array


def _read_text(text: str, model: Fitted | None, parameters: dict[str, str]) -> Any:
    return [text[:-1] if text.endswith("\n") else text]


def _read_lines(text: str, model: Fitted | None, parameters: dict[str, str]) -> Any:
    return _rows([_parse(line) for line in text.rstrip().split("\n")], model)


def _read_json(text: str, model: Fitted | None, parameters: dict[str, str]) -> Any:
    document = _parse(text)
    if isinstance(document, dict) and [*document] == ["instances"]:
        document = document["instances"]
    if isinstance(document, dict) or (isinstance(document, str) and model):
        document = [document]
    return _rows(document, model)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The body is not JSON: {error}.") from error


def _rows(document: Any, model: Fitted | None) -> Any:
    """Records stay records or become a frame; lists become an array, of numbers where all are or look so."""
    if isinstance(document, list) and any(isinstance(row, dict) for row in document):
        return _records(document, model)
    if model and model.reads == "texts":
        return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in document]
    if np is None:
        return document
    try:
        array = np.array(document)
        if array.dtype.kind not in "USO":
            return model.shaped(array.astype(float)) if model else array.astype(float)
        numbers = np.array(document, dtype=object).astype(float)
        return model.shaped(numbers) if model else numbers
    except (ValueError, TypeError, OverflowError):
        return _words(document, model)


def _words(document: Any, model: Fitted | None) -> Any:
    try:
        array = np.array(document, dtype=object)
        lengths = {len(row) for row in array} if array.ndim == 1 and isinstance(array[0], list) else set()
    except (ValueError, TypeError) as error:
        raise Refused(f"The rows are not alike: {error}.") from error
    if lengths:
        raise Refused(f"The rows are not alike: they have from {min(lengths)} to {max(lengths)} values.")
    if model and model.names:
        rows = array.reshape(1, -1) if array.ndim == 1 and len(model.names) > 1 else array
        return _framed(rows.reshape(len(rows), -1).tolist(), model, model.names)
    return np.array(document) if all(isinstance(item, str) for item in array.flat) else array


def _records(records: list[Any], model: Fitted | None) -> Any:
    if model is None or model.reads == "records":
        return records
    if model.names is None:
        raise Refused(
            "records need a model that was fitted with column names, and "
            f"{type(model.model).__name__} was not: send rows of numbers, such as [[1, 2], [3, 4]]"
        )
    for number, record in enumerate(records, 1):
        found = set(record) if isinstance(record, dict) else set()
        if found != set(model.names):
            expected = ", ".join(model.names)
            raise Refused(f"Record {number} has the columns {', '.join(found)}; the model's are {expected}.")
    return model.frame([[record[name] for record in records] for name in model.names])


def _read_csv(text: str, model: Fitted | None, parameters: dict[str, str]) -> Any:
    try:
        rows = list(csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), strict=True))
    except csv.Error as error:
        raise Refused(f"The body is not CSV: {error}.") from error
    names, order = (model.names or []) if model else [], rows[0]
    headed = sorted(order) == sorted(names) and parameters.get("header") != "absent"
    if headed or parameters.get("header") == "present":
        rows = rows[1:]
    if not rows:
        raise Refused("There is no row below the header.")
    if model and model.reads == "texts":
        return [row[0] for row in rows]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise Refused(f"Row {number} has {len(row)} columns, and row 1 has {len(rows[0])}.")
    if headed:
        places = [order.index(name) for name in names]
        rows = [[row[place] for place in places] for row in rows]
    try:
        return np.array([[*map(float, row)] for row in rows])
    except ValueError:
        return _framed(rows, model, names) if model and names else np.array(_each_number(rows))


def _each_number(rows: list[list[str]]) -> list[list[float]]:
    """Raises Refused, which names row and column."""

    def number(text: str, row: int, column: int) -> float:
        try:
            return float(text)
        except ValueError:
            pass
        known = _CELLS.get(text.strip().lower())
        if known is None:
            raise Refused(f"Row {row}, column {column}: '{text}' is not a number.")
        return known

    return [[number(text, row, at) for at, text in enumerate(cells, 1)] for row, cells in enumerate(rows, 1)]


def _framed(rows: list[list[Any]], model: Fitted, names: list[str]) -> Any:
    if len(rows[0]) != len(names):
        raise Refused(
            f"X has {len(rows[0])} features, but {type(model.model).__name__} is expecting {len(names)} features "
            f"as input. The model's columns are {', '.join(names)}."
        )
    columns: list[Any] = []
    for cells in zip(*rows):
        try:
            columns.append([math.nan if cell in ("", None) else float(cell) for cell in cells])
        except ValueError:
            columns.append([math.nan if cell in ("", None) else cell for cell in cells])
    return model.frame(columns)


_READERS: dict[str, Any] = {
    JSON: _read_json,
    CSV: _read_csv,
    LINES: _read_lines,
    TEXT: _read_text,
    NPY: None,
}

# ---- out


def choose(accept: str, default: str) -> str:
    """The form of a built-in answer: highest q first, then the header's own order."""
    if accept in _WRITTEN:
        return accept
    ranges = []
    for text in accept.split(","):
        kind, parameters = _parsed(text)
        quality = parameters.get("q", "1")
        ranges.append((-float(quality) if quality.replace(".", "", 1).isdigit() else -1.0, kind))
    for quality, kind in sorted(ranges, key=lambda each: each[0]):
        for offer in (default, *_WRITTEN):
            if quality and (kind in ("*/*", offer) or (kind[-2:] == "/*" and offer.startswith(kind[:-1]))):
                return offer
    written = f"{', '.join(_WRITTEN[:-1])} or {_WRITTEN[-1]}"
    raise Refused(f"Accept '{accept}' names nothing that can be written; ask for {written}.", 406)


def encode(value: Any, media_type: str) -> bytes:
    """Write what a model answered. Source: sagemaker_containers 2.8.6, _encoders.py."""
    try:
        if media_type == JSON:
            return json.dumps(value, default=plain).encode()
        if media_type == LINES:
            items = value if isinstance(value, list) else plain(value)
            return "".join(json.dumps(item, default=plain) + "\n" for item in items).encode()
        array = np.asarray(value if isinstance(value, list) else _unwrapped(value))
        if media_type == NPY:
            return _npy(array)
        return _csv(array)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"The model's answer cannot be written as {media_type}: {error}.", 500) from error


def _unwrapped(value: Any) -> Any:
    name = next((name for name in ("to_numpy", "toarray") if hasattr(value, name)), None)
    return value if name is None else getattr(value, name)()


def plain(value: Any) -> Any:
    """Lists and numbers of something that json does not know. Raises TypeError."""
    value = _unwrapped(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__array__") and np is not None:
        return np.asarray(value).tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _npy(array: Any) -> bytes:
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
        array = array.astype(str)
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _csv(array: Any) -> bytes:
    if array.ndim < 2:
        array = array.reshape(-1, 1)
    file = io.StringIO()
    exact = array.dtype.kind in "biuU" or array.dtype == float
    csv.writer(file, lineterminator="\n").writerows(
        array.tolist() if exact else ([str(cell) for cell in row] for row in array)
    )
    return file.getvalue().encode()
