"""Running scripts, which is for training."""

from _sagebird_standins import trains as __getattr__  # noqa: F401
