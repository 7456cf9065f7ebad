"""What the built-in input and output functions read and write.

As AWS's container does, and kinder where that only fails: one row is a row, records and words go to a model
by its column names, texts go to a model of texts, numbers keep their 64 bits. Source: contract A.8, A.9.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .faults import RefusedCall

np: Any
try:
    import numpy
except ImportError:  # a model's own environment may do without
    np = None
else:
    np = numpy

JSON, CSV, LINES, NPY = WRITTEN = (
    "application/json",
    "text/csv",
    "application/jsonlines",
    "application/x-npy",
)
_TEXT, _FORM = "text/plain", "application/x-www-form-urlencoded"
LABEL, PROBABILITIES = OUTPUTS = ("predicted_label", "probabilities")
_SHOWN = f"{', '.join(WRITTEN[:-1])} or {WRITTEN[-1]}"
_ALIASES = dict.fromkeys(("application/x-jsonlines", "application/jsonl"), LINES)
_GAPS = frozenset({"", "na", "nan", "null", "none"})
_TRUTHS = {"true": 1.0, "false": 0.0}
_VECTORIZERS = frozenset({"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"})


class Fitted:
    """A model that built-in code calls, and what it says of its columns."""

    def __init__(self, model: Any) -> None:
        self.name = type(model).__name__
        self.width: int | None = None
        self.names: list[str] | None = None
        self.reads: str | None = None
        self.words: set[str] = set()
        with suppress(Exception):  # a class of the model's own may answer anything
            self.width = int(model.n_features_in_) or None  # CatBoost says 0 where it does not know
        with suppress(Exception):
            self.names = [str(name) for name in model.feature_names_in_] or None
        with suppress(Exception):
            self.reads, self.words = _reads(model), _words_of(model)
        self._by_name = False
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        call = _library_call(model) or getattr(model, "predict", None) or getattr(model, "transform", None)
        if not callable(call):
            raise RefusedCall(
                f"the model is a {self.name}, which has neither predict nor transform: save a fitted "
                "estimator, or define predict_fn in code/inference.py",
                500,
            )
        self._labels: Callable[[Any], Any] = call
        self._chances: Callable[[Any], Any] | None = getattr(model, "predict_proba", None)

    def predict(self, data: Any, output: Sequence[str], kind: str) -> Any:
        """What the model says: its labels, chances, or both side by side. Raises RefusedCall."""
        if PROBABILITIES not in output:
            return self._ask(self._labels, data)
        if self._chances is None:
            raise RefusedCall(f"{self.name} gives no probabilities (it has no predict_proba)", 406)
        chances = self._ask(self._chances, data)
        chances = np.stack(chances, axis=1) if isinstance(chances, list) else np.asarray(chances)
        if LABEL not in output:
            return chances
        both = [*zip(np.asarray(self._ask(self._labels, data)).tolist(), chances.tolist())]
        if kind == CSV:
            return np.array([[label, *row] for label, row in both], dtype=object)
        told = [{LABEL: label, PROBABILITIES: row} for label, row in both]
        return {"predictions": told} if kind == JSON else told

    def _ask(self, call: Callable[[Any], Any], data: Any) -> Any:
        """What the model refuses is the caller's fault."""
        try:
            by_name = self._by_name and getattr(data, "ndim", 0) == 2 and not hasattr(data, "columns")
            return call(self.frame(list(data.T)) if by_name else data)
        except (ValueError, TypeError) as error:
            if type(error).__name__ == "NotFittedError":
                raise
            if "only supported for" in str(error) and self.names and not self._by_name:
                self._by_name = True  # it chooses columns by name: from now on rows get names at once
                return self._ask(call, data)
            raise RefusedCall(str(error).strip()) from error

    def frame(self, columns: Sequence[Any]) -> Any:
        """A data frame of all columns in the model's order. Raises RefusedCall."""
        names = self.names or []
        if len(columns) != len(names):
            raise RefusedCall(
                f"X has {len(columns)} features, but {self.name} is expecting {len(names)} features as "
                f"input. The model's columns are {', '.join(names)}."
            )
        return importlib.import_module("pandas").DataFrame(dict(zip(names, columns)))

    def shaped(self, array: Any) -> Any:
        """Rows, where a row or a column came as a line of numbers."""
        if array.ndim > 1:
            return array
        return array.reshape(-1, 1) if self.width == 1 else array.reshape(1, -1)


def _library_call(model: Any) -> Callable[[Any], Any] | None:
    """How AWS's containers of XGBoost and PyTorch call a model that comes without a predict_fn."""
    torch: Any = sys.modules.get("torch")
    xgboost: Any = sys.modules.get("xgboost")

    def call_module(data: Any) -> Any:
        tensor = torch.from_numpy(data) if isinstance(data, np.ndarray) else data
        with torch.no_grad():
            return model(tensor.float() if tensor is not data and data.dtype == float else tensor)

    def call_booster(data: Any) -> Any:
        return model.predict(data if isinstance(data, xgboost.DMatrix) else xgboost.DMatrix(data))

    if torch is not None and isinstance(model, torch.nn.Module):
        return call_module
    return call_booster if xgboost is not None and isinstance(model, xgboost.Booster) else None


def _steps(part: Any) -> list[Any]:
    named = getattr(part, "steps", None) or getattr(part, "transformer_list", None) or ()
    inner = (getattr(part, name, None) for name in ("best_estimator_", "estimator"))
    return [step for _, step in named] + [each for each in inner if each is not None]


def _reads(part: Any) -> str | None:
    """Whether a model takes `texts` or `records` instead of rows: what its first step takes."""
    names = {kind.__name__ for kind in type(part).__mro__}
    if names & _VECTORIZERS:
        return "texts"
    return "records" if "DictVectorizer" in names else next(filter(None, map(_reads, _steps(part)[:1])), None)


def _words_of(part: Any) -> set[str]:
    """The columns that encoders know words of: what looks like a number in there is a word."""
    found: set[str] = set()
    for _, transformer, columns in getattr(part, "transformers_", ()):
        encoder = next(
            (each for each in (transformer, *_steps(transformer)) if hasattr(each, "categories_")), None
        )
        for column, known in zip(columns if encoder is not None else (), getattr(encoder, "categories_", ())):
            found |= {column} if any(isinstance(word, str) for word in known) else set()
    return found.union(*map(_words_of, _steps(part)))


# ---- in


def decode(body: bytes, content_type: str, model: Fitted | None) -> Any:
    """Read a body for a model that built-in code calls; without one, for the script's predict_fn."""
    kind, parameters = _parsed(content_type)
    texts = model is not None and model.reads == "texts"
    if kind not in (*WRITTEN, _TEXT) or (kind == _TEXT and not texts):
        curl = ", which curl says when told nothing," if kind == _FORM else ""
        raise RefusedCall(
            f"Content-Type '{content_type}'{curl} is not read; send {_SHOWN}, or define input_fn.", 415
        )
    if not body:
        raise RefusedCall("The body is empty.")
    try:
        if kind == NPY:
            array = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
            return model.shaped(array) if model and array.dtype.kind in "biuf" else array
        is_latin = parameters.get("charset", "").lower() in ("iso-8859-1", "latin-1", "latin1")
        text = body.decode("latin-1" if is_latin else "utf-8-sig")
        if kind == _TEXT:
            return [text[:-1] if text.endswith("\n") else text]
        if kind == CSV:
            return _csv_rows(text, model, parameters.get("header"))
        if kind == LINES:
            return _rows([json.loads(line) for line in text.rstrip().split("\n")], model)
        document = json.loads(text)
        if isinstance(document, dict):
            document = document["instances"] if [*document] == ["instances"] else [document]
        return _rows([document] if model and isinstance(document, str) else document, model)
    except (ValueError, EOFError, OSError, MemoryError, RecursionError, csv.Error) as error:
        pickled = kind == NPY and "allow_pickle" in str(error)
        told = "holds pickled objects, which are not read" if pickled else f"is not {kind}: {error}"
        raise RefusedCall(f"The body {told}.") from error


def _parsed(header: str) -> tuple[str, dict[str, str]]:
    kind, *rest = header.split(";")
    pairs = (part.partition("=") for part in rest)
    kind = kind.strip().lower()
    return _ALIASES.get(kind, kind), {name.strip().lower(): value.strip(' "') for name, _, value in pairs}


def _rows(document: Any, model: Fitted | None) -> Any:
    """An array, of numbers where all are or look so; a frame where the model knows columns of words."""
    if isinstance(document, list) and any(isinstance(row, dict) for row in document):
        return _records(document, model)
    if model and model.reads == "texts" and isinstance(document, list):
        return [row[0] if isinstance(row, list) and len(row) == 1 else row for row in document]
    if np is None:
        return document
    array = np.array(document, dtype=object)
    try:
        if array.ndim == 1 and any(isinstance(row, list) for row in array):
            raise RefusedCall("The rows are not alike: they have not the same number of values.")
        rows = array if model and model.words else array.astype(float)
    except (ValueError, TypeError, OverflowError):
        rows = array
    rows = model.shaped(rows) if model else rows
    if rows.dtype == float:
        return rows
    if model and model.names and rows.ndim == 2:
        return model.frame([[*cells] for cells in rows.T])
    return rows if model or not all(isinstance(cell, str) for cell in rows.flat) else rows.astype(str)


def _records(records: list[Any], model: Fitted | None) -> Any:
    if model is None or model.reads == "records":
        return records
    if model.names is None:
        raise RefusedCall(
            f"records need a model that was fitted with column names, and {model.name} was not: "
            "send rows of numbers, such as [[1, 2], [3, 4]]"
        )
    for number, record in enumerate(records, 1):
        found = [*record] if isinstance(record, dict) else []
        if {*found} != {*model.names}:
            wanted = ", ".join(model.names)
            raise RefusedCall(
                f"Record {number} has the columns {', '.join(found)}; the model's are {wanted}."
            )
    return model.frame([[record[name] for record in records] for name in model.names])


def _csv_rows(text: str, model: Fitted | None, header: str | None) -> Any:
    rows = list(csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), strict=True))
    names, first = (model.names if model else None) or [], rows[0] if rows else []
    headed = header != "absent" and sorted(first) == sorted(names)
    rows = rows[1:] if headed or header == "present" else rows
    if not rows:
        raise RefusedCall("There is no row below the header." if first else "There is no row.")
    if any(len(row) != len(rows[0]) for row in rows):
        raise RefusedCall("The rows have not the same length.")
    if headed:
        places = [first.index(name) for name in names]
        rows = [[row[place] for place in places] for row in rows]
    if model and model.reads == "texts":
        return [row[0] for row in rows]
    try:
        if not (model and model.words):
            numbers = [[*map(float, row)] for row in rows]
            return numbers if np is None else np.array(numbers)
    except ValueError:
        pass
    columns = [_column(cells, names[at : at + 1], model) for at, cells in enumerate(zip(*rows))]
    return model.frame(columns) if model and names else _rows([*map(list, zip(*columns))], model)


def _column(cells: Sequence[str], name: list[str], model: Fitted | None) -> Sequence[Any]:
    """Numbers and gaps, or words and gaps."""
    known = [math.nan if cell.strip().lower() in _GAPS else cell for cell in cells]
    if model and model.words.intersection(name):
        return known
    try:
        return [float(_TRUTHS.get(str(cell).strip().lower(), cell)) for cell in known]
    except ValueError:
        return known


# ---- out


def choose(accept: str, default: str) -> tuple[str, tuple[str, ...]]:
    """The form of a built-in answer, highest q first, and the `output=` that is asked for with it.

    Raises RefusedCall.
    """
    if accept in WRITTEN:
        return accept, ()
    ranges = []
    for kind, parameters in map(_parsed, re.findall(r'(?:[^,"]|"[^"]*"?)+', accept)):
        quality = parameters.get("q", "1")
        less = -float(quality) if quality.replace(".", "", 1).isdigit() else -1.0
        ranges.append((less, kind, parameters.get("output", "")))
    for less, kind, output in sorted(ranges, key=lambda each: each[0]):
        for offer in (default, *WRITTEN) if less else ():
            fits = kind in ("*/*", offer) or (kind.endswith("/*") and offer.startswith(kind[:-1]))
            if fits and offer in WRITTEN:
                return offer, outputs(output)
    raise RefusedCall(f"Accept '{accept}' names nothing that can be written; ask for {_SHOWN}.", 406)


def outputs(text: str) -> tuple[str, ...]:
    """What a built-in answer is to hold. Raises RefusedCall."""
    names = tuple(name for name in re.split(r"[+,\s]+", text) if name)
    for name in names:
        if name not in OUTPUTS:
            raise RefusedCall(f"output={name!r} is not known; ask for {' or '.join(OUTPUTS)}.", 406)
    return names


def encode(value: Any, kind: str) -> bytes:
    """Write what a model answered. Raises RefusedCall. Source: sagemaker_containers 2.8.6, _encoders.py."""
    try:
        if kind == JSON:
            return json.dumps(value, default=_plain).encode()
        if kind == LINES:
            items = value if isinstance(value, list) else _plain(value)
            return "".join(json.dumps(item, default=_plain) + "\n" for item in items).encode()
        array = np.asarray(_unwrapped(value))
        if kind == NPY:
            words = array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat)
            file = io.BytesIO()
            np.save(file, array.astype(str) if words else array, allow_pickle=False)
            return file.getvalue()
        rows = array.reshape(-1, 1) if array.ndim < 2 else array
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows([str(cell) for cell in row] for row in rows)
        return lines.getvalue().encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RefusedCall(f"The model's answer cannot be written as {kind}: {error}.", 500) from error


def _unwrapped(value: Any) -> Any:
    name = next((name for name in ("to_numpy", "toarray") if hasattr(value, name)), None)
    return value if name is None else getattr(value, name)()


def _plain(value: Any) -> Any:
    value = _unwrapped(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "__array__"):
        return np.asarray(value).tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
