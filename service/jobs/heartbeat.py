"""Keeps a lease alive while its holder works, and tells the holder when to stop."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from service.clock import Clock
from service.errors import SagebirdError
from service.log import get_logger
from service.store.tasks import TaskLease, TaskQueue

SILENT_S: Final = 6.0
"""Seconds without a beat after which a task is taken over by another worker."""

BEAT_S: Final = 2.0
LOOK_S: Final = 0.5


class Heartbeat:
    """A thread that renews a lease every `beat_s` and looks every `look_s` whether its job is to stop."""

    def __init__(
        self,
        queue: TaskQueue,
        lease: TaskLease,
        clock: Clock,
        *,
        leaving: Callable[[], bool] = lambda: False,
        beat_s: float = BEAT_S,
        look_s: float = LOOK_S,
    ) -> None:
        """`leaving` tells that the worker itself is to end."""
        self._queue = queue
        self._lease = lease
        self._clock = clock
        self._leaving = leaving
        self._beat_s, self._look_s = beat_s, look_s
        self._beaten_s = clock.monotonic()
        self._lost = False
        self._stopping = lease.stopping
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._log = get_logger("sagebird.worker")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether another may have taken over: said by the queue, or no beat came through for too long."""
        return self._lost or self._clock.monotonic() - self._beaten_s > SILENT_S

    @property
    def stopping(self) -> bool:
        """Whether the job is being stopped."""
        return self._stopping

    def stops(self) -> bool:
        """Whether to go no further, for whatever reason."""
        return self.lost or self._stopping or self._leaving()

    def look(self) -> None:
        """Look once, and beat if it is time to."""
        begun_s = self._clock.monotonic()
        try:
            standing = self._queue.look(self._lease)
            self._lost = self._lost or not standing.held
            self._stopping = self._stopping or standing.stopping
            if standing.held and begun_s - self._beaten_s >= self._beat_s:
                if self._queue.beat(self._lease, self._clock.now()):
                    self._beaten_s = begun_s
                else:
                    self._lost = True
        except SagebirdError as error:  # the database is busy or away: the next look may do better
            self._log.warning("heartbeat missed", job=self._lease.job, reason=error.message)

    def _run(self) -> None:
        while not self._over.wait(self._look_s) and not self._lost:
            try:
                self.look()
            except Exception:  # the edge of a thread: without beats the lease runs out, which is safe
                self._log.exception("heartbeat failed", job=self._lease.job)
