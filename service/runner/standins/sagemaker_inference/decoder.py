"""Arrays from bytes. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

import importlib
import io
from typing import Any

import numpy as np
from _sagebird_standins import json_to_numpy, npy_to_numpy

from . import content_types, errors


def _csv_to_numpy(string_like: Any, dtype: Any = None) -> Any:
    return np.genfromtxt(io.StringIO(string_like), dtype=dtype or float, delimiter=",")


def _npz_to_sparse(npz_bytes: bytes) -> Any:
    return importlib.import_module("scipy.sparse").load_npz(io.BytesIO(npz_bytes))


_DECODERS: dict[str, Any] = {
    content_types.NPY: npy_to_numpy,
    content_types.CSV: _csv_to_numpy,
    content_types.JSON: json_to_numpy,
    content_types.NPZ: _npz_to_sparse,
}


def decode(obj: Any, content_type: str) -> Any:
    """An array from what was sent. Raises UnsupportedFormatError."""
    if content_type not in _DECODERS:
        raise errors.UnsupportedFormatError(content_type)
    return _DECODERS[content_type](obj)
