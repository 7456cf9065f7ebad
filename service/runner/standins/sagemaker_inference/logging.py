"""Loggers. Source: sagemaker-inference 1.10.1."""

from __future__ import annotations

import logging


def get_logger() -> logging.Logger:
    """The toolkit's logger."""
    return logging.getLogger("sagemaker-inference")


def configure_logger() -> None:
    """Loggers are configured here."""
