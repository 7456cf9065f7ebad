"""What processes of containers hold in memory and have used of the CPUs, as the system tells it."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from time import monotonic

import psutil

_FRESH_S = 0.5
_MANY = 32
_OWN = re.compile(rb"^Pss_Anon: +([0-9]+) kB$", re.MULTILINE)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_TIMES = slice(11, 15)  # its own in user mode and in the kernel, and those of children that are gone


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


class Census:
    """Which processes are below which: what handlers start counts for their container. Linux only."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        self._taken_s = 0.0

    def below_bytes(self, pid: int, without: Collection[int]) -> int:
        """Memory of all processes below one, `without` some that count by themselves, and those below.

        Of very many an estimate: what a forked one holds alone takes the system half a millisecond to tell.
        """
        self._freshen()
        below = [*self._below(pid, without)]
        if len(below) <= 2 * _MANY:
            return sum(map(_own_bytes, below))
        below.sort(key=resident_bytes, reverse=True)
        largest, others = below[:_MANY], below[_MANY:]
        some = others[:: -(-len(others) // _MANY)]
        return sum(map(_own_bytes, largest)) + sum(map(_own_bytes, some)) * len(others) // len(some)

    def cpu_s(self, pid: int) -> float:
        """Seconds of CPUs that a process and all below it have used, those that are gone included."""
        self._freshen()
        return sum(map(_cpu_s, (pid, *self._below(pid, ()))))

    def _freshen(self) -> None:
        if monotonic() - self._taken_s > _FRESH_S:
            self._take()

    def _below(self, pid: int, without: Collection[int]) -> Iterator[int]:
        for child in self._children.get(pid, ()):
            if child not in without:
                yield child
                yield from self._below(child, without)

    def _take(self) -> None:
        found = defaultdict(list)
        for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
            if name.isdigit():
                with suppress(OSError), open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                    # its name, in brackets, may hold anything; then come its state and its parent
                    found[int(file.read().rpartition(b") ")[2].split(None, 2)[1])].append(int(name))
        self._children, self._taken_s = dict(found), monotonic()


def _own_bytes(pid: int) -> int:
    """Memory of a process that was forked or started by others, with its part of what it shares with them."""
    with suppress(OSError):
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            found = _OWN.search(file.read())
        return int(found[1]) << 10 if found else resident_bytes(pid)
    return 0


def _cpu_s(pid: int) -> float:
    """What a process has used, with the children that it has waited for; 0 of one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return sum(map(int, file.read().rpartition(b") ")[2].split()[_TIMES])) / _TICKS
    except FileNotFoundError:
        return _cpu_elsewhere_s(pid)
    except OSError:  # it ended meanwhile
        return 0.0


def _cpu_elsewhere_s(pid: int) -> float:
    with suppress(psutil.Error):
        return float(sum(psutil.Process(pid).cpu_times()[:4]))
    return 0.0


class CpuClock:
    """How much of the CPUs some processes and all below them have used, those that are gone included."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._known: dict[int, float] = {}
        self._total_s = 0.0

    def read(self, pids: Iterable[int]) -> float:
        """Seconds so far, by the processes that there are now; it never goes back."""
        now = {pid: self._census.cpu_s(pid) for pid in pids}
        # One that has left those that it started behind has used less than before.
        self._total_s += sum(max(0.0, used_s - self._known.get(pid, 0.0)) for pid, used_s in now.items())
        self._known = now
        return self._total_s
