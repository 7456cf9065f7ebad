"""Memory that a container's workers share with the model host: what each is at, without a message.

One record of 24 bytes per worker, three numbers, unsigned and little-endian: how many calls it has begun;
when it took up the present one, in nanoseconds of the monotonic clock, 0 while it waits; and 1 once it is to
leave before it begins another one.
"""

import fcntl
import mmap
import os
import struct
import tempfile
import time

_RECORD = struct.Struct("<QQQ")
_LEAVES = struct.Struct("<Q")


class Slots:
    """The records of `count` workers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.descriptor = _memory(count * _RECORD.size)
        self._shared = mmap.mmap(self.descriptor, count * _RECORD.size)

    def busy_s(self, slot: int) -> float | None:
        """For how long a worker has been at its present call; None while it waits."""
        _, since_ns, _ = _RECORD.unpack_from(self._shared, slot * _RECORD.size)
        return (time.monotonic_ns() - since_ns) / 1e9 if since_ns else None

    def calls(self, slot: int) -> int:
        """How many calls this slot's workers have begun."""
        return int(_RECORD.unpack_from(self._shared, slot * _RECORD.size)[0])

    def clear(self, slot: int) -> None:
        """Its worker is gone; another one will take its place."""
        _RECORD.pack_into(self._shared, slot * _RECORD.size, self.calls(slot), 0, 0)

    def have_leave(self, slot: int) -> None:
        """Have its worker end between two calls; one that is at none ends after the next."""
        _LEAVES.pack_into(self._shared, (slot + 1) * _RECORD.size - _LEAVES.size, 1)

    def close(self) -> None:
        """Let go of the memory."""
        self._shared.close()
        os.close(self.descriptor)


def _memory(size_bytes: int) -> int:
    """Memory that nobody can make smaller, which would end all who look at it; no disk has to hold it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("slots", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size_bytes)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return descriptor
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), size_bytes)
        return os.dup(file.fileno())
