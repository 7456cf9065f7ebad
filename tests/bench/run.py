"""Measure the server beside others, and what is wanted of it; with --scale also short memory and deaths.

--updates, --crashes and --endpoints each measure one thing about the control plane instead. Prints tables;
--json writes all figures to a file, --record keeps the medians in tests/bench/history.jsonl. Progress goes to
standard error. With wrk (and nginx) installed the figures are sharper.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.crashes import measure_crashes
from tests.bench.endpoints import measure_endpoints
from tests.bench.figures import show_figures
from tests.bench.layers import measure_layers
from tests.bench.scale import measure_budget, measure_deaths, measure_slow_loads
from tests.bench.speed import Case, as_document, measure_speed, medians
from tests.bench.targets import judge, measure_client, show_targets
from tests.bench.updates import measure_updates
from tests.bench.wrk import WrongAnswers, generator, write_history

_HISTORY = Path(__file__).resolve().parent / "history.jsonl"
_COLUMNS = {
    "per_second": ("requests/s", "{:.0f}"),
    "x_plain": ("x plain", "{:.2f}"),
    "x_bare": ("x bare", "{:.2f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
    "cpu_us": ("CPU us", "{:.0f}"),
    "memory_mib": ("MiB", "{:.0f}"),
}


def main() -> int:
    """Measure, print, and write; 1 if a server answered wrongly."""
    options = _options()
    figures: dict[str, Any] = {"machine": _machine(options)}
    try:
        with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
            _measure(Path(name), options, figures)
    except WrongAnswers as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.record:
        write_history(_HISTORY, {name: figures[name] for name in ("machine", "speed", "layers", "targets")})
    return 0


def _measure(folder: Path, options: argparse.Namespace, figures: dict[str, Any]) -> None:
    wanted = [
        (title, measure)
        for asked, title, measure in (
            (options.updates, "UpdateEndpoint under load", measure_updates),
            (options.crashes, "kill -9 of everything", measure_crashes),
            (options.endpoints, "10,000 endpoints", measure_endpoints),
        )
        if asked
    ]
    for title, measure in wanted:
        figures[title] = measure(folder, _note)
        show_figures(title, figures[title])
    if not wanted:
        _measure_speed(folder, options, figures)


def _measure_speed(folder: Path, options: argparse.Namespace, figures: dict[str, Any]) -> None:
    table = medians(measure_speed(folder, options.gateways, options.rounds, options.duration, _note))
    figures["speed"] = as_document(table)
    _show_speed(table, options)
    figures["layers"] = measure_layers(folder, _note)
    _show_layers(figures["layers"])
    judged = judge(table, measure_client(folder, _note))
    figures["targets"] = [asdict(each) for each in judged]
    show_targets(judged)
    if options.scale:
        for title, measure in (
            ("20 models where 5 fit", measure_budget),
            ("a load of 5 s beside one-row requests", measure_slow_loads),
            ("one gateway of two dies at concurrency 32", measure_deaths),
        ):
            figures[title] = measure(folder, _note)
            show_figures(title, figures[title])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--duration", type=float, default=1.0, help="seconds of each measurement (1)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="interleaved rounds, of which medians count (3)"
    )
    parser.add_argument(
        "--gateways", type=int, nargs="+", default=[1, 2], help="processes of each server (1 2)"
    )
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--scale", action="store_true", help="also memory, slow loads and deaths (2 minutes)")
    parser.add_argument(
        "--updates", action="store_true", help="UpdateEndpoint in a loop under load (11 minutes)"
    )
    parser.add_argument("--crashes", action="store_true", help="kill -9 of everything, 50 times (5 minutes)")
    parser.add_argument("--endpoints", action="store_true", help="10,000 endpoints configured (6 minutes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--record", action="store_true", help=f"append the medians to {_HISTORY.name}")
    options = parser.parse_args()
    if options.duration <= 0 or options.rounds < 1 or min(options.gateways) < 1:
        parser.error("--duration, --rounds and --gateways must be positive")
    if options.record and (options.updates or options.crashes or options.endpoints):
        parser.error("--record keeps the medians of the speed, which these do not measure")
    if options.quick:
        options.duration, options.rounds, options.gateways = 1.0, 1, options.gateways[-1:]
    return options


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "commit": commit.stdout.strip(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "generator": generator(),
        "rounds": options.rounds,
        "duration_s": options.duration,
    }


def _show_speed(table: Mapping[Case, Mapping[str, float]], options: argparse.Namespace) -> None:
    lines = [
        f"medians of {options.rounds} interleaved rounds of {options.duration:g} s; load by {generator()}",
        "plain: FastAPI + scikit-learn in 20 lines; bare, nginx: a constant answer; ASGI: the fast path off",
    ]
    head = ""
    for case, row in sorted(table.items(), key=_order):
        title = f"{case.scenario}, {case.gateways} processes, concurrency {case.concurrency}"
        if title != head:
            head = title
            lines += ["", f"{title:42}" + "".join(f"{name:>12}" for name, _ in _COLUMNS.values())]
        cells = [form.format(row[name]) if name in row else "" for name, (_, form) in _COLUMNS.items()]
        lines.append(f"  {case.server:40}" + "".join(f"{cell:>12}" for cell in cells))
    sys.stdout.write("\n".join(lines) + "\n")


def _order(item: tuple[Case, Mapping[str, float]]) -> tuple[int, str, int]:
    case = item[0]
    return case.gateways, case.scenario, case.concurrency


def _show_layers(layers: Mapping[str, float]) -> None:
    total = layers["whole request"]
    lines = ["", "CPU us per one-row request on the fast path, by layer"]
    lines += [f"  {name:40}{value:>8.1f}{value / total:>8.0%}" for name, value in layers.items()]
    sys.stdout.write("\n".join(lines) + "\n")


def _note(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
