"""Lines on their way into the store: noted in memory at once, written by a thread a few times a second.

Whoever prints never waits. What is too much in a second, or while nothing can be written, is left out and
counted, for each stream by itself.
"""

import threading
from time import monotonic, time
from typing import Final

from service.domain.log_places import LogPlace, read_place
from service.errors import SagebirdError
from service.log import Trouble, get_logger
from service.store.logs import LogLine, LogStore

_FLUSH_S: Final = 0.25
_MOST_CHARS: Final = 262_118  # of a message. Source: PutLogEvents, 256 KiB with what an event counts
_MOST_LINES_PER_S: Final = 5_000  # of one stream
_MOST_CHARS_PER_S: Final = 1 << 21  # likewise
_MOST_WAITING: Final = 100_000
_MOST_WAITING_CHARS: Final = 1 << 23
_SECOND_S: Final = 1.0
_LEAVE_S: Final = 5.0


class _Allowance:
    """How much a stream may still bring in this second, and what was left out of it."""

    __slots__ = ("chars", "left_out", "lines", "until_s", "where")

    def __init__(self, where: LogPlace) -> None:
        self.where = where
        self.lines = self.chars = self.left_out = 0
        self.until_s = 0.0

    def takes(self, chars: int, now_s: float, most: int) -> bool:
        """Whether one more line of so many characters may come, of so many lines in a second."""
        if now_s >= self.until_s:
            self.lines = self.chars = 0
            self.until_s = now_s + _SECOND_S
        if self.lines >= most or self.chars + chars > _MOST_CHARS_PER_S:
            self.left_out += 1
            return False
        self.lines += 1
        self.chars += chars
        return True


class LogWriter:
    """Writes the lines of one process. Its thread starts with the first line."""

    def __init__(self, store: LogStore, most_per_s: int = _MOST_LINES_PER_S) -> None:
        """Of each stream at most so many lines per second are kept."""
        self._store = store
        self._most_per_s = most_per_s
        self._lock = threading.Lock()
        self._waiting: list[LogLine] = []
        self._chars = 0
        self._allowances: dict[str, _Allowance] = {}
        self._wakes = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = Trouble(get_logger("sagebird.logs"), "what models print cannot be kept")

    def add(self, place: str, message: str, request: str = "", at_ms: int | None = None) -> None:
        """Keep a line that came just now, or at that time. From any thread; it does not wait."""
        message = message[:_MOST_CHARS]
        with self._lock:
            allowance = self._allowances.get(place)
            if allowance is None:
                if (where := read_place(place)) is None:
                    return
                allowance = self._allowances[place] = _Allowance(where)
            if len(self._waiting) >= _MOST_WAITING or self._chars > _MOST_WAITING_CHARS:
                allowance.left_out += 1
                return
            if not allowance.takes(len(message), monotonic(), self._most_per_s):
                return
            now_ms = int(time() * 1000) if at_ms is None else at_ms
            self._waiting.append(LogLine(*allowance.where, now_ms, message, request))
            self._chars += len(message)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
                self._thread.start()
        self._wakes.set()

    def close(self) -> None:
        """Write what is there, and no more."""
        self._closing.set()
        self._wakes.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)
        self._store.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            # what was left out is told though nothing more comes
            self._wakes.wait(_SECOND_S if self._allowances else None)
            self._closing.wait(_FLUSH_S)  # what comes together is written together
            self._wakes.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            lines, chars = self._waiting, self._chars
            self._waiting, self._chars = [], 0
            lines += self._left_out()
        if not lines:
            return
        try:
            self._store.write(lines)
            self._trouble.end()
        except SagebirdError as error:  # the disk is full, or somebody else writes for long: tried again
            self._trouble.meet(error.message)
            with self._lock:
                self._waiting, self._chars = lines + self._waiting, chars + self._chars
            self._wakes.set()

    def _left_out(self) -> list[LogLine]:
        """A line for each stream of which some were left out. Forgets streams that are quiet."""
        now_s, told = monotonic(), list[LogLine]()
        for place, allowance in [*self._allowances.items()]:
            if now_s < allowance.until_s:
                continue
            del self._allowances[place]
            if allowance.left_out:
                text = f"… and {allowance.left_out:,} more lines, which were left out"
                told.append(LogLine(*allowance.where, int(time() * 1000), text))
        return told
