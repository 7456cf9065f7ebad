"""Arrays as bytes. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from _sagebird_standins import array_to_json, array_to_npy

from . import content_types, errors


def _array_to_csv(array_like: Any) -> str:
    stream = io.StringIO()
    np.savetxt(stream, array_like, delimiter=",", fmt="%s")
    return stream.getvalue()


_ENCODERS: dict[str, Any] = {
    content_types.NPY: array_to_npy,
    content_types.CSV: _array_to_csv,
    content_types.JSON: array_to_json,
}
SUPPORTED_CONTENT_TYPES = set(_ENCODERS)


def encode(array_like: Any, content_type: str) -> Any:
    """What is sent for an array. Raises UnsupportedFormatError."""
    if content_type not in _ENCODERS:
        raise errors.UnsupportedFormatError(content_type)
    return _ENCODERS[content_type](array_like)
