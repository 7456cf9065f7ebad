"""What is printed in a server, kept: who opens the store of it, writes into it, and clears it."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from service.errors import SagebirdError
from service.invoke.directory import Directory
from service.invoke.failed import FailureLog
from service.log import Trouble, get_logger
from service.settings import Settings
from service.store.log_writer import LogWriter
from service.store.logs import LogStore

_LOOK_S: Final = 2.0
_MOST_FAILURES_PER_S: Final = 50  # of one variant; the file says how many more there were


def open_logs(settings: Settings) -> LogStore | None:
    """The store of what models print; None where nothing is kept."""
    return LogStore(settings.log_file) if settings.logs_max_bytes else None


def failure_log(settings: Settings, directory: Callable[[], Directory]) -> FailureLog:
    """What keeps the failures of one gateway. To be closed at its end."""
    store = open_logs(settings)
    if store is None:
        return FailureLog(directory)
    writer = LogWriter(store, _MOST_FAILURES_PER_S)
    return FailureLog(directory, writer.add, writer.close)


def logs_look(settings: Settings) -> Callable[[], None]:
    """What lets go, every other second, of what is too old or too much."""
    return _Clearing(open_logs(settings), settings.logs_max_bytes).look


class _Clearing:
    def __init__(self, store: LogStore | None, most_bytes: int) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._looked_s = 0.0
        self._trouble = Trouble(get_logger("sagebird.logs"), "what models have printed cannot be cleared")

    def look(self) -> None:
        if self._store is None or monotonic() - self._looked_s < _LOOK_S:
            return
        self._looked_s = monotonic()
        try:
            self._store.clear(self._most_bytes)
            self._trouble.end()
        except SagebirdError as error:  # its disk is full, or it is damaged: endpoints go on
            self._trouble.meet(error.message)
