"""ONNX models, run by onnxruntime on one thread."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from _sagebird_frameworks import Refusal, check_width, library, model_files, unreadable

_OUTPUT = "ONNX_OUTPUTS"
_SILENT = "ORT_DISABLE_TELEMETRY"
_TYPES = {
    **{"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16},
    **{"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16},
    **{"tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_},
    "tensor(string)": np.object_,
}


class ONNXModel:
    """A session. One input takes rows; several are columns, or tensors, by their names."""

    def __init__(self, onnxruntime: Any, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        self._outputs = _outputs([each.name for each in self._session.get_outputs()])
        unknown = {each.type for each in self._inputs} - {*_TYPES}
        if unknown:
            raise ValueError(f"its inputs are of {', '.join(sorted(unknown))}, which no request can hold")
        shape = self._inputs[0].shape
        self.n_features_in_ = 0
        if len(self._inputs) > 1:
            self.feature_names_in_ = [each.name for each in self._inputs]
            self.n_features_in_ = len(self._inputs)
        elif len(shape) == 2 and isinstance(shape[1], int):
            self.n_features_in_ = shape[1]

    def predict(self, data: Any) -> Any:
        """The first output, or those that are asked for, by their names where they are several.

        Raises Refusal.
        """
        try:
            found = self._session.run(self._outputs, self._given(data))
        except Refusal:
            raise
        except Exception as error:  # each fault of onnxruntime is a class of its own, most are of the request
            raise Refusal(str(error)) from error
        if len(found) == 1:
            return found[0]
        return {name: _plain(value) for name, value in zip(self._outputs, found)}

    def _given(self, data: Any) -> dict[str, Any]:
        if len(self._inputs) == 1:
            (only,) = self._inputs
            rows = np.asarray(data)
            check_width(rows, self.n_features_in_, "the model")
            return {only.name: rows.astype(_TYPES[only.type])}
        cells = np.asarray(data, dtype=object)
        check_width(cells, len(self._inputs), "the model")
        return {each.name: _column(column, each) for each, column in zip(self._inputs, cells.T)}


def _outputs(names: list[str]) -> list[str]:
    asked = [name.strip() for name in os.environ.get(_OUTPUT, "").split(",") if name.strip()]
    for name in asked:
        if name not in names:
            raise ValueError(f"{_OUTPUT} names {name}, and its outputs are {', '.join(names)}")
    return asked or names[:1]


def _column(cells: Any, wanted: Any) -> Any:
    """The values of one input: a column of single ones where it takes that."""
    values: Any = np.array([*cells], dtype=_TYPES[wanted.type])
    return values.reshape(-1, 1) if values.ndim == 1 and len(wanted.shape) == 2 else values


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def model_fn(model_dir: str) -> ONNXModel:
    """Load the model's file."""
    path = model_files(model_dir)[0]
    os.environ.setdefault(_SILENT, "1")  # else it sends reports to its makers, from a thread of its own
    onnxruntime = library("onnxruntime", path)
    try:
        return ONNXModel(onnxruntime, path)
    except Exception as error:
        raise unreadable(path, "ONNX", error) from error
