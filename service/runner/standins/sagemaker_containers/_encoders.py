"""Arrays from bytes and back. Source: sagemaker-containers 2.8.6."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from _sagebird_standins import array_to_json, array_to_npy, json_to_numpy, npy_to_numpy

from ._content_types import CSV, JSON, NPY
from ._errors import ClientError, UnsupportedFormatError


def csv_to_numpy(string_like: str, dtype: Any = None) -> Any:
    """An array of the cells of a CSV, without dimensions of one."""
    try:
        rows = list(csv.reader(io.StringIO(string_like), strict=True))
        array = np.array(rows).squeeze()
    except Exception as error:
        raise ClientError(f"Error while decoding csv: {error}") from error
    try:
        return array.astype(dtype)
    except ValueError as error:
        if dtype is not None:
            raise ClientError(f"Error while writing numpy array: {error}. dtype is: {dtype}") from error
    return array


def array_to_csv(array_like: Any) -> str:
    """An array as CSV, one of one dimension as a column."""
    array = np.array(array_like)
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", strict=True).writerows(
        [str(cell) for cell in row] for row in array
    )
    return stream.getvalue()


_ENCODERS: dict[str, Any] = {NPY: array_to_npy, CSV: array_to_csv, JSON: array_to_json}
_DECODERS: dict[str, Any] = {NPY: npy_to_numpy, CSV: csv_to_numpy, JSON: json_to_numpy}


def decode(obj: Any, content_type: str) -> Any:
    """An array from what was sent. Raises UnsupportedFormatError."""
    if content_type not in _DECODERS:
        raise UnsupportedFormatError(content_type)
    return _DECODERS[content_type](obj)


def encode(array_like: Any, content_type: str) -> Any:
    """What is sent for an array. Raises UnsupportedFormatError."""
    if content_type not in _ENCODERS:
        raise UnsupportedFormatError(content_type)
    return _ENCODERS[content_type](array_like)
