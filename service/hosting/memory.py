"""What the process holds in memory, and how freed memory really goes back to the machine."""

import asyncio
import ctypes
import gc
import mmap
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath
from types import FunctionType, ModuleType

import psutil

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_ARENAS = 2
_MMAP_THRESHOLD_BYTES = 1 << 20
_KEPT_BLOCK_BYTES = 1 << 25  # the most that glibc allows
_MOST_TAKEN = 1 << 15
_IS_MAPPED = 2  # in the word before a block. Source: glibc, malloc/malloc.c
_USUAL_PAD_BYTES = 1 << 17
_USUAL_BLOCK_BYTES = 1 << 17  # glibc's own, to begin with
_KEPT_BYTES = 1 << 26
_TRIM_EVERY_S = 5.0
_TRIM_AT_LEAST_EVERY_S = 60.0
_MOST_GROWTH_BYTES = 1 << 23
_COLLECTING = threading.Lock()  # a collection that begins while another one runs does nothing and returns
_WITNESS_DEPTH = 2
"""From a loaded model over what answers for it to the object that was in its file."""


class _Blocks:
    """From which size on blocks of memory get a mapping of their own, which is one setting of the process."""

    def __init__(self) -> None:
        self._usual_bytes = _USUAL_BLOCK_BYTES
        self._lock = threading.Lock()
        self._users = 0

    def map_from(self, size_bytes: int) -> bool:
        """Set it, for good. Returns False where there is no glibc."""
        with self._lock:
            self._usual_bytes = size_bytes
            return self._set(size_bytes)

    @contextmanager
    def mapped_from(self, size_bytes: int) -> Iterator[None]:
        """Set it for a while, and have this thread's blocks really go there.

        glibc looks for room among what was freed before it makes a mapping: that is taken up meanwhile.
        It is set until the last of those that asked for that has ended.
        """
        with self._lock:
            self._users += 1
            is_set = self._set(size_bytes, pad_bytes=0)
        taken = _take_room(size_bytes) if is_set else []
        try:
            yield
        finally:
            _free(taken)
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._set(self._usual_bytes)

    def _set(self, size_bytes: int, pad_bytes: int = _USUAL_PAD_BYTES) -> bool:
        """And how much more than is needed the heap grows by, which is room, too."""
        mallopt = getattr(_libc(), "mallopt", None)
        return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, size_bytes) and mallopt(_M_TOP_PAD, pad_bytes))


BLOCKS = _Blocks()


def _take_room(size_bytes: int) -> list[int]:
    """Allocate blocks of a size, untouched, until one has a mapping of its own; their addresses."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    taken: list[int] = []
    while len(taken) < _MOST_TAKEN and (address := libc.malloc(size_bytes)):
        taken.append(address)
        if has_own_mapping(address):
            break
    return taken


def has_own_mapping(address: int) -> bool:
    """Whether the block of memory that begins there has a mapping of its own, which ends when it is freed."""
    word_bytes = ctypes.sizeof(ctypes.c_size_t)
    if address % mmap.PAGESIZE != 2 * word_bytes:
        return False
    return bool(ctypes.c_size_t.from_address(address - word_bytes).value & _IS_MAPPED)


def _free(taken: list[int]) -> None:
    libc = ctypes.CDLL(None)
    libc.free.restype, libc.free.argtypes = None, (ctypes.c_void_p,)
    for address in taken:
        libc.free(address)


def keep_big_arrays_apart() -> bool:
    """Make glibc give every block of 1 MiB and more its own mapping, which goes back when it is freed.

    By itself glibc raises that threshold up to 32 MiB as blocks are freed, and freed models stay in the heap.
    It also opens up to eight arenas per CPU for the threads that load and predict, each with leftovers of its
    own; two do, for these threads hold Python's lock most of the time.
    Returns False where there is no glibc. Source: mallopt(3), "dynamic mmap threshold" and M_ARENA_MAX.
    """
    mallopt = getattr(_libc(), "mallopt", None)
    return bool(BLOCKS.map_from(_MMAP_THRESHOLD_BYTES) and mallopt and mallopt(_M_ARENA_MAX, _ARENAS))


def keep_freed_memory() -> bool:
    """Make glibc keep what is freed for what comes next, instead of giving it back and asking for it again.

    For a process that does the same work over and over, with blocks of some MiB: the machine clears every
    page that it hands out anew, which costs as much as reading the block does. Returns False where there is
    no glibc. Source: mallopt(3).
    """
    mallopt = getattr(_libc(), "mallopt", None)
    return bool(BLOCKS.map_from(_KEPT_BLOCK_BYTES) and mallopt and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


@contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage meanwhile, nor ever again in what is there now: what is imported stays.

    To look through a large program's imports once takes an eighth of the time that they take.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def set_apart() -> None:
    """Have the garbage collector never look again at what there is now, for it lives as long as the process.

    Memory that is shared with forked processes stays shared. The second collection has it count what may
    become garbage from nothing: Python puts full collections off until a quarter as many objects have come as
    the last one kept, so that after a large program's imports they never come; and only they empty the lists
    of freed tuples, which grow up to 2,000 of each length. Source: CPython, Modules/gcmodule.c.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def give_back(holder: list[object]) -> None:
    """Drop the one object in `holder` and return its memory to the machine. Blocking: milliseconds.

    The caller passes the list, so that it need not hold a reference of its own. Garbage is collected, which
    holds up every thread, only when the object or what its attributes hold outlives the last reference to it,
    that is when it sits in a cycle.
    """
    witnesses = list(_witnesses(holder[0], _WITNESS_DEPTH))
    holder.clear()
    if not witnesses or any(witness() is not None for witness in witnesses):
        give_back_garbage()
    else:
        _trim()


def give_back_garbage() -> None:
    """Return to the machine what long work has left, cycles included: a reader of pickles is often in one.

    Blocking: milliseconds, in which no other thread gets on. Garbage that holds large arrays would else wait
    until enough small objects have come, which in a process that only answers may be never.
    """
    with _COLLECTING:
        gc.collect()
    _trim()


async def keep_trimmed(
    every_s: float = _TRIM_EVERY_S,
    connections: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return to the machine what bodies and connections held, again and again, until cancelled.

    glibc by itself returns only what is free at the end of its heap: what a burst of large requests took
    would be held for ever. It costs some milliseconds, in a thread, and only where the process has grown.
    A burst is over when more than half of the `connections` are gone that there were.
    """
    process = psutil.Process()
    least_bytes, most_connections = process.memory_info().rss, 0
    wait_s, due_s = every_s, clock() + every_s
    while True:
        await asyncio.sleep(every_s)
        before_bytes, open_ones = process.memory_info().rss, connections()
        least_bytes, most_connections = min(least_bytes, before_bytes), max(most_connections, open_ones)
        if before_bytes <= least_bytes + _MOST_GROWTH_BYTES:
            wait_s, due_s = every_s, 0.0
            continue
        is_over = 2 * open_ones < most_connections
        if not is_over and clock() < due_s:
            continue
        await asyncio.to_thread(_trim)
        came_back = before_bytes - process.memory_info().rss > _MOST_GROWTH_BYTES
        # What is in use stays: where nothing came back it is tried less often.
        wait_s = every_s if came_back or is_over else min(2 * wait_s, _TRIM_AT_LEAST_EVERY_S)
        most_connections, due_s = open_ones, clock() + wait_s


def _trim() -> None:
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _witnesses(thing: object, depth: int) -> Iterator[weakref.ref[object]]:
    """Weak references to a thing and to what its attributes hold, as far as these take one."""
    with suppress(TypeError):
        yield weakref.ref(thing)
    if depth:
        for value in getattr(thing, "__dict__", {}).values():
            if not isinstance(value, type | ModuleType | FunctionType | PurePath):  # these are often shared
                yield from _witnesses(value, depth - 1)


def _libc() -> ctypes.CDLL | None:
    """What the process itself is linked with; to search for the library's file would start a program."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None
