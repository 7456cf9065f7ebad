"""What the stand-ins share. Its name is odd as it is imported by it, beside whatever modules a model has."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

UNSUPPORTED = (
    "Content type %s is not supported by this framework.\n\n"
    "Please implement input_fn to to deserialize the request data or an output_fn to\n"
    "serialize the response. For more information, see the SageMaker Python SDK README."
)
"""AWS's own words, with their mistake."""


def not_provided(function: str, page: str) -> NotImplementedError:
    """What is raised for a function that a script lacks and for which nothing stands in."""
    told = f"\nPlease provide a {function} implementation.\nSee documentation for {function} at {page}\n"
    return NotImplementedError(told)


def trains(name: str) -> Callable[..., Any]:
    """A function of training: it may be imported, as scripts that train and serve do, and not called."""
    if name.startswith("__"):
        raise AttributeError(name)

    def absent(*arguments: Any, **named: Any) -> Any:
        raise NotImplementedError(
            f"{name} of AWS's training toolkits is not here: this process serves a model"
        )

    absent.__name__ = name
    return absent


def array_to_json(array_like: Any) -> str:
    """An array as JSON."""

    def default(value: Any) -> Any:
        if hasattr(value, "tolist"):
            return value.tolist()
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    return json.dumps(array_like, default=default)


def json_to_numpy(string_like: Any, dtype: Any = None) -> Any:
    """An array from JSON."""
    return np.array(json.loads(string_like), dtype=dtype)


def array_to_npy(array_like: Any) -> bytes:
    """An array as npy."""
    buffer = io.BytesIO()
    np.save(buffer, array_like)
    return buffer.getvalue()


def npy_to_numpy(npy_array: bytes) -> Any:
    """An array from npy; one that holds pickled objects is refused."""
    return np.load(io.BytesIO(npy_array), allow_pickle=False)
