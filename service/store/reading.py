"""What was read of a store and holds until the store changes: to ask for it again and again costs little."""

from collections.abc import Callable
from typing import Generic, TypeVar

from service.store.store import Store, View

_Read = TypeVar("_Read")


class KnownReading(Generic[_Read]):
    """One reading, read anew once the store's revision has moved. For one thread at a time.

    It is of what moves the revision: resources and facts, not what gateways report.
    """

    def __init__(self, store: Store, read: Callable[[View], _Read]) -> None:
        """`read` is given one consistent picture."""
        self._store = store
        self._read = read
        self._known: tuple[int, _Read] | None = None

    def get(self) -> tuple[int, _Read]:
        """The store's revision now, and what was read at it. Raises Unavailable."""
        with self._store.view() as view:
            revision = view.revision()
            if self._known is None or self._known[0] != revision:
                self._known = revision, self._read(view)
        return self._known
