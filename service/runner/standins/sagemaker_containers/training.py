"""What belongs to training: it may be imported, as scripts that train and serve do, and not called."""

from _sagebird_standins import trains as __getattr__  # noqa: F401
