"""What callers of MLflow models send, and how a model's signature is held.

Source: MLflow's documents of its scoring protocol and of signatures.
"""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pandas as pd
from _sagebird_frameworks import Refusal

_KEYS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TYPES = ("application/json", "text/csv")
_NUMBERS = {"integer": np.int32, "long": np.int64, "float": np.float32, "double": np.float64}


class Signature:
    """The inputs that a model was logged with: columns, or tensors."""

    def __init__(self, inputs: list[dict[str, Any]]) -> None:
        self._inputs = inputs
        self.tensors = any(each["type"] == "tensor" for each in inputs)
        names = [each.get("name") for each in inputs]
        self.names: list[str] | None = None if None in names or not names else [str(name) for name in names]

    def enforced(self, data: Any) -> Any:
        """The data as the model takes them. Raises Refusal for what does not fit."""
        if self.tensors:
            return self._tensors(data)
        frame = data if isinstance(data, pd.DataFrame) else _frame(data)
        frame = self._chosen(frame)
        columns = {
            name: _column(frame[name], each["type"])
            for name, each in zip(frame.columns, self._present(frame))
        }
        return pd.DataFrame(columns, columns=frame.columns, index=frame.index)

    def reads_as_text(self) -> list[str]:
        """The columns that hold texts, whatever they look like."""
        if self.tensors or self.names is None:
            return []
        return [name for name, each in zip(self.names, self._inputs) if each["type"] in ("string", "binary")]

    def _present(self, frame: Any) -> list[dict[str, Any]]:
        if self.names is None:
            return self._inputs
        return [each for each in self._inputs if each["name"] in frame.columns]

    def _chosen(self, frame: Any) -> Any:
        """Its columns in the model's order; others are dropped, as MLflow does."""
        width = len(self._inputs)
        if self.names is None:
            if frame.shape[1] < width:
                raise Refusal(
                    f"Model inference is missing inputs: expected {width} columns, got {frame.shape[1]}."
                )
            return frame.iloc[:, :width]
        if frame.shape[1] == width and all(isinstance(name, int) for name in frame.columns):
            frame = frame.set_axis(self.names, axis=1)  # rows that came without names
        needed = [each["name"] for each in self._inputs if each.get("required", True)]
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            extra = [str(name) for name in frame.columns if name not in self.names]
            more = f" Note that there were extra inputs: {extra}." if extra else ""
            raise Refusal(f"Model is missing inputs {missing}.{more}")
        return frame[[name for name in self.names if name in frame.columns]]

    def _tensors(self, data: Any) -> Any:
        if self.names is None or (len(self.names) == 1 and not isinstance(data, dict)):
            if isinstance(data, dict):
                raise Refusal("The model takes one tensor without a name.")
            found = _tensor(data, self._inputs[0]["tensor-spec"])
            return found if self.names is None else {self.names[0]: found}
        if isinstance(data, pd.DataFrame):
            data = {name: [*data[name]] for name in data.columns}
        if not isinstance(data, dict):
            raise Refusal(f"The model takes tensors by name: {self.names}.")
        missing = [name for name in self.names if name not in data]
        if missing:
            raise Refusal(f"Model is missing inputs {missing}.")
        return {each["name"]: _tensor(data[each["name"]], each["tensor-spec"]) for each in self._inputs}


def _tensor(data: Any, spec: dict[str, Any]) -> Any:
    try:
        found = np.asarray(data, dtype=spec["dtype"])
    except (ValueError, TypeError) as error:
        raise Refusal(f"The input is no tensor of {spec['dtype']}: {error}.") from error
    wanted = tuple(spec["shape"])
    fits = len(wanted) == found.ndim and all(want in (-1, has) for want, has in zip(wanted, found.shape))
    if not fits:
        raise Refusal(f"Shape of input {found.shape} does not match expected shape {wanted}.")
    return found


def _frame(data: Any) -> Any:
    try:
        return pd.DataFrame(data)
    except (ValueError, TypeError) as error:
        raise Refusal(f"The input holds no rows: {error}.") from error


def _column(values: Any, kind: Any) -> Any:
    """A column in the type of the signature; nothing is lost on the way. Raises Refusal."""
    try:
        if kind in _NUMBERS:
            return _numbers(values, _NUMBERS[kind])
        if kind == "datetime":
            return pd.to_datetime(values)
        if kind == "binary":
            return values.map(lambda text: base64.b64decode(text) if isinstance(text, str) else text)
    except (ValueError, TypeError) as error:
        raise Refusal(_unsafe(values, kind)) from error
    wanted: tuple[type, ...] = {"string": (str,), "boolean": (bool, np.bool_)}.get(str(kind), ())
    if wanted and not all(isinstance(value, wanted) or pd.isna(value) for value in values):
        raise Refusal(_unsafe(values, kind))
    return values


def _numbers(values: Any, wanted: Any) -> Any:
    if values.map(lambda value: isinstance(value, (bool, np.bool_))).any():
        raise TypeError
    found = pd.to_numeric(values)
    if np.issubdtype(wanted, np.floating):
        return found.astype(wanted)
    if found.isna().any() or (found != found.astype(np.int64)).any():
        raise ValueError
    limits = np.iinfo(wanted)
    if ((found < limits.min) | (found > limits.max)).any():
        raise ValueError
    return found.astype(wanted)


def _unsafe(values: Any, kind: Any) -> str:
    return (
        f"Incompatible input types for column {values.name}. Can not safely convert {values.dtype} to {kind}."
    )


# ---- bodies


def read_input(text: str, content_type: str, signature: Signature | None) -> Any:
    """A frame, an array, or a dict of tensors. Raises Refusal."""
    kind = content_type.split(";")[0].strip().lower()
    if kind not in _TYPES:
        raise Refusal(
            f"This predictor only supports the following content types: {[*_TYPES]}. Got '{content_type}'.",
            415,
        )
    if not text.strip():
        raise Refusal("The body is empty.")
    return _read_csv(text, signature) if kind == "text/csv" else _read_json(text)


def _read_csv(text: str, signature: Signature | None) -> Any:
    names = signature.names if signature else None
    texts = dict.fromkeys(signature.reads_as_text(), str) if signature else {}
    try:
        first = pd.read_csv(io.StringIO(text), header=None, nrows=1, dtype=str).iloc[0].tolist()
        if names and len(first) == len(names) and not {*first} & {*names}:
            return pd.read_csv(io.StringIO(text), header=None, names=names, dtype=texts)
        return pd.read_csv(io.StringIO(text), dtype=texts)
    except ValueError as error:  # all that pandas' parser raises is one
        raise Refusal(f"The body is no CSV: {error}.") from error


def _read_json(text: str) -> Any:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Refusal(f"The body is no JSON: {error}.") from error
    if isinstance(document, list):  # as other models take it
        document = {"instances": document}
    found = [key for key in _KEYS if key in document] if isinstance(document, dict) else []
    if len(found) != 1:
        raise Refusal(
            f"The input must be a JSON dictionary with exactly one of the input fields {list(_KEYS)}; "
            f"it has {', '.join(found) or 'none'}."
        )
    return _READERS[found[0]](document[found[0]])


def _read_split(value: Any) -> Any:
    if not isinstance(value, dict) or "data" not in value or {*value} - {"data", "columns", "index"}:
        raise Refusal("dataframe_split is an object of data, and columns and index where they are known.")
    try:
        return pd.DataFrame(**value)
    except (ValueError, TypeError) as error:
        raise Refusal(f"dataframe_split holds no rows: {error}.") from error


def _read_records(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Refusal("dataframe_records is a list of objects.")
    return _frame(value)


def _read_instances(value: Any) -> Any:
    if not isinstance(value, list):
        raise Refusal("instances is a list.")
    records = bool(value) and all(isinstance(each, dict) for each in value)
    return _frame(value) if records else _array(value)


def _read_inputs(value: Any) -> Any:
    if not isinstance(value, dict):
        return _array(value)
    arrays = {key: _array(each) for key, each in value.items()}
    return _frame(value) if all(each.ndim == 1 for each in arrays.values()) else arrays


def _array(value: Any) -> Any:
    try:
        return np.array(value)
    except ValueError as error:
        raise Refusal(f"The rows are not alike: {error}.") from error


_READERS = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_records,
    "instances": _read_instances,
    "inputs": _read_inputs,
}
