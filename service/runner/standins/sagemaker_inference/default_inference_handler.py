"""The built-in functions. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

from typing import Any

from _sagebird_standins import not_provided

from . import decoder, encoder

_PAGE = "https://sagemaker.readthedocs.io/en/stable/"


class DefaultInferenceHandler:
    """What stands in for the functions that a script lacks."""

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        """There is none."""
        raise not_provided("model_fn", _PAGE)

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """An array from what was sent."""
        return decoder.decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        """There is none."""
        raise not_provided("predict_fn", _PAGE)

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """What is sent for a prediction, and its content type."""
        return encoder.encode(prediction, accept), accept
