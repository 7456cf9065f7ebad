"""One-row CSV on `iris`, beside the bare server: interleaved rounds, medians, ratios."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.bare import ANSWER
from tests.bench.family import ROOT, Family
from tests.bench.load import Plan, Shot, carry_out

CONCURRENCIES = (1, 16, 64)
_WARM_UP = 400
_SHOT = Shot(
    "/endpoints/iris/invocations", "5.1,3.5,1.4,0.2", {"Content-Type": "text/csv"}, (ANSWER.decode(),)
)
Note = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """What one round of one server at one concurrency gave."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    memory_mib: float


class WrongAnswers(Exception):
    """The figures of a server that answers wrongly mean nothing."""


def measure_speed(folder: Path, gateways: int, rounds: int, duration_s: float, note: Note) -> dict[str, Any]:
    """Rows of the table: concurrency -> server -> figure, medians over rounds; `ratio` is ours to bare."""
    data = {"SAGEBIRD_DATA": str(folder / "data"), "SAGEBIRD_GATEWAYS": str(gateways)}
    models = {"SAGEBIRD_MODELS": str(ROOT / "models")}
    serve = ["-m", "service.cli", "serve"]
    bare = ["-m", "tests.bench.bare", str(gateways)]
    found: dict[tuple[int, str], list[Round]] = {}
    with (
        Family(serve, folder / "serve.log", "/readyz", **data, **models) as ours,
        Family(bare, folder / "bare.log", "/") as theirs,
    ):
        families = {"sagebird": ours, "bare": theirs}
        for family in families.values():
            _shoot(Plan(family.port, (_SHOT,), 16, count=_WARM_UP))
        for number in range(1, rounds + 1):
            for concurrency in CONCURRENCIES:
                for name, family in families.items():
                    note(f"round {number} of {rounds}, concurrency {concurrency}, {name}")
                    done = _measure(family, concurrency, duration_s)
                    found.setdefault((concurrency, name), []).append(done)
    return {str(concurrency): _row(found, concurrency) for concurrency in CONCURRENCIES}


def _measure(family: Family, concurrency: int, duration_s: float) -> Round:
    begun_s = family.cpu_s()
    answers, elapsed_s, p50_s, p99_s = _shoot(Plan(family.port, (_SHOT,), concurrency, duration_s))
    used_s = family.cpu_s() - begun_s
    return Round(
        answers / elapsed_s, p50_s * 1e3, p99_s * 1e3, used_s / answers * 1e6, family.memory_bytes() / 2**20
    )


def _shoot(plan: Plan) -> tuple[int, float, float, float]:
    outcome = carry_out(plan)
    if outcome.failures:
        raise WrongAnswers(f"{len(outcome.failures)} requests failed: {outcome.reasons()[:3]}")
    return outcome.answers, outcome.elapsed_s, outcome.p50_s, outcome.p99_s


def _row(found: dict[tuple[int, str], list[Round]], concurrency: int) -> dict[str, dict[str, float]]:
    names = Round.__dataclass_fields__
    row = {
        server: {name: median(getattr(each, name) for each in found[concurrency, server]) for name in names}
        for server in ("sagebird", "bare")
    }
    row["ratio"] = {name: row["sagebird"][name] / row["bare"][name] for name in names}
    return row
