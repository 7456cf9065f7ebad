"""Running scripts, which is for training."""

from .training import __getattr__  # noqa: F401
