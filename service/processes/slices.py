"""How soon the system goes on with a process that has something to do, beside others that only compute.

Linux from 6.12 on lets a process ask for short slices of a processor: it gets no more of it, but sooner what
is its part. No privilege is needed. Elsewhere nothing changes.
"""

import ctypes
import platform
import sys
from struct import Struct
from typing import Final

SLICE_NS: Final = 100_000
"""The shortest that there is; what computes has some milliseconds."""

_ATTRIBUTES: Final = Struct("=IIQiIQQQ")  # size, policy, flags, niceness, priority, runtime, deadline, period
_SET, _GET = 0, 1
_CALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
_USUAL: Final = 0  # SCHED_OTHER


def ask_for_short_slices(slice_ns: int = SLICE_NS) -> bool:
    """Have this thread, and those that it starts, go on soon; whether the system takes that.

    One that does not know such slices takes it, too.
    """
    found = _ask_kernel(_GET, bytes(_ATTRIBUTES.size))
    if found is None:
        return False
    _, policy, flags, niceness, *_ = _ATTRIBUTES.unpack(found)
    if policy != _USUAL:
        return False
    wanted = _ATTRIBUTES.pack(_ATTRIBUTES.size, policy, flags, niceness, 0, slice_ns, 0, 0)
    return _ask_kernel(_SET, wanted) is not None


def slice_of_thread_ns() -> int | None:
    """The slice that this thread has asked for, or has anyway; None where the system does not tell."""
    found = _ask_kernel(_GET, bytes(_ATTRIBUTES.size))
    return None if found is None else int(_ATTRIBUTES.unpack(found)[5]) or None


def _ask_kernel(which: int, attributes: bytes) -> bytes | None:
    numbers = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
    if numbers is None:
        return None
    place = ctypes.create_string_buffer(attributes, len(attributes))
    sizes = (len(attributes), 0) if which == _GET else (0,)
    failed = ctypes.CDLL(None).syscall(numbers[which], 0, place, *sizes)
    return None if failed else place.raw
