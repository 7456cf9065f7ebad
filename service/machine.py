"""What this machine has, or the container around this: memory and processors; sizes as parts of them."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import psutil

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(?:(%)|(?:([kmgt])i?)?b?)", re.IGNORECASE)
_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),  # version 2 of Linux control groups
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # version 1
)


def machine_memory_bytes(limits: Sequence[Path] = _MEMORY_LIMITS) -> int:
    """The machine's memory, or the container's where that is limited to less.

    `limits` are the files that may hold a container's limit.
    """
    sizes = [psutil.virtual_memory().total]
    for file in limits:
        with suppress(OSError, ValueError):  # not there, or "max"
            sizes.append(int(file.read_text(encoding="ascii")))
    return min(sizes)


def parse_size(text: object) -> object:
    """Read a size in bytes: `500000000`, `500MB`, `2 GiB`, or `50%` of the machine's or container's memory.

    K, M, G, T are powers of 1024. What is no text is left to the field.

    Raises:
        ValueError: it is no size.
    """
    if not isinstance(text, str):
        return text
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("must be a size such as 500MB, 2GB or 50%")
    number, percent, unit = Fraction(match[1]), match[2], match[3] or ""
    return int(number * machine_memory_bytes() / 100) if percent else int(number * _UNITS[unit.lower()])


def count_cpus() -> int:
    """CPUs that this process may use, which a container or `taskset` can limit to fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
