"""The bytes of a part on their way to the disk: past the page cache where that can be, else through it.

To copy bytes into the page cache and have the kernel write them from there costs 2 s of processor per GiB,
nearly as much as to sum them up; past it, a quarter of that. While some are written the next ones are taken.
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import BoundedSemaphore
from typing import Final, Protocol

_BUFFER_BYTES: Final = 2 << 20
_BUFFERS: Final = 2  # of a part: one is written while the other fills
_LANES: Final = 8  # so many parts at a time are written past the cache: they hold memory
_THREADS: Final = 8  # that wait for the disk
_LEAST_BYTES: Final = 2 * _BUFFER_BYTES
_PAGE: Final = 4096  # places, lengths and addresses are multiples of it: no disk is known that asks for more
_EARLY_BYTES: Final = 8 << 20
_DIRECT: Final = getattr(os, "O_DIRECT", 0)  # of Linux


class PartFile(Protocol):
    """An open file to which a part is written, from its place on. For one thread at a time."""

    def write(self, data: bytes) -> None:
        """Add bytes. Raises OSError."""
        ...

    def finish(self) -> None:
        """Return when all of it is on the disk. Raises OSError."""
        ...

    def close(self) -> None:
        """Give the file back, and what was held for it. It may be called again."""
        ...


class PartFiles:
    """Decides how the parts of one process are written. Safe between threads."""

    def __init__(self) -> None:
        self._lanes = BoundedSemaphore(_LANES)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3-disk")

    def open(self, descriptor: int, start: int, size: int | None) -> PartFile:
        """The file of a descriptor, which is its own from now on, for a part of that size from `start` on."""
        fits = _DIRECT and size is not None and size >= _LEAST_BYTES and start % _PAGE == 0
        if not fits or not self._lanes.acquire(blocking=False):
            return _CachedFile(descriptor, start)
        try:
            _set_direct(descriptor, is_direct=True)
            # Pages of their own, whose addresses are multiples of a page.
            buffers = [mmap.mmap(-1, _BUFFER_BYTES) for _ in range(_BUFFERS)]
        except OSError:  # that disk does not take it, or there is no memory
            self._lanes.release()
            _set_direct(descriptor, is_direct=False)
            return _CachedFile(descriptor, start)
        return _DirectFile(descriptor, start, buffers, self._threads, self._lanes.release)


class _CachedFile:
    """Writes through the page cache, and asks the disk early for what came."""

    def __init__(self, descriptor: int, start: int) -> None:
        self._descriptor = descriptor
        self._at = self._asked_to = start

    def write(self, data: bytes) -> None:
        self._at = _write_all(self._descriptor, memoryview(data), self._at)
        if self._at - self._asked_to >= _EARLY_BYTES:
            self._begin_to_sync()

    def finish(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin_to_sync(self) -> None:
        """Have the disk write what came, while more comes: else a part waits for all of it in the end."""
        start, self._asked_to = self._asked_to, self._at
        with suppress(OSError):  # with this advice Linux begins to write, and lets go of what it has written
            os.posix_fadvise(self._descriptor, start, self._at - start, os.POSIX_FADV_DONTNEED)


class _DirectFile:
    """Writes past the page cache, from two buffers in turn."""

    def __init__(
        self,
        descriptor: int,
        start: int,
        buffers: Sequence[mmap.mmap],
        threads: ThreadPoolExecutor,
        give_back: Callable[[], object],
    ) -> None:
        self._descriptor = descriptor
        self._at = start
        self._buffers = buffers
        self._threads = threads
        self._give_back = give_back
        self._writing: list[Future[int] | None] = [None] * len(buffers)
        self._which = 0
        self._filled = 0

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            if not self._filled:
                self._wait(self._which)
            some = left[: _BUFFER_BYTES - self._filled]
            end = self._filled + len(some)
            self._buffers[self._which][self._filled : end] = some
            left, self._filled = left[len(some) :], end
            if end == _BUFFER_BYTES:
                self._hand_over()

    def finish(self) -> None:
        for number in range(len(self._buffers)):
            self._wait(number)
        if self._filled:
            if self._filled % _PAGE:
                _set_direct(self._descriptor, is_direct=False)
            self._hand_over()
            self._wait(1 - self._which)
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor < 0:
            return
        for number in range(len(self._buffers)):  # it is written from them, and to this descriptor
            with suppress(OSError):
                self._wait(number)
        os.close(self._descriptor)
        self._descriptor = -1
        for buffer in self._buffers:
            buffer.close()
        self._give_back()

    def _wait(self, number: int) -> None:
        """Return when a buffer is written. Raises OSError."""
        writing, self._writing[number] = self._writing[number], None
        if writing is not None:
            writing.result()

    def _hand_over(self) -> None:
        """Have the buffer written that was filled, and take the other one."""
        buffer, size = self._buffers[self._which], self._filled
        self._writing[self._which] = self._threads.submit(
            _write_buffer, self._descriptor, buffer, size, self._at
        )
        self._at += size
        self._filled = 0
        self._which = 1 - self._which


def _write_buffer(descriptor: int, buffer: mmap.mmap, size: int, at: int) -> int:
    """Write so much of a buffer; where it turns out that it cannot be past the cache, through it."""
    with memoryview(buffer) as whole, whole[:size] as data:
        try:
            return _write_all(descriptor, data, at)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        _set_direct(descriptor, is_direct=False)
        return _write_all(descriptor, data, at)


def _write_all(descriptor: int, data: memoryview, at: int) -> int:
    """Write all of it; where it ends. Raises OSError."""
    done = 0
    while done < len(data):
        with data[done:] as left:
            done += os.pwrite(descriptor, left, at + done)
    return at + done


def _set_direct(descriptor: int, *, is_direct: bool) -> None:
    """Have a file written past the page cache or through it. Raises OSError where it cannot be."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT if is_direct else flags & ~_DIRECT)
