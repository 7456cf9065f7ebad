"""How many requests somebody has under way in all gateways of a family together, exact to the request.

Each gateway counts its own in a column of a table that all share, so that those of one that is killed end
with it: whoever takes its place begins at none. A count is looked up and raised under one lock, which ends
with the process that holds it.
"""

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

_NAME_BYTES = 16
_NAME_WORDS = _NAME_BYTES // 4
_FREE = bytes(_NAME_BYTES)
_TRIED = 16
_MOST = 4096
_MOST_COLUMNS = 257  # as many as gateways may be, and who makes it


class InFlight:
    """Made before the processes that share it are forked, and used by one thread of each."""

    def __init__(self, most: int = _MOST) -> None:
        """Room for the counts of so many names."""
        self._most = most
        words = _NAME_WORDS * (_MOST_COLUMNS + most) + _MOST_COLUMNS * most
        self._memory = mmap.mmap(-1, words * 4)  # names of columns, names of rows, counts by column
        self._words = memoryview(self._memory).cast("I")  # one is written in one step
        self._counts = _NAME_WORDS * (_MOST_COLUMNS + most)
        self._lock = _open_lock()
        self._mine = self._column(_digest(""))
        self._known: dict[str, tuple[int, bytes]] = {}

    def begin(self, process: str) -> None:
        """Count as this process from now on: nothing is under way in it."""
        with self._locked():
            self._mine = self._column(_digest(process))
            for row in range(self._most):
                self._words[self._place(self._mine, row)] = 0

    def enter(self, name: str, most: int) -> int | None:
        """Count a request, and give what it leaves by; None if so many are under way."""
        with self._locked():
            row = self._row(name)
            if row is None or self._total(row) >= most:
                return None
            self._words[self._place(self._mine, row)] += 1
        return row

    def leave(self, row: int) -> None:
        """A request that was counted is over."""
        self._words[self._place(self._mine, row)] -= 1

    def _column(self, digest: bytes) -> int:
        """The column of a process: the one that it had before, or a new one."""
        for column in range(_MOST_COLUMNS):
            found = self._name(column)
            if found in (digest, _FREE):
                self._write_name(column, digest)
                return column
        raise RuntimeError("More processes count requests than there may be gateways.")

    def _row(self, name: str) -> int | None:
        """The row of a name, which nobody else gets while something is under way; None if there is none."""
        known = self._known.get(name)
        if known is not None and self._name(_MOST_COLUMNS + known[0]) == known[1]:
            return known[0]
        digest = _digest(name)
        row = self._find(digest)
        if row is not None:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[name] = row, digest
        return row

    def _find(self, digest: bytes) -> int | None:
        first = int.from_bytes(digest[-8:], "big")
        rows = [(first + step) % self._most for step in range(min(_TRIED, self._most))]
        mine = [row for row in rows if self._name(_MOST_COLUMNS + row) == digest]
        idle = [row for row in rows if not self._total(row)]
        row = next(iter((*mine, *idle)), None)
        if row is not None and not mine:
            self._write_name(_MOST_COLUMNS + row, digest)
        return row

    def _total(self, row: int) -> int:
        total = 0
        for column in range(_MOST_COLUMNS):
            if not self._words[column * _NAME_WORDS]:
                break  # none has begun behind the last one
            total += self._words[self._place(column, row)]
        return total

    def _place(self, column: int, row: int) -> int:
        return self._counts + column * self._most + row

    def _name(self, number: int) -> bytes:
        return self._memory[number * _NAME_BYTES : (number + 1) * _NAME_BYTES]

    def _write_name(self, number: int, digest: bytes) -> None:
        self._memory[number * _NAME_BYTES : (number + 1) * _NAME_BYTES] = digest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1)


def _digest(name: str) -> bytes:
    """What stands for a name; its first word is never 0, which is a place that nobody has."""
    return b"\1" + blake2b(name.encode("utf-8"), digest_size=_NAME_BYTES - 1).digest()


def _open_lock() -> int:
    """A file that has no name and no content, for its lock."""
    if hasattr(os, "memfd_create"):  # on Linux
        return os.memfd_create("sagebird-in-flight")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
