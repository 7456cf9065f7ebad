"""Measure the server beside a bare one, and on request what happens when memory is short and processes die.

--updates, --crashes and --endpoints each measure one thing about the control plane instead. Prints tables;
--json writes the figures to a file. Progress goes to standard error.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.crashes import measure_crashes
from tests.bench.endpoints import measure_endpoints
from tests.bench.figures import show_figures
from tests.bench.scale import measure_budget, measure_deaths, measure_slow_loads
from tests.bench.speed import WrongAnswers, measure_speed
from tests.bench.updates import measure_updates

_COLUMNS = {
    "per_second": ("requests/s", "{:.0f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
    "cpu_us": ("CPU us/request", "{:.0f}"),
    "memory_mib": ("memory MiB", "{:.0f}"),
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
    speed = measure_speed(folder, options.gateways, options.rounds, options.duration, _note)
    figures["speed"] = speed
    _show_speed(speed, options)
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
    parser.add_argument("--duration", type=float, default=2.0, help="seconds of each measurement (2)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="interleaved rounds, of which medians count (5)"
    )
    parser.add_argument("--gateways", type=int, default=os.cpu_count() or 1, help="processes of each server")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--scale", action="store_true", help="also memory, slow loads and deaths (2 minutes)")
    parser.add_argument(
        "--updates", action="store_true", help="UpdateEndpoint in a loop under load (2 minutes)"
    )
    parser.add_argument("--crashes", action="store_true", help="kill -9 of everything, 50 times (5 minutes)")
    parser.add_argument("--endpoints", action="store_true", help="10,000 endpoints configured (6 minutes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if options.duration <= 0 or options.rounds < 1 or options.gateways < 1:
        parser.error("--duration, --rounds and --gateways must be positive")
    if options.quick:
        options.duration, options.rounds = min(options.duration, 0.5), 1
    return options


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "gateways": options.gateways,
        "rounds": options.rounds,
        "duration_s": options.duration,
    }


def _show_speed(speed: Mapping[str, Any], options: argparse.Namespace) -> None:
    lines = [
        f"one-row CSV on iris, {options.gateways} gateways, medians of {options.rounds} rounds of "
        f"{options.duration:g} s; bare is uvicorn with a constant answer",
        "",
        f"{'at once':>7} {'server':9}" + "".join(f"{title:>16}" for title, _ in _COLUMNS.values()),
    ]
    for concurrency, row in speed.items():
        for server, figures in row.items():
            form = "{:.2f}x" if server == "ratio" else None
            cells = [(form or form_of).format(figures[name]) for name, (_, form_of) in _COLUMNS.items()]
            lines.append(f"{concurrency:>7} {server:9}" + "".join(f"{cell:>16}" for cell in cells))
    sys.stdout.write("\n".join(lines) + "\n")


def _note(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
