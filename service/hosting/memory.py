"""What the process holds in memory, and how freed memory really goes back to the machine."""

import ctypes
import ctypes.util
import gc
import sys
import weakref

_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 1 << 20


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(ctypes.util.find_library("c")) if sys.platform == "linux" else None


def keep_big_arrays_apart() -> bool:
    """Make glibc give every block of 1 MiB and more its own mapping, which goes back to the machine when freed.

    By itself glibc raises that threshold up to 32 MiB as blocks are freed, and then a freed model stays in the heap.
    Returns False where there is no glibc. Source: mallopt(3), "dynamic mmap threshold".
    """
    libc = _libc()
    mallopt = getattr(libc, "mallopt", None)
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES))


def give_back(holder: list[object]) -> None:
    """Drop the one object in `holder` and return its memory to the machine. Blocking: milliseconds.

    The caller passes the list, so that it need not hold a reference of its own. Garbage is collected only when the
    object outlives its last reference, that is when it sits in a cycle.
    """
    try:
        alive = weakref.ref(holder[0])
    except TypeError:  # an object that takes no weak reference cannot say that it is gone
        alive = None
    holder.clear()
    if alive is None or alive() is not None:
        gc.collect()
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)
