"""The built-in functions of the container. Source: sagemaker-containers 2.8.6."""

from __future__ import annotations

from typing import Any

from _sagebird_standins import not_provided

from ._encoders import decode, encode
from ._worker import Response

_PAGE = "https://github.com/aws/sagemaker-python-sdk"


def default_model_fn(model_dir: str) -> Any:
    """There is none."""
    raise not_provided("model_fn", _PAGE)


def default_input_fn(input_data: Any, content_type: str) -> Any:
    """An array from what was sent."""
    return decode(input_data, content_type)


def default_predict_fn(data: Any, model: Any) -> Any:
    """There is none."""
    raise not_provided("predict_fn", _PAGE)


def default_output_fn(prediction: Any, accept: str) -> Response:
    """The response that holds a prediction."""
    return Response(response=encode(prediction, accept), mimetype=accept)
