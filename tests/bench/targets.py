"""What is wanted of speed, and whether a run of the bench gives it: ratios of medians taken side by side.

A machine that does other things as well slows everything down, the load too, so that ratios say more than
rates; what is wanted was set on a quiet one with two processors.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import boto3

from tests.bench.contestants import Scenario, running, shots
from tests.bench.speed import Case
from tests.bench.wrk import check
from tests.harness.family import Family
from tests.harness.load import Shot

_ONE, _MANY, _FOREST, _FLEET = (
    "one row, logistic",
    "100 rows, logistic",
    "one row, forest",
    "one row, 20 models",
)
_SIGNED, _TEXT, _XGBOOST = "one row, signed", "one text, tf-idf and logistic", "one row, XGBoost"
_RECORD, _BOOSTING, _SCRIPT = "one record, logistic", "one record, boosting", "one record, a script"
_OURS, _ASGI, _PLAIN, _BARE = "sagebird", "sagebird ASGI", "plain", "bare"
_CALLS, _ROUNDS = 1000, 3
_IDLE_SHARE, _IDLE_WITHIN_S = 0.05, 180.0  # of a processor's time
_MOST_CLIENT_US = 30.0


@dataclass(frozen=True)
class Target:
    """A rate, and what it is to be as a multiple of another one; each is a scenario and a server."""

    name: str
    what: tuple[str, str]
    beside: tuple[str, str]
    concurrency: int
    least: float


TARGETS: Final = (
    Target("W1, one row", (_ONE, _OURS), (_ONE, _BARE), 1, 0.8),
    Target("W1, one row", (_ONE, _OURS), (_ONE, _BARE), 16, 1.3),
    Target("W1, one row", (_ONE, _OURS), (_ONE, _BARE), 64, 1.4),
    Target("W1 through ASGI", (_ONE, _ASGI), (_ONE, _BARE), 16, 0.7),
    Target("W2, 100 rows", (_MANY, _OURS), (_MANY, _BARE), 16, 1.0),
    Target("W3, forest", (_FOREST, _OURS), (_FOREST, _PLAIN), 16, 140),
    Target("W4, 20 models", (_FLEET, _OURS), (_ONE, _OURS), 16, 0.85),
    Target("W5, record, logistic", (_RECORD, _OURS), (_RECORD, _PLAIN), 16, 100),
    Target("W5, record, logistic", (_RECORD, _OURS), (_ONE, _OURS), 16, 15 / 55),
    Target("W5, record, boosting", (_BOOSTING, _OURS), (_BOOSTING, _PLAIN), 16, 60),
    Target("W6, signed heads", (_SIGNED, _OURS), (_ONE, _OURS), 16, 0.8),
    Target("W6, signed heads", (_SIGNED, _OURS), (_ONE, _OURS), 64, 0.8),
    Target("W7, text", (_TEXT, _OURS), (_TEXT, _PLAIN), 16, 20),
    Target("W8, XGBoost", (_XGBOOST, _OURS), (_XGBOOST, _PLAIN), 16, 20),
    Target("W9, script", (_SCRIPT, _OURS), (_SCRIPT, _PLAIN), 16, 20),
)


@dataclass(frozen=True)
class Judged:
    """A target, what it is held against, and what was measured."""

    name: str
    beside: str
    wanted: str
    measured: float
    met: bool


def judge(table: Mapping[Case, Mapping[str, float]], client_us: Mapping[str, float]) -> list[Judged]:
    """Every target that was measured, with as many processes as were tried at most.

    `client_us` is what `measure_client` found.
    """
    gateways = max(case.gateways for case in table)
    found = []
    for target in TARGETS:
        rates = [
            table.get(Case(gateways, scenario, target.concurrency, server), {}).get("per_second")
            for scenario, server in (target.what, target.beside)
        ]
        if rates[0] is None or not rates[1]:
            continue
        ratio = rates[0] / rates[1]
        beside = target.beside[1] if target.beside[1] != _OURS else "W1"
        found.append(
            Judged(
                f"{target.name}, {target.concurrency} at once",
                f"x {beside}",
                f"at least {target.least:.3g}",
                ratio,
                ratio >= target.least,
            )
        )
    wanted = f"at most {_MOST_CLIENT_US:.3g}"
    name, ours_us = f"W6, boto3 (bare: {client_us[_BARE]:.0f})", client_us[_OURS]
    return [*found, Judged(name, "CPU us", wanted, ours_us, ours_us <= _MOST_CLIENT_US)]


def show_targets(judged: Sequence[Judged]) -> None:
    """Print them as one table."""
    lines = ["", f"{'what was wanted':34}{'':10}{'measured':>10}{'wanted':>18}"]
    for each in judged:
        verdict = "" if each.met else "  missed"
        lines.append(f"  {each.name:32}{each.beside:10}{each.measured:>10.2f}{each.wanted:>18}{verdict}")
    lines.append(f"  {sum(each.met for each in judged)} of {len(judged)} are met")
    sys.stdout.write("\n".join(lines) + "\n")


def measure_client(folder: Path, note: Callable[[str], None]) -> dict[str, float]:
    """Processor time of a process that takes calls for one of a real boto3 client in a loop, in microseconds.

    By server: of a bare one, too, for most of it is what the system takes to wake up for each call. `folder`
    holds the models of the speed tables.
    """
    note("a boto3 client in a loop")
    place, models = folder / "client", folder / "models"
    place.mkdir()
    scenario = Scenario(_ONE, ("logistic",))
    with ExitStack() as stack:
        loops = {}
        for server in (_OURS, _BARE):
            family = stack.enter_context(running(server, place, models, 1))
            request = shots(scenario, server, models)[0]
            check(family.port, (request,))
            loops[server] = _Loop(family, request)
        for loop in loops.values():
            loop.warm_up()
        rounds = [{server: loop.burst_us(_CALLS) for server, loop in loops.items()} for _ in range(_ROUNDS)]
    return {server: median(each[server] for each in rounds) for server in loops}


class _Loop:
    """A client that calls again and again, one call after the other."""

    def __init__(self, family: Family, request: Shot) -> None:
        (self._process,) = family.gateways()
        self._request = request
        self._client: Any = boto3.client(
            "sagemaker-runtime",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{family.port}",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )

    def warm_up(self) -> None:
        """Until the process has nothing else to do."""
        _wait_idle(self._used_s)
        self.burst_us(_CALLS // 5)

    def burst_us(self, calls: int) -> float:
        """What a call costs the process, of so many."""
        begun_s = self._used_s()
        for _ in range(calls):
            answer = self._client.invoke_endpoint(
                EndpointName="logistic",
                ContentType=self._request.headers["Content-Type"],
                Body=self._request.body,
            )
            answer["Body"].read()
        return (self._used_s() - begun_s) / calls * 1e6

    def _used_s(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system


def _wait_idle(used_s: Callable[[], float]) -> None:
    """Wait until a process does next to nothing: until then it still loads and compiles models."""
    end_s, before_s = time.monotonic() + _IDLE_WITHIN_S, -1.0
    while used_s() - before_s > _IDLE_SHARE:
        if time.monotonic() > end_s:
            raise RuntimeError(f"the gateway did not come to rest within {_IDLE_WITHIN_S:g} s")
        before_s = used_s()
        time.sleep(1.0)
