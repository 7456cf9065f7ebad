"""What the fork server of containers borrows: libraries that are imported soon, and `quicken` for its models.

This file itself imports nothing heavy.
"""

import importlib
from collections.abc import Callable, Iterable

from service.hosting.runtimes.preload import import_lightly

_LENT = "service.hosting.runtimes.scripted"


def lend(libraries: Iterable[str]) -> Callable[..., list[str]]:
    """Import the libraries that are there, and return what makes a model's estimators answer by programs.

    A model's code that imports what was put off has it, in its own process, from then on.

    Raises:
        ImportError: a library that programs need is not installed.
    """
    import_lightly(libraries, but=("pandas",))
    lent: Callable[..., list[str]] = importlib.import_module(_LENT).quicken
    return lent
