"""Exceptions. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

from _sagebird_standins import UNSUPPORTED


class UnsupportedFormatError(Exception):
    """A content type that is not read or written."""

    def __init__(self, content_type: str, **details: object) -> None:
        super().__init__(UNSUPPORTED % content_type, **details)


class BaseInferenceToolkitError(Exception):
    """A failure with the status that the caller gets."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        self.status_code = status_code
        self.message = message
        self.phrase = phrase
        super().__init__(status_code, message, phrase)


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """A failure of any kind."""

    def __init__(self, status_code: int, message: str | None = None, phrase: str | None = None) -> None:
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)


class ModelLoadInferenceToolkitError(BaseInferenceToolkitError):
    """A model that cannot be loaded."""
