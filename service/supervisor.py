"""Keeps a family of processes alive: forks them, replaces those that die, and stops them together."""

import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from service.log import get_logger

NEVER_STARTS = 3
"""Exit code of a process that can never start as it was asked to; it is not replaced."""

_HEALTHY_S = 5.0
_SHORTEST_WAIT_S = 0.1
_LONGEST_WAIT_S = 10.0
_KILL_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the family: its name and what it runs; the result is its exit code."""

    name: str
    run: Callable[[], int]


@dataclass(slots=True)
class _Child:
    role: Role
    pid: int = 0
    started_s: float = 0.0
    due_s: float = 0.0
    quick_deaths: int = field(default=0)


class Supervisor:
    """Runs roles as forked processes until SIGTERM or SIGINT; the process that runs it must have one thread only."""

    def __init__(self, roles: Sequence[Role], drain_s: float) -> None:
        """`drain_s` is what children get to finish in when the family is stopped."""
        self._children = [_Child(role) for role in roles]
        self._drain_s = drain_s
        self._stops = 0
        self._exit_code = 0
        self._log = get_logger("sagebird.supervisor")

    def run(self) -> int:
        """Run until told to stop, or until a role can never start; returns the exit code of the family."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        previous = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGCHLD, lambda _number, _frame: None),
            )
        }
        try:
            while not self._stops:
                self._start_due()
                _sleep(reader, self._seconds_to_next())
                self._reap()
            self._drain(reader)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_fd)
            reader.close()
            writer.close()
        return self._exit_code

    def _stop(self, _number: int, _frame: object) -> None:
        self._stops += 1

    def _start_due(self) -> None:
        for child in self._children:
            if not child.pid and child.due_s <= time.monotonic() and not self._stops:
                child.started_s = time.monotonic()
                child.pid = self._fork(child.role)

    def _seconds_to_next(self) -> float | None:
        waits = [child.due_s - time.monotonic() for child in self._children if not child.pid]
        return max(0.0, min(waits)) if waits else None

    def _fork(self, role: Role) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # Ctrl-C reaches the whole group; the supervisor decides
            random.seed()
            code = role.run()
        except BaseException:  # the edge of a child process: nothing may return into the parent's code
            self._log.exception("process failed", role=role.name)
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)  # threads that still run user code must not hold up the exit

    def _reap(self) -> None:
        for child in self._children:
            if child.pid:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    self._bury(child, os.waitstatus_to_exitcode(status))

    def _bury(self, child: _Child, code: int) -> None:
        lived_s = time.monotonic() - child.started_s
        pid, child.pid = child.pid, 0
        if self._stops:
            return
        if code == NEVER_STARTS:
            self._exit_code = NEVER_STARTS
            self._stops += 1
            return
        child.quick_deaths = child.quick_deaths + 1 if lived_s < _HEALTHY_S else 0
        wait_s = (
            min(_SHORTEST_WAIT_S * 2.0 ** (child.quick_deaths - 1), _LONGEST_WAIT_S)
            if child.quick_deaths
            else 0.0
        )
        child.due_s = time.monotonic() + wait_s
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._log.warning("process replaced", role=child.role.name, pid=pid, ended=how, wait_s=wait_s)

    def _drain(self, reader: socket.socket) -> None:
        """Ask every child to finish; kill what is left when the time is over, or at the second request."""
        self._signal_all(signal.SIGTERM)
        deadline_s = time.monotonic() + self._drain_s + _KILL_AFTER_S
        first_stops = self._stops
        while any(child.pid for child in self._children):
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or self._stops > first_stops:
                self._signal_all(signal.SIGKILL)
                left_s = 0.05
            _sleep(reader, left_s)
            self._reap()

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, number)


def _sleep(reader: socket.socket, seconds: float | None) -> None:
    """Sleep until a signal comes or the time is over."""
    select.select([reader], [], [], seconds)
    with suppress(BlockingIOError):
        while reader.recv(4096):
            pass
