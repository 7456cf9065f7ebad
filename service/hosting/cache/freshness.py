"""Whether the files of loaded models are still those that were loaded, looked at a few at a time."""

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Final

from service.errors import ModelFault
from service.hosting.cache.source import ModelKey

CHANGED: Final = (
    "its files were changed on disk after it was loaded, and it answers as it was loaded: what is declared "
    "is served anew once it has loaded (unless SAGEBIRD_RELOAD is off), what was deployed after an update"
)

_AT_ONCE: Final = 10
_UPDATED_S: Final = 1.5  # in which an update that is due has come
_LOOK_S: Final = 0.05

LoadedVersion = tuple[ModelKey, str]
"""A loaded model and the version of the files that it was loaded from."""


class Freshness:
    """What is known of loaded models; of each, `look` from time to time."""

    def __init__(self, version: Callable[[ModelKey], str]) -> None:
        """`version` tells that of a model's files now; it blocks, and raises ModelFault if they are gone."""
        self._version = version
        self._changed: frozenset[LoadedVersion] = frozenset()
        self._turn = 0

    def look(self, loaded: Sequence[LoadedVersion]) -> None:
        """Look at the next few of these models. Blocking; one thread at a time."""
        turn = self._turn if self._turn < len(loaded) else 0
        looked_at = loaded[turn : turn + _AT_ONCE]
        self._turn = turn + _AT_ONCE
        kept = self._changed.intersection(loaded).difference(looked_at)
        self._changed = kept.union(each for each in looked_at if self._is_changed(*each))

    def notes(self, key: ModelKey, version: str) -> tuple[str, ...]:
        """What people should know of a loaded model."""
        return (CHANGED,) if (key, version) in self._changed else ()

    def _is_changed(self, key: ModelKey, version: str) -> bool:
        try:
            return self._version(key) != version
        except (ModelFault, OSError):  # gone: a model goes on without its files
            return False


def version_to_load(version_now: Callable[[], str], declared: str) -> str:
    """The version of a model's files now. Blocks a moment where it is another than was declared, "" for any.

    Files that were just written over become an update, with which all gateways go over at once: one that had
    not loaded the model yet must not answer by the new ones before the others do.
    """
    end_s = monotonic() + _UPDATED_S
    while (version := version_now()) != declared and declared and monotonic() < end_s:
        sleep(_LOOK_S)
    return version
