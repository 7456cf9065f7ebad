"""Keeps one gateway's keys as new as the store has them: a thread of its own looks, whatever else is slow."""

import asyncio
import threading
from collections.abc import Callable

from service.errors import SagebirdError
from service.log import Trouble, get_logger
from service.store.store import ACCESS_KEYS, Store

LOOK_S = 0.2
"""Seconds between two looks: a key that is revoked lets nobody in a second later."""


class KeyWatch:
    """Follows the keys that a store holds."""

    def __init__(self, store: Store, follow: Callable[[object], None]) -> None:
        """`follow` is told all keys at the beginning and whenever something changes, on the event loop."""
        self._store = store
        self._follow = follow
        self._seen = -1
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keys", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        log = get_logger("sagebird.keys")
        self._log = log
        self._trouble = Trouble(log, "store cannot be read, keys are as they were")

    def begin(self) -> None:
        """Read the keys and go on following them. Called on the event loop, before anybody is let in."""
        self._loop = asyncio.get_running_loop()
        self._look(self._follow)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look(self._tell)

    def _look(self, tell: Callable[[object], None]) -> None:
        try:
            with self._store.view() as view:
                revision = view.revision()
                found = view.fact(ACCESS_KEYS) if revision != self._seen else None
            if revision != self._seen:
                tell({} if found is None else found)
                self._seen = revision
            self._trouble.end()
        except SagebirdError as error:  # the store is locked, full or away: it may come back
            self._trouble.meet(error.message)
        except Exception:  # the edge of a loop that must outlive one bad look
            self._log.exception("could not follow the keys")

    def _tell(self, documents: object) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._follow, documents)
