"""Trials of containers that do harm: to what serves beside them, to their processes, while they load."""

import argparse
import http.client
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from statistics import median

import psutil

from tests.bench.beside import (
    IRIS,
    Said,
    ask,
    endpoints,
    load_iris,
    prepare,
    report,
    start,
    wait_for,
)
from tests.bench.deeds import DAEMON_S, DEEDS, SCRIPT, Deed
from tests.harness.control import Control, Refused
from tests.harness.family import Family
from tests.harness.gateways import declare
from tests.harness.load import Outcome

_MOST_RATIO = 2.0
_TIMEOUT_S = 15.0
_SETTINGS = {"SAGEBIRD_MODEL_TIMEOUT_S": str(_TIMEOUT_S), "SAGEBIRD_CONTAINER_MEMORY": "1g"}
_OWN = """
import os

def model_fn(model_dir):
    return None

def predict_fn(data, model):
    return [os.getpid()]
"""
_STARTS = {
    "sleeps": ("import time; time.sleep(1000)", "", None),
    "allocates": ("held = [b'x' * (1 << 20) + bytes([n % 256]) for n in range(8192)]", "", "MiB in memory"),
    "ends": ("import os; os._exit(7)", "", "ended while it loaded"),
    "kills": ("import os; os.kill(0, 9)", "", "ended while it loaded"),
    "closes": ("import os; os.closerange(0, 4096)", "", "ended while it loaded"),
    "prints": ("while True: print('x' * 60)", "", None),
    "nonsense": ("", "{SAGEMAKER_MODEL_SERVER_WORKERS: many}", "from 1 to 256"),
    "none": ("", "{SAGEMAKER_MODEL_SERVER_WORKERS: '0'}", "from 1 to 256"),
    "forty": ("", "{SAGEMAKER_MODEL_SERVER_WORKERS: '40'}", ""),
    "blocks": ("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())", "", ""),
    "daemon": (f"import subprocess; subprocess.Popen(['setsid', 'sleep', '{DAEMON_S}'])", "", ""),
}
"""What a script does first, its environment, what the reason of its failure says; None: it loads for ever."""


# ---------------------------------------------------------------------- deeds


def try_deeds(folder: Path, asked: argparse.Namespace) -> bool:
    """Have a model do one thing after the other."""
    prepare(folder / "models", bad=SCRIPT)
    with start(folder, folder / "models", asked.gateways, **_SETTINGS) as server:
        with load_iris(server.port, 2.0) as load:
            load.wait()
        before = {process.pid for process in [*server.gateways(), *_direct(server)]}
        rights = [_do(server, name, DEEDS[name], asked) for name in asked.deeds]
        after = {process.pid for process in [*server.gateways(), *_direct(server)]}
    kept = report(before == after, "deeds: gateways, keeper and model host are those that they were")
    gone = report(not _daemons(), "deeds: no daemon is left")
    return all(rights) and kept and gone


def _do(server: Family, name: str, deed: Deed, asked: argparse.Namespace) -> bool:
    """Load `iris` alone and beside the deed in turn: what else the machine does is to count for both."""
    done, wrong = 0, list[str]()
    alone, beside = list[Outcome](), list[Outcome]()
    for _ in range(asked.rounds):
        with load_iris(server.port, asked.seconds) as load:
            alone.append(load.wait())
        end_s, begun = time.monotonic() + asked.seconds, done
        with load_iris(server.port, asked.seconds) as load:
            while done == begun or time.monotonic() < end_s:
                done += 1
                said = ask(server.port, "bad", deed.code)
                wrong += _wrong(said, Said(deed.status, deed.original, deed.text))
                wrong += _wrong(ask(server.port, "bad", deed.ask), Said(200, 200, deed.after))
            beside.append(load.wait())
    failed = sum(len(outcome.failures) for outcome in [*alone, *beside])
    reasons = chain.from_iterable(outcome.reasons() for outcome in [*alone, *beside])
    for reason in [*reasons, *wrong][:3]:
        print(f"    {reason[:300]}")
    p99_s, alone_s = (median(each.p99_s for each in outcomes) for outcomes in (beside, alone))
    rates = [median(each.per_second for each in outcomes) for outcomes in (beside, alone)]
    line = (
        f"{name:32} {done:5} times, {len(wrong)} wrong answers; iris {rates[0]:6.0f}/s "
        f"(alone {rates[1]:.0f}), p99 {p99_s * 1e3:6.2f} ms (alone {alone_s * 1e3:.2f}, "
        f"{p99_s / alone_s:4.1f} x), {failed} failed"
    )
    return report(not wrong and not failed and p99_s / alone_s <= _MOST_RATIO, line)


def _wrong(said: Said, expected: Said) -> list[str]:
    text = said.text == expected.text if expected.status == 200 else expected.text in said.text
    return (
        [] if text and said[:2] == expected[:2] else [f"{said.status} ({said.original}): {said.text[:200]}"]
    )


def _daemons() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline() == ["sleep", str(DAEMON_S)]:
                found.append(process)
    return found


# ---------------------------------------------------------------------- starts


def try_starts(folder: Path, asked: argparse.Namespace) -> bool:
    """Have models misbehave while they load, all at once."""
    models = folder / "models"
    prepare(models, **{name: f"{first}\n{SCRIPT}" for name, (first, _, _) in _STARTS.items()})
    declare(models, endpoints(iris="", **{name: given for name, (_, given, _) in _STARTS.items()}))
    with (
        start(folder, models, asked.gateways, "/healthz", **_SETTINGS) as server,
        Control(server.port) as control,
    ):
        serves = wait_for(lambda: ask(server.port, "iris", IRIS.body).text == IRIS.answers[0], 30.0)
        right = report(serves, "starts: iris answers within 30 s")
        with load_iris(server.port, asked.seconds) as load:
            outcome = load.wait()
        right &= report(
            not outcome.failures, f"starts: iris {outcome.per_second:.0f}/s, {len(outcome.failures)} failed"
        )
        for name, (_, _, reason) in _STARTS.items():
            right &= _started(server, control, name, reason)
    return report(not _daemons(), "starts: no daemon is left") and right


def _started(server: Family, control: Control, name: str, reason: str | None) -> bool:
    status = "Creating" if reason is None else "Failed" if reason else "InService"
    wait_for(lambda: control.describe(name)["EndpointStatus"] == status)
    found = control.describe(name)
    said = found.get("FailureReason", "")
    right = found["EndpointStatus"] == status and (reason or "") in said
    if status == "InService":
        right &= ask(server.port, name, "result = 1").text == "1"
        right &= ask(server.port, name, DEEDS["ends its process"].code).original == 502
        right &= ask(server.port, name, "result = 1").text == "1"
    return report(right, f"starts, {name}: {found['EndpointStatus']} {said[:160]}")


# ---------------------------------------------------------------------- deaths


def try_deaths(folder: Path, asked: argparse.Namespace) -> bool:
    """Kill each process of the family in turn, then the supervisor alone, then all."""
    prepare(folder / "models", own=_OWN)
    settings = {"SAGEBIRD_WORKERS": "1"}
    right = True
    with start(folder, folder / "models", asked.gateways, **settings) as server:
        for name, find in _victims(server).items():
            right &= _kill_one(folder, server, name, find)
    right &= report(server.process.returncode == 0, f"deaths: it stops with {server.process.returncode}")
    for everyone in (False, True):
        with start(folder, folder / "models", asked.gateways, **settings) as server:
            _is_whole(server)
            family, (left,) = server.processes(), _runs(folder)
            for process in family if everyone else family[:1]:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            server.process.wait(30)
            gone = wait_for(lambda: not _alive(family), 30.0)  # noqa: B023 - called here only
        with start(folder, folder / "models", asked.gateways, **settings) as server:
            serves, clear = wait_for(lambda: _is_whole(server)), left not in _runs(folder)
        name = "all" if everyone else "supervisor"
        right &= report(
            gone and serves and clear,
            f"deaths, {name}: {len(family)} processes gone {gone}, folder cleared {clear}, back {serves}",
        )
    return report(not _runs(folder), "deaths: no folder with sockets is left at the end") and right


def _kill_one(folder: Path, server: Family, name: str, find: Callable[[], psutil.Process]) -> bool:
    wait_for(lambda: _is_whole(server))
    before, victim, begun_s = server.processes(), find(), time.monotonic()
    victim.kill()
    serves = wait_for(
        lambda: not _alive([victim]) and _is_whole(server) and len(server.processes()) >= len(before)
    )
    took_s = time.monotonic() - begun_s
    kept = wait_for(lambda: not [each for each in _alive(before) if each not in server.processes()], 30.0)
    run, *others = _runs(folder)
    sockets = sorted(file.name for file in run.glob("*.sock"))
    right = (
        serves and kept and not others and len(sockets) == 2
    )  # the host's own, and that of the one container
    line = (
        f"deaths, {name}: in service again {serves} after {took_s:.1f} s, no orphan {kept}, sockets {sockets}"
    )
    return report(right, line)


def _victims(server: Family) -> dict[str, Callable[[], psutil.Process]]:
    def above(number: int) -> psutil.Process:
        worker = psutil.Process(int(ask(server.port, "own", "1").text.strip("[]\n ")))
        return [worker, *worker.parents()][number]

    def other(number: int) -> psutil.Process:
        """Of the keeper and the worker of batch jobs, which look alike from here."""
        known = {above(3).pid, *(gateway.pid for gateway in server.gateways())}
        return [child for child in _direct(server) if child.pid not in known][number]

    return {
        "worker": lambda: above(0),
        "template": lambda: above(1),
        "fork server": lambda: above(2),
        "model host": lambda: above(3),
        "gateway": lambda: server.gateways()[0],
        "keeper or batch worker": lambda: other(0),
        "the other of these": lambda: other(1),
    }


def _direct(server: Family) -> list[psutil.Process]:
    found = psutil.Process(server.process.pid).children()
    return sorted(found, key=lambda child: child.create_time())


def _is_whole(server: Family) -> bool:
    """Whether all endpoints are in service, and answer."""
    try:
        with Control(server.port) as control:
            statuses = {control.describe(name)["EndpointStatus"] for name in ("iris", "own")}
        answers = {ask(server.port, name, IRIS.body).status for name in ("iris", "own") for _ in range(4)}
    except (OSError, http.client.HTTPException, Refused):
        return False
    return (statuses, answers) == ({"InService"}, {200})


def _runs(folder: Path) -> list[Path]:
    return sorted((folder / "data").glob("run-*"))


def _alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
