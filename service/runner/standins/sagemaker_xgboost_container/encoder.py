"""Matrices from CSV and libsvm. Source: sagemaker-xgboost-container, encoder.py."""

from __future__ import annotations

import csv
import importlib
import io
import json
from typing import Any

import numpy as np

_UNSUPPORTED = "Content type %s is not supported by this framework."


def csv_to_dmatrix(input: Any, dtype: Any = None) -> Any:
    """A DMatrix of rows, however their cells are separated; blank cells are gaps."""
    text = (input.decode() if isinstance(input, (bytes, bytearray)) else input).strip("\r\n")
    found = csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter if len(text.split("\n")[0]) > 1 else ","
    delimiter = "," if found.isalnum() or found == "." else found
    rows = [
        ["nan" if cell.strip() == "" else cell for cell in line.split(delimiter)] for line in text.split("\n")
    ]
    return importlib.import_module("xgboost").DMatrix(np.array(rows).astype(dtype or np.float32))


def libsvm_to_dmatrix(string_like: Any) -> Any:
    """A DMatrix of lines `label index:value …`; indices from 1 are moved to 0."""
    text = string_like.decode() if isinstance(string_like, (bytes, bytearray)) else string_like
    lines = [line.split() for line in text.strip().split("\n")]
    cells = [[part.split(":") for part in line if ":" in part] for line in lines]
    indices = [[int(index) for index, _ in row] for row in cells]
    first = 1 if min((min(row) for row in indices if row), default=0) >= 1 else 0
    matrix = np.full((len(cells), 1 + max((max(row) for row in indices if row), default=0) - first), np.nan)
    for number, row in enumerate(cells):
        for index, value in row:
            matrix[number, int(index) - first] = float(value)
    return importlib.import_module("xgboost").DMatrix(matrix)


def json_to_jsonlines(json_data: Any) -> bytes:
    """The entries of the one list in a document, a line each."""
    document = json_data if isinstance(json_data, dict) else json.loads(json_data)
    if len(document) != 1:
        raise ValueError("JSON response is not compatible for conversion to jsonlines.")
    lines = io.StringIO()
    for entries in document.values():
        lines.writelines(json.dumps(entry) + "\n" for entry in entries)
    return lines.getvalue().encode()


_DECODERS: dict[str, Any] = {
    "text/csv": csv_to_dmatrix,
    "text/libsvm": libsvm_to_dmatrix,
    "text/x-libsvm": libsvm_to_dmatrix,
}


def decode(obj: Any, content_type: str) -> Any:
    """A DMatrix from what was sent."""
    media_type = content_type.partition(";")[0].strip()
    if media_type not in _DECODERS:
        raise ValueError(_UNSUPPORTED % media_type)
    return _DECODERS[media_type](obj)
