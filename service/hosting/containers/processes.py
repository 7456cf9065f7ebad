"""What processes of containers hold in memory, as the system tells it."""

import os
from contextlib import suppress

import psutil

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int:
    """Memory of one process that is no file's, shared or not; 0 of one that is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES
    except FileNotFoundError:
        return 0
    except OSError:
        return _resident_elsewhere(pid)


def _resident_elsewhere(pid: int) -> int:
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def grown_bytes(pid: int, size_bytes: int) -> int:
    """How much more than `size_bytes` a process holds by now."""
    return max(0, resident_bytes(pid) - size_bytes)
