"""A real family of forked processes in a script of its own: signals go in, its word is read from files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.processes.supervisor import back_off_s
from tests.conftest import wait_until

pytestmark = pytest.mark.family

FAMILY = """
import ctypes, os, signal, sys, time
from pathlib import Path

from service import log
from service.errors import StartupError, StateDamaged
from service.processes.supervisor import Role, Supervisor

PR_SET_CHILD_SUBREAPER = 36


def say(event, role):
    os.write(1, f"{event} {role} {os.getpid()}\\n".encode())


def wait(role):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    Path(f"{role}.started").touch()
    say("started", role)
    signal.sigwait([signal.SIGTERM])
    return 0


def steady():
    wait("steady")
    say("finished", "steady")
    return 0


def late():
    return wait("late")


def busy():
    wait("busy")
    say("draining", "busy")
    os.read(0, 1)  # the request that is in flight
    say("finished", "busy")
    return 0


def stubborn():
    while wait("stubborn") == 0:
        say("ignored", "stubborn")


def crash():
    return 7


def never():
    say("started", "never")
    return 3


def cannot():
    raise StartupError("the port is gone")


def unreadable():
    raise StateDamaged("the database is none")


def blind():
    unreadable()


def blind_beside():
    while not Path("busy.started").exists():  # it would be ended before it can be asked to finish
        time.sleep(0.01)
    unreadable()


def buggy():
    raise SystemExit("no")


def once(role, act):
    if not Path(role).exists():
        Path(role).touch()
        act()
    return wait(role)


def odd():
    return once("odd", lambda: os.kill(os.getpid(), 40))


def orphaner():
    reader, writer = os.pipe()
    if not os.fork():
        os.close(writer)
        say("born", "orphan")
        os.read(reader, 1)  # ends with the parent
        os._exit(0)
    return wait("orphaner")


def early():
    return wait("early")


def signal_first_child():
    once_only = Path("signalled")
    if not once_only.exists():
        once_only.touch()
        os.kill(os.getpid(), signal.SIGTERM)


def refuse_first_fork():
    forks = []
    fork = os.fork

    def refuse():
        forks.append(1)
        if len(forks) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    os.fork = refuse


drain_s, names = float(sys.argv[1]), sys.argv[2:]
log.configure("info", "json")
if "orphaner" in names:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
if "early" in names:
    os.register_at_fork(after_in_child=signal_first_child)
if "refused" in names:
    names.remove("refused")
    refuse_first_fork()
healthy_s = 5.0
if "healthy" in names:
    names.remove("healthy")
    healthy_s = 0.0
if "mute" in names:
    names.remove("mute")
    sys.stdout = open(os.devnull, "w")
    sys.stdout.close()

before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD)
serving = ("blind", "blind_beside", "steady")
roles = [Role(name, globals()[name], 0.5 if name == "late" else 0.0, name in serving) for name in names]
code = Supervisor(roles, drain_s, lambda: say("closing", "family"), healthy_s).run()
after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD)
say("restored" if before == after and signal.set_wakeup_fd(-1) == -1 else "changed", "family")
sys.exit(code)
"""


class Family:
    """A supervisor and its children."""

    def __init__(self, folder: Path, drain_s: float, *roles: str) -> None:
        self._said, self._log = folder / "said", folder / "log"
        (folder / "family.py").write_text(FAMILY)
        with self._said.open("wb") as said, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "family.py", str(drain_s), *roles],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=log,
                start_new_session=True,
            )

    def pids(self, event: str, role: str) -> list[int]:
        """Who said so, in order."""
        lines = [line.split() for line in self._said.read_text().splitlines()]
        return [int(pid) for said, by, pid in lines if (said, by) == (event, role)]

    def wait_for(self, event: str, role: str, times: int = 1) -> list[int]:
        wait_until(lambda: len(self.pids(event, role)) >= times)
        return self.pids(event, role)

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log about an event."""
        lines = [json.loads(line) for line in self._log.read_text().split("\n")[:-1]]
        return [line for line in lines if line["event"] == event]

    def zombies(self) -> list[int]:
        children = psutil.Process(self.process.pid).children()
        return [child.pid for child in children if child.status() == psutil.STATUS_ZOMBIE]

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(30)
        assert self.pids("restored", "family") == [self.process.pid], self._log.read_text()
        return code

    def stop(self) -> None:
        """Have nothing left of it, whatever it does."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


StartFamily = Callable[..., Family]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartFamily]:
    families: list[Family] = []

    def run(*roles: str, drain_s: float = 30.0) -> Family:
        families.append(Family(tmp_path, drain_s, *roles))
        return families[-1]

    yield run
    for family in families:
        family.stop()


def test_a_killed_process_is_replaced_and_the_others_notice_nothing(start: StartFamily) -> None:
    family = start("steady", "busy")
    (victim,) = family.wait_for("started", "steady")
    family.wait_for("started", "busy")

    os.kill(victim, signal.SIGKILL)

    assert len(set(family.wait_for("started", "steady", 2))) == 2
    (event,) = family.events("process replaced")
    assert (event["role"], event["pid"], event["ended"]) == ("steady", victim, "killed by SIGKILL")
    assert len(family.pids("started", "busy")) == 1
    assert family.zombies() == []


def test_a_role_that_can_wait_is_started_after_the_others_and_replaced_at_once(start: StartFamily) -> None:
    family = start("late", "steady")
    family.wait_for("started", "steady")
    assert not family.pids("started", "late")
    (victim,) = family.wait_for("started", "late")

    os.kill(victim, signal.SIGKILL)

    assert len(set(family.wait_for("started", "late", 2))) == 2


def test_a_role_that_keeps_dying_is_started_ever_later(start: StartFamily) -> None:
    family = start("crash", "steady")

    wait_until(lambda: len(family.events("process replaced")) >= 4)

    deaths = family.events("process replaced")[:4]
    assert [death["wait_s"] for death in deaths] == [0.1, 0.2, 0.4, 0.8]
    assert {death["ended"] for death in deaths} == {"exit code 7"}
    assert len(family.pids("started", "steady")) == 1
    family.signal()
    assert family.end() == 0


def test_a_role_that_lived_for_a_while_is_replaced_at_once(start: StartFamily) -> None:
    family = start("healthy", "steady")

    for times in (1, 2, 3):
        os.kill(family.wait_for("started", "steady", times)[-1], signal.SIGKILL)
    family.wait_for("started", "steady", 4)

    assert [event["wait_s"] for event in family.events("process replaced")] == [0.0, 0.0, 0.0]


def test_the_back_off_doubles_up_to_its_limit() -> None:
    assert [back_off_s(deaths) for deaths in (1, 2, 3, 7)] == [0.1, 0.2, 0.4, 6.4]
    assert [back_off_s(deaths) for deaths in (8, 100, 10**6)] == [10.0, 10.0, 10.0]


def test_a_role_that_can_never_start_ends_the_family(start: StartFamily) -> None:
    family = start("steady", "never")

    assert family.end() == 3
    assert len(family.pids("started", "never")) == 1
    assert len(family.pids("closing", "family")) == 1


def test_a_startup_error_is_such_an_end_and_says_why(start: StartFamily) -> None:
    family = start("cannot")

    assert family.end() == 3
    (event,) = family.events("process can never start")
    assert (event["role"], event["reason"]) == ("cannot", "the port is gone")


def test_what_a_role_raises_stays_in_its_process(start: StartFamily) -> None:
    family = start("buggy")

    wait_until(lambda: len(family.events("process replaced")) >= 2)

    assert "SystemExit: no" in family.events("process failed")[0]["exception"]
    assert family.events("process replaced")[0]["ended"] == "exit code 1"
    assert family.pids("restored", "family") == []


def test_a_signal_without_a_name_is_named_by_its_number(start: StartFamily) -> None:
    family = start("odd")

    family.wait_for("started", "odd")

    (event,) = family.events("process replaced")
    assert event["ended"] == "killed by signal 40"


def test_sigterm_lets_running_calls_finish(start: StartFamily) -> None:
    family = start("busy", "steady")
    family.wait_for("started", "busy")
    family.wait_for("started", "steady")

    family.signal()
    family.wait_for("draining", "busy")
    family.wait_for("finished", "steady")
    assert family.process.poll() is None
    assert len(family.pids("closing", "family")) == 1
    assert family.process.stdin is not None
    family.process.stdin.write(b"x")
    family.process.stdin.flush()

    assert family.end() == 0
    assert len(family.pids("finished", "busy")) == 1
    assert family.events("process replaced") == []


def test_ctrl_c_reaches_the_whole_group_and_drains_too(start: StartFamily) -> None:
    family = start("steady")
    family.wait_for("started", "steady")

    os.killpg(family.process.pid, signal.SIGINT)

    assert family.end() == 0
    assert len(family.pids("finished", "steady")) == 1


def test_a_second_request_kills_what_does_not_leave(start: StartFamily) -> None:
    family = start("stubborn", "steady")
    (stubborn,) = family.wait_for("started", "stubborn")
    family.wait_for("started", "steady")
    family.signal()
    family.wait_for("ignored", "stubborn")
    family.wait_for("finished", "steady")

    family.signal()

    assert family.end() == 0
    assert not psutil.pid_exists(stubborn)
    assert len(family.pids("finished", "steady")) == 1


def test_what_does_not_leave_in_time_is_killed(start: StartFamily) -> None:
    family = start("stubborn", drain_s=0.0)
    (stubborn,) = family.wait_for("started", "stubborn")

    family.signal()

    assert family.end() == 0
    assert not psutil.pid_exists(stubborn)


def test_a_family_that_waits_for_a_dead_role_can_be_stopped(start: StartFamily) -> None:
    family = start("crash")
    wait_until(lambda: len(family.events("process replaced")) >= 3)

    family.signal()

    assert family.end() == 0


def test_orphans_that_fall_to_the_supervisor_leave_no_zombies(start: StartFamily) -> None:
    family = start("orphaner", "steady")
    (parent,) = family.wait_for("started", "orphaner")
    (orphan,) = family.wait_for("born", "orphan")

    os.kill(parent, signal.SIGKILL)

    family.wait_for("started", "orphaner", 2)
    wait_until(lambda: not psutil.pid_exists(orphan))
    wait_until(lambda: family.zombies() == [])
    assert [event["role"] for event in family.events("process replaced")] == ["orphaner"]


def test_a_signal_at_birth_is_not_lost(start: StartFamily) -> None:
    family = start("early")

    family.wait_for("started", "early")

    (event,) = family.events("process replaced")
    assert event["ended"] == "killed by SIGTERM"


def test_a_fork_that_fails_is_tried_again(start: StartFamily) -> None:
    family = start("refused", "steady")

    family.wait_for("started", "steady")

    (event,) = family.events("process not started")
    assert "Resource temporarily unavailable" in event["reason"]


def test_a_closed_output_stops_nobody(start: StartFamily) -> None:
    family = start("mute", "steady")
    (pid,) = family.wait_for("started", "steady")

    os.kill(pid, signal.SIGKILL)

    family.wait_for("started", "steady", 2)


def test_a_family_of_which_none_can_read_the_state_ends(start: StartFamily) -> None:
    family = start("blind_beside", "busy", "late")
    family.wait_for("started", "busy")
    assert family.process.stdin is not None
    family.process.stdin.close()

    assert family.end() == 3

    assert family.events("process failed")[0]["reason"] == "the database is none"
    end = "no process can serve any more: the state is damaged, restore it and start again"
    assert len(family.events(end)) == 1


def test_as_long_as_one_serves_a_damaged_state_ends_nothing(start: StartFamily) -> None:
    """What was started before has all it needs in memory."""
    family = start("blind", "steady")
    family.wait_for("started", "steady")

    wait_until(lambda: len(family.events("process failed")) >= 3)
    family.signal()

    assert family.end() == 0
    assert len(family.pids("started", "steady")) == 1
