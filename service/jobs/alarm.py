"""Ends Python code whose time is over, in the main thread of a process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from service.errors import ModelTimeout


@contextmanager
def alarm(timeout_s: float) -> Iterator[None]:
    """Interrupt the model's Python code when its time is over. Raises ModelTimeout. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise ModelTimeout(f"no answer within {timeout_s:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
