"""Counts that all gateways of a family share: how often somebody has asked of late, exact to the request.

Each count is one moment: when all that was asked would have been due, had it come evenly. Whoever comes
earlier than a burst before that moment has to wait. A moment is read and written under the lock of its place
in a file, which ends with the process that holds it. Source: the generic cell rate algorithm of ITU-T I.371.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

from service.rates import RequestRate

_NAME_BYTES = 16
_PLACE = struct.Struct("16sd")
_TRIED = 16
_MOST = 8192
_FREE = bytes(_NAME_BYTES)
_ROUNDING_S = 1e-9


class TokenBuckets:
    """Made before the processes that share it are forked, and used by one thread of each."""

    def __init__(self, most: int = _MOST, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Room for the counts of so many names; of more, those that were asked least lately give way.

        `monotonic` is a clock that all processes share.
        """
        self._most = most
        self._monotonic = monotonic
        self._memory = mmap.mmap(-1, most * _PLACE.size)
        self._locks = _open_locks()
        self._known: dict[str, tuple[int, bytes]] = {}

    def take(self, name: str, rate: RequestRate) -> float:
        """Ask once: 0 if that may be, else how many seconds later it may."""
        place, digest = self._known.get(name) or self._find(name)
        now_s, each_s = self._monotonic(), 1.0 / rate.per_s
        with self._locked(place):
            found, due_s = self._read(place)
            due_s = max(due_s if found == digest else 0.0, now_s) + each_s
            wait_s = due_s - now_s - rate.burst * each_s
            if wait_s > _ROUNDING_S:
                return wait_s
            _PLACE.pack_into(self._memory, place * _PLACE.size, digest, due_s)
        return 0.0

    def _find(self, name: str) -> tuple[int, bytes]:
        """The place of a name, which is the same in each process, and what is written there of the name."""
        digest = blake2b(name.encode("utf-8"), digest_size=_NAME_BYTES).digest()
        first = int.from_bytes(digest[:8], "big")
        places = [(first + step) % self._most for step in range(min(_TRIED, self._most))]
        with self._locked(self._most):
            known = {place: self._read(place) for place in places}
            mine = [place for place, (found, _) in known.items() if found in (digest, _FREE)]
            place = mine[0] if mine else min(places, key=lambda each: known[each][1])
            if known[place][0] != digest:
                _PLACE.pack_into(self._memory, place * _PLACE.size, digest, 0.0)
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[name] = place, digest
        return place, digest

    def _read(self, place: int) -> tuple[bytes, float]:
        found, due_s = _PLACE.unpack_from(self._memory, place * _PLACE.size)
        return found, due_s

    @contextmanager
    def _locked(self, place: int) -> Iterator[None]:
        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, place)
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place)


def _open_locks() -> int:
    """A file that has no name and no content, for its locks."""
    if hasattr(os, "memfd_create"):  # on Linux
        return os.memfd_create("sagebird-rates")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
