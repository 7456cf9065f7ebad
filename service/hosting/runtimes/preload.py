"""What every process that hosts models imports sooner or later, imported once before they are forked.

This file itself imports nothing heavy.
"""

import importlib
import os
from contextlib import suppress

from service.hosting.memory import importing, set_apart
from service.hosting.runtimes import scipy_stats

_THREADS = "OMP_NUM_THREADS"
_ALGEBRA_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MODULES = (
    "pandas",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "service.hosting.runtimes.sklearn",
)


def limit_threads() -> None:
    """Give numeric libraries one thread each; call it before any of them is imported.

    Processes are the parallelism here, more threads make single predictions slower, and a process that has
    threads must not be forked. OpenMP may be told otherwise. The libraries of linear algebra may not: they
    add up in another order with another number of threads, so that answers would depend on it.
    """
    os.environ.setdefault(_THREADS, "1")
    for variable in _ALGEBRA_THREADS:
        os.environ[variable] = "1"


def preload() -> None:
    """Import the heavy libraries, so that forked processes share them and start at once."""
    with importing():
        # A version of scikit-learn that does more with scipy.stats than to take names from it gets the whole.
        with suppress(ImportError, AttributeError, TypeError), scipy_stats.put_off():
            _import_all()
        _import_all()
    set_apart()


def _import_all() -> None:
    for name in _MODULES:
        importlib.import_module(name)


def reseed() -> None:
    """Give a forked process random numbers of its own: numpy's global state is a copy of its parent's."""
    importlib.import_module("numpy").random.seed()
