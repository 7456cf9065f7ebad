"""What scikit-learn warns about, heard per thread and kept off the process-wide warnings machinery.

Every `predict` of scikit-learn enters `warnings.catch_warnings` (in `check_array`), which swaps the filters
and hooks of the whole process for a moment: a hook installed at that moment is lost when the other thread
leaves. So version drift is heard where the notice is made, and not where it is shown, and filters are looked
after before each use.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import sklearn
import sklearn.base
from sklearn.exceptions import InconsistentVersionWarning

_HEARD: ContextVar[set[str] | None] = ContextVar(
    "versions of the models that this thread unpickles", default=None
)


class _Notice(InconsistentVersionWarning):  # type: ignore[misc]  # scikit-learn has no types
    """Scikit-learn's own notice that an estimator was pickled by another version, told to whoever listens."""

    def __init__(self, **details: str) -> None:
        super().__init__(**details)
        heard = _HEARD.get()
        if heard is not None:
            heard.add(details["original_sklearn_version"])


_Filter = tuple[str, re.Pattern[str] | None, type[Warning], re.Pattern[str] | None, int]
_DRIFT: _Filter = ("ignore", None, _Notice, None, 0)
_NAMES_TEXT = "X does not have valid feature names"
_NAMES: _Filter = ("ignore", re.compile(_NAMES_TEXT, re.I), UserWarning, None, 0)


@contextmanager
def listen() -> Iterator[set[str]]:
    """Collect the scikit-learn versions, other than this one, of what this thread unpickles."""
    sklearn.base.InconsistentVersionWarning = _Notice
    heard: set[str] = set()
    token = _HEARD.set(heard)
    if not _is_first(_DRIFT):
        warnings.filterwarnings("ignore", category=_Notice)
    try:
        yield heard
    finally:
        _HEARD.reset(token)


def drift_sentences(versions: set[str]) -> tuple[str, ...]:
    """What to tell people about a model of these scikit-learn versions."""
    here = sklearn.__version__
    return tuple(
        f"fitted with scikit-learn {version}, this server runs {here}: predictions may differ; "
        f"fit the model again with {here}, or ask for scikit-learn=={version} in code/requirements.txt "
        "(see SAGEBIRD_ENVIRONMENTS)"
        for version in sorted(versions)
    )


def ignore_missing_names() -> None:
    """Keep scikit-learn from warning that rows without names go to a model fitted with names.

    Predictions are the same with and without names. Less than a microsecond when the filter is in place.
    """
    if not _is_first(_NAMES):
        warnings.filterwarnings("ignore", message=_NAMES_TEXT, category=UserWarning)


def _is_first(item: _Filter) -> bool:
    """Only the first filter is sure to win; a later one may stand behind an `error`."""
    return bool(warnings.filters) and tuple(warnings.filters[0]) == item
