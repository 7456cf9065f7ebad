"""The load generator of the speed tables: wrk where it is installed, else the one in load.py.

wrk costs about 10 us of CPU per request, load.py ten times as much, which on two cores is taken from what is
measured. load.py checks every answer; with wrk answers are checked before and after, and counted by status.
"""

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.harness.load import Plan, Shot, carry_out

_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


class WrongAnswers(Exception):
    """The figures of a server that answers wrongly mean nothing."""


@dataclass(frozen=True)
class Burst:
    """What one burst of load gave."""

    answers: int
    per_second: float
    p50_ms: float
    p99_ms: float


def generator() -> str:
    """Which generator is used here."""
    return "wrk" if shutil.which("wrk") else "tests/harness/load.py"


def check(port: int, shots: tuple[Shot, ...], count: int = 200) -> None:
    """Send some requests and check every answer. Raises WrongAnswers."""
    outcome = carry_out(Plan(port, shots, 8, count=count, timeout_s=120.0))
    if outcome.failures:
        raise WrongAnswers(f"{len(outcome.failures)} requests failed: {outcome.reasons()[:3]}")


def shoot(port: int, shots: tuple[Shot, ...], concurrency: int, duration_s: float) -> Burst:
    """Load for so long. Raises WrongAnswers."""
    if shutil.which("wrk") is None:
        outcome = carry_out(Plan(port, shots, concurrency, duration_s))
        if outcome.failures:
            raise WrongAnswers(f"{len(outcome.failures)} requests failed: {outcome.reasons()[:3]}")
        return Burst(outcome.answers, outcome.per_second, outcome.p50_s * 1e3, outcome.p99_s * 1e3)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_script(shots))
        script.flush()
        command = [
            "wrk",
            "--threads",
            "1",
            "--connections",
            str(concurrency),
            "--latency",
            "--timeout",
            "60s",
        ]
        command += ["--duration", f"{max(1, round(duration_s))}s", "--script", script.name]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
        )
    return _read(done.stdout)


def _script(shots: tuple[Shot, ...]) -> str:
    lines = ["local requests = {}", "function init(args)"]
    for shot in shots:
        headers = ", ".join(
            f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in shot.headers.items()
        )
        parts = f'"POST", {json.dumps(shot.path)}, {{{headers}}}, {json.dumps(shot.body)}'
        lines.append(f"  requests[#requests + 1] = wrk.format({parts})")
    lines += ["end", "local at = 0", "function request()", "  at = at % #requests + 1"]
    return "\n".join([*lines, "  return requests[at]", "end"])


def _read(text: str) -> Burst:
    if "Non-2xx" in text or "Socket errors" in text:
        raise WrongAnswers(text)
    answers = re.search(r"([0-9]+) requests in", text)
    per_second = re.search(r"Requests/sec: +([0-9.]+)", text)
    if answers is None or per_second is None:
        raise WrongAnswers(text)
    return Burst(int(answers[1]), float(per_second[1]), _latency_ms(text, "50%"), _latency_ms(text, "99%"))


def _latency_ms(text: str, share: str) -> float:
    found = re.search(rf"{share} +([0-9.]+)(us|ms|s|m)\b", text)
    return float(found[1]) * _UNITS_MS[found[2]] if found else 0.0


def write_history(path: Path, entry: object) -> None:
    """Append one run's medians."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry) + "\n")
