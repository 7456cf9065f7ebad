"""Keeps a family of processes alive: forks them, replaces those that die, and stops them together."""

import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from service.errors import SagebirdError, StartupError, StateDamaged
from service.log import get_logger, tell_left_out

NEVER_STARTS = 3
"""Exit code of a process that can never start as it was asked to; it is not replaced."""

_STATE_DAMAGED = 4
_SHORTEST_WAIT_S = 0.1
_LONGEST_WAIT_S = 10.0
_KILL_AFTER_S = 2.0
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the family: its name and what it runs; the result is its exit code.

    It is started first `delay_s` after those that others wait for. Without any that `serves` the family ends.
    """

    name: str
    run: Callable[[], int]
    delay_s: float = 0.0
    serves: bool = False


@dataclass(slots=True)
class _Child:
    role: Role
    pid: int = 0
    started_s: float = 0.0
    due_s: float = 0.0
    quick_deaths: int = 0
    is_lost: bool = False  # it could not read the state when it was started last


class Supervisor:
    """Runs roles as forked processes until SIGTERM or SIGINT.

    The process that runs it must have one thread only, and no other children that it waits for.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        drain_s: float,
        on_drain: Callable[[], None] = lambda: None,
        healthy_s: float = 5.0,
    ) -> None:
        """Run nothing yet.

        `drain_s` is what children get to finish in when the family is stopped; `on_drain` is called first.
        A child that lived for `healthy_s` is replaced as soon as it dies, a younger one after a back-off.
        """
        self._children = [_Child(role, due_s=time.monotonic() + role.delay_s) for role in roles]
        self._drain_s = drain_s
        self._on_drain = on_drain
        self._healthy_s = healthy_s
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
            if child.pid or child.due_s > time.monotonic() or self._stops:
                continue
            child.started_s = time.monotonic()
            try:
                child.pid = self._fork(child.role)
            except OSError as error:  # no memory or no process numbers left: others may give some back
                wait_s = _postpone(child)
                self._log.error("process not started", role=child.role.name, reason=str(error), wait_s=wait_s)

    def _seconds_to_next(self) -> float | None:
        waits = [child.due_s - time.monotonic() for child in self._children if not child.pid]
        return max(0.0, min(waits)) if waits else None

    def _fork(self, role: Role) -> int:
        _flush()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if not pid:
                self._become(role, mask)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _become(self, role: Role, mask: Iterable[int]) -> NoReturn:
        """Be a child process. `mask` is what signals to block once the parent's handlers are gone."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the supervisor decides
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            random.seed()
            code = role.run()
        except StartupError as error:
            code = NEVER_STARTS
            self._log.error("process can never start", role=role.name, reason=error.message)
        except StateDamaged as error:  # a start anew mends nothing; others may have what they need in memory
            code = _STATE_DAMAGED
            self._log.error("process failed", role=role.name, reason=error.message)
        except SagebirdError as error:
            self._log.error("process failed", role=role.name, reason=error.message)
        except BaseException:  # the edge of a child process: nothing may return into the parent's code
            self._log.exception("process failed", role=role.name)
        finally:
            _flush()
            os._exit(code)  # threads in which a model still answers must not hold up the exit

    def _reap(self) -> None:
        """Bury all that ended: children, and the orphans that fall to process 1 of a container."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for child in self._children:
                    if child.pid == ended[0]:
                        self._bury(child, os.waitstatus_to_exitcode(ended[1]))

    def _bury(self, child: _Child, code: int) -> None:
        lived_s = time.monotonic() - child.started_s
        pid, child.pid = child.pid, 0
        if self._stops:
            return
        child.is_lost = code == _STATE_DAMAGED
        if code == NEVER_STARTS or self._serves_no_more():
            self._exit_code = NEVER_STARTS
            self._stops += 1
            return
        if lived_s >= self._healthy_s:
            child.quick_deaths = 0
            wait_s = 0.0
        else:
            wait_s = _postpone(child)
        self._log.warning(
            "process replaced", role=child.role.name, pid=pid, ended=_describe_exit(code), wait_s=wait_s
        )

    def _serves_no_more(self) -> bool:
        """Whether all that serve found the state damaged when they were started last."""
        serving = [child for child in self._children if child.role.serves]
        if not serving or not all(self._is_lost(child) for child in serving):
            return False
        self._log.error("no process can serve any more: the state is damaged, restore it and start again")
        return True

    def _is_lost(self, child: _Child) -> bool:
        runs_well = child.pid and time.monotonic() - child.started_s >= self._healthy_s
        return child.is_lost and not runs_well

    def _drain(self, reader: socket.socket) -> None:
        """Ask every child to finish; kill what is left when the time is over, or at the second request."""
        self._on_drain()
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


def back_off_s(quick_deaths: int) -> float:
    """How long to wait after a role died soon after its start for the nth time in a row; n from 1."""
    return min(_SHORTEST_WAIT_S * 2.0 ** min(quick_deaths - 1, 20), _LONGEST_WAIT_S)


def _postpone(child: _Child) -> float:
    child.quick_deaths += 1
    wait_s = back_off_s(child.quick_deaths)
    child.due_s = time.monotonic() + wait_s
    return wait_s


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}  # some real-time signals have none
    return f"killed by {names.get(-code, f'signal {-code}')}"


def _flush() -> None:
    """Empty the streams' buffers, so that no child writes or counts again what is the parent's."""
    tell_left_out()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()


def _sleep(reader: socket.socket, seconds: float | None) -> None:
    """Sleep until a signal comes or the time is over."""
    select.select([reader], [], [], seconds)
    with suppress(BlockingIOError):
        while reader.recv(4096):
            pass
