"""UpdateEndpoint again and again under load: what failed, what was answered by the wrong fleet, what it held.

Prints its figures; they are also part of `make bench ARGS='--updates'`.
"""

import argparse
import math
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.figures import show_figures
from tests.bench.speed import Note
from tests.harness.control import Control, put_model, variant
from tests.harness.family import Family, load_on_all, models_memory_bytes, serve
from tests.harness.load import Outcome, Plan, Shot

ENDPOINT = "moving"
CONCURRENCY = 32
_CONFIGS = ("config-red", "config-blue")
_ANSWERS = ("[1.0]", "[2.0]")
_SAMPLE_S = 1.0
_JUDGED_S = 60.0  # of the memory, before and after the last update
SHOT = Shot(f"/endpoints/{ENDPOINT}/invocations", "1", {"Content-Type": "text/csv"}, _ANSWERS)
"""A request to the endpoint, and the answer of either fleet in the order of the configurations."""


@dataclass(frozen=True)
class Move:
    """The endpoint was asked to go over to configuration `which`, and then said to be InService with it."""

    which: int
    asked_s: float
    done_s: float


def prepare(control: Control, data: Path) -> Move:
    """Make two models, two configurations whose variants have different names, and the endpoint."""
    asked_s = monotonic()
    for number, (config, colour) in enumerate(zip(_CONFIGS, ("red", "blue"), strict=True)):
        control.create_model(colour, put_model(data, colour, number + 1))
        control.create_config(config, [variant(f"variant-{colour}", colour)])
    control.call("CreateEndpoint", EndpointName=ENDPOINT, EndpointConfigName=_CONFIGS[0])
    control.wait_in_service(ENDPOINT)
    return Move(0, asked_s, monotonic())


def move(control: Control, which: int) -> Move:
    """Have the endpoint go over to one of the configurations, and wait until it has."""
    asked_s = monotonic()
    control.call("UpdateEndpoint", EndpointName=ENDPOINT, EndpointConfigName=_CONFIGS[which])
    found = control.wait_in_service(ENDPOINT)
    assert found["EndpointConfigName"] == _CONFIGS[which], found
    return Move(which, asked_s, monotonic())


def move_while(control: Control, first: Move, goes_on: Callable[[int], bool]) -> list[Move]:
    """Move there and back as long as `goes_on` of the number of moves so far."""
    moves = [first]
    while goes_on(len(moves) - 1):
        moves.append(move(control, 1 - moves[-1].which))
    return moves


def misrouted(outcome: Outcome, moves: Sequence[Move]) -> int:
    """How many answers came from a fleet that was gone when the request was sent.

    That is: DescribeEndpoint had said InService with the other one, and no later move had been asked for when
    the answer came.
    """
    which = np.array([one.which for one in moves])
    asked_s = np.array([one.asked_s for one in moves])
    sent_s, given = np.asarray(outcome.sent_s), np.asarray(outcome.given)
    came_s = sent_s + np.asarray(outcome.took_s)
    last = np.maximum(np.searchsorted([one.done_s for one in moves], sent_s, side="right") - 1, 0)
    wrong = given != which[last]
    for later in (last + 1, last + 2):
        move = np.minimum(later, len(moves) - 1)
        wrong &= ~((later < len(moves)) & (asked_s[move] <= came_s) & (given == which[move]))
    return int(np.count_nonzero(wrong))


def measure_updates(folder: Path, note: Note, duration_s: float = 540.0) -> dict[str, Any]:
    """Two gateways at concurrency 32, one update after the other; the memory's last minute counts.

    Processes that were forked from one another grow for a while whatever they do, as each comes to write to
    what it shared. What that is shows in a further minute of the same load, without updates.
    """
    note(f"UpdateEndpoint in a loop for {duration_s:g} s at concurrency {CONCURRENCY}")
    models = folder / "no-models"
    models.mkdir()
    with (
        serve(folder / "updates", models, 2) as family,
        Control(family.port) as control,
    ):
        first = prepare(control, folder / "updates" / "data")
        end_s = monotonic() + duration_s
        plan = Plan(family.port, (SHOT,), CONCURRENCY, samples=True)
        with load_on_all(plan, family.gateways()) as load, _Memory(family) as memory:
            moves = move_while(control, first, lambda _: monotonic() < end_s)
            moved_until_s = monotonic()
            sleep(_JUDGED_S)
            outcome = load.stop()
    took_s = sorted(one.done_s - one.asked_s for one in moves[1:])
    return {
        f"{duration_s:g} s of updates": {
            "updates": len(took_s),
            "median seconds of one": took_s[len(took_s) // 2],
            "longest": took_s[-1],
            "requests": outcome.answers + len(outcome.failures),
            "failed requests": len(outcome.failures),
            "reasons": "; ".join(outcome.reasons()) or "none",
            "answers of a fleet that was gone": misrouted(outcome, moves),
            "requests/s": outcome.per_second,
            "p99 ms": outcome.p99_s * 1e3,
        }
        | memory.figures(moved_until_s)
    }


class _Memory:
    """The family's anonymous and shared memory once a second, until the `with` block is left."""

    def __init__(self, family: Family) -> None:
        self._pid = family.process.pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._seen: list[tuple[float, float]] = []  # seconds, MiB

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def figures(self, moved_until_s: float) -> dict[str, Any]:
        """MiB over time, and the lines through the minutes before and after the last update."""
        updates, error, spread = self._line(moved_until_s - _JUDGED_S, moved_until_s)
        alone, its_error, _ = self._line(moved_until_s, moved_until_s + _JUDGED_S)
        step = max(1, len(self._seen) // 9)
        return {
            "memory MiB over time": " ".join(f"{mib:.1f}" for _, mib in self._seen[::step]),
            "last minute of updates: MiB per minute": updates * 60,
            "a minute without updates behind it": alone * 60,
            "standard error of the difference": math.hypot(error, its_error) * 60,
            "spread of the samples, MiB": spread,
        }

    def _line(self, begin_s: float, end_s: float) -> tuple[float, float, float]:
        return fit_line([(s, mib) for s, mib in self._seen if begin_s <= s < end_s])

    def _watch(self) -> None:
        while True:
            self._seen.append((monotonic(), models_memory_bytes(self._pid) / 2**20))
            if self._over.wait(_SAMPLE_S):
                return


def fit_line(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Slope of the least-squares line, the slope's standard error, and the spread about the line."""
    count = len(points)
    if count < 3:
        return 0.0, math.inf, math.inf
    middle_x = sum(x for x, _ in points) / count
    middle_y = sum(y for _, y in points) / count
    square = sum((x - middle_x) ** 2 for x, _ in points)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in points) / square
    rest = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in points) / (count - 2)
    return slope, math.sqrt(rest / square), math.sqrt(rest)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--duration", type=float, default=540.0, help="seconds; the memory's last 60 count (540)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        figures = measure_updates(Path(name), lambda text: print(text, file=sys.stderr), options.duration)
    show_figures("UpdateEndpoint under load", figures)


if __name__ == "__main__":
    main()
