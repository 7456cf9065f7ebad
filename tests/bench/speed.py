"""Requests side by side: interleaved bursts, medians, ratios to the plain and to the bare server."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.contestants import Scenario, contestants, make_scenarios, running, shots
from tests.bench.wrk import WrongAnswers, check, shoot
from tests.harness.family import Family
from tests.harness.load import Shot

CONCURRENCIES = (1, 16, 64)
_LONGEST_S = 30.0
Note = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """What one burst at one server gave; `cpu_us` is the server's, per request, from the operating system."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    memory_mib: float


@dataclass(frozen=True)
class Case:
    """One line of the table, for one server."""

    gateways: int
    scenario: str
    concurrency: int
    server: str


Figures = dict[Case, list[Round]]


def measure_speed(
    folder: Path, gateways: tuple[int, ...], rounds: int, duration_s: float, note: Note
) -> Figures:
    """Every server in every scenario. Raises WrongAnswers."""
    models = folder / "models"
    scenarios = make_scenarios(models)
    found: Figures = {}
    for count in gateways:
        note(f"starting the servers with {count} processes each")
        with ExitStack() as stack:
            families = {
                server: stack.enter_context(running(server, folder, models, count))
                for server in contestants()
            }
            for scenario in scenarios:
                _measure_scenario(found, families, scenario, models, (count, rounds, duration_s), note)
    return found


def _measure_scenario(
    found: Figures,
    families: Mapping[str, Family],
    scenario: Scenario,
    models: Path,
    options: tuple[int, int, float],
    note: Note,
) -> None:
    gateways, rounds, duration_s = options
    requests = {server: shots(scenario, server, models) for server in families}
    for server, family in families.items():
        for _ in range(3):  # on all gateways; meanwhile models are loaded, compiled and measured
            check(family.port, requests[server])
    for number in range(1, rounds + 1):
        for concurrency in CONCURRENCIES:
            note(f"{scenario.name}, {gateways} processes, {concurrency} at once, {number} of {rounds}")
            for server, family in families.items():
                case = Case(gateways, scenario.name, concurrency, server)
                burst = burst_at(family, requests[server], concurrency, duration_s)
                found.setdefault(case, []).append(burst)
    for server, family in families.items():
        check(family.port, requests[server])


def burst_at(family: Family, requests: tuple[Shot, ...], concurrency: int, duration_s: float) -> Round:
    """Load for so long, and what the server used meanwhile. Raises WrongAnswers.

    A burst in which the server answers nothing is repeated, twice as long, for a rate of 0 is no figure.
    """
    begun_s = family.cpu_s()
    burst = shoot(family.port, requests, concurrency, duration_s)
    used_s = family.cpu_s() - begun_s
    if not burst.answers:
        if duration_s > _LONGEST_S:
            raise WrongAnswers(f"not one answer to {concurrency} callers within {duration_s:g} s")
        return burst_at(family, requests, concurrency, duration_s * 2)
    return Round(
        burst.per_second,
        burst.p50_ms,
        burst.p99_ms,
        used_s / burst.answers * 1e6,
        family.memory_bytes() / 2**20,
    )


def medians(figures: Figures) -> dict[Case, dict[str, float]]:
    """One number per figure and case, and its ratios to the plain and to the bare server's rate."""
    table = {
        case: {name: median(getattr(each, name) for each in rounds) for name in Round.__dataclass_fields__}
        for case, rounds in figures.items()
    }
    for case, row in table.items():
        for other in ("plain", "bare"):
            beside = table.get(Case(case.gateways, case.scenario, case.concurrency, other))
            if beside is not None:
                row[f"x_{other}"] = row["per_second"] / beside["per_second"]
    return table


def as_document(table: Mapping[Case, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The table as JSON holds it."""
    return [
        {
            "gateways": case.gateways,
            "scenario": case.scenario,
            "concurrency": case.concurrency,
            "server": case.server,
            **{name: float(f"{value:.4g}") for name, value in row.items()},
        }
        for case, row in table.items()
    ]
