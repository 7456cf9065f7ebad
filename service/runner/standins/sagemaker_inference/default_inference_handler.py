"""The built-in functions. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

from typing import Any

from . import decoder, encoder

_PLEASE = "\nPlease provide a %s implementation.\nSee documentation for %s at https://sagemaker.readthedocs.io/en/stable/\n"


class DefaultInferenceHandler:
    """What stands in for the functions that a script lacks."""

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        """There is none."""
        raise NotImplementedError(_PLEASE % ("model_fn", "model_fn"))

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """An array from what was sent."""
        return decoder.decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        """There is none."""
        raise NotImplementedError(_PLEASE % ("predict_fn", "predict_fn"))

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """What is sent for a prediction, and its content type."""
        return encoder.encode(prediction, accept), accept
