"""What every child of the family does alike: hear SIGTERM, see its parent go, open the state anew."""

import os
import signal
import threading

from service.errors import StartupError, StateDamaged, StateUnreadable, Unavailable
from service.settings import Settings
from service.store.store import Store


def stop_event() -> threading.Event:
    """An event that SIGTERM sets, from now on."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    return stop


def is_orphaned(parent_pid: int) -> bool:
    """Whether the parent that this process was forked by is gone."""
    return os.getppid() != parent_pid


def reopen(settings: Settings) -> Store:
    """The store in a child of the family: it was sound when that started, so what is wrong now may pass.

    Raises:
        Unavailable: it cannot be opened for now; who says so is started again.
        StateDamaged: it cannot be read any more.
    """
    try:
        return Store(settings.state)
    except StateUnreadable as error:
        raise StateDamaged(error.message) from None
    except StartupError as error:
        raise Unavailable(error.message) from None
