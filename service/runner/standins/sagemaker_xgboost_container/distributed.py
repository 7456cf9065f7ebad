"""Training on several machines, which may be imported and not called."""

from _sagebird_standins import trains as __getattr__  # noqa: F401
