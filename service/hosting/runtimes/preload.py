"""What every process that hosts models imports sooner or later, imported once before they are forked.

This file itself imports nothing heavy.
"""

import importlib
import os
from collections.abc import Iterable
from contextlib import suppress

from service.hosting.memory import importing, set_apart
from service.imports import left_out, put_off

_THREADS = "OMP_NUM_THREADS"
_ALGEBRA_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MODULES = (
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "service.hosting.runtimes.built_in",
    "service.hosting.runtimes.sklearn",
)
# Scikit-learn imports these whole for a dozen functions, most of which only fitting uses: half of what its
# own import takes, and 70 MB.
_PUT_OFF = (
    "pandas",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.optimize",
    "scipy.spatial",
    "scipy.stats",
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


def preload(named: Iterable[str] = ()) -> None:
    """Import the heavy libraries, so that forked processes share them and start at once.

    And the modules `named`, which models here are made of; those that are not installed are passed over.
    """
    with importing(), left_out("rich"):
        # A version of scikit-learn that does more with these than to take names from them gets the whole.
        with suppress(ImportError, AttributeError, TypeError), put_off(*_PUT_OFF):
            _import_all()
        _import_all()
        for name in named:
            with suppress(ImportError):
                importlib.import_module(name)
    set_apart()


def _import_all() -> None:
    for name in _MODULES:
        importlib.import_module(name)


def reseed() -> None:
    """Give a forked process random numbers of its own: numpy's global state is a copy of its parent's."""
    importlib.import_module("numpy").random.seed()
