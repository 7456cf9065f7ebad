"""Stops a server again and again under load, and counts the requests that were sent and never answered.

Each stop is one of the whole family: SIGTERM to the supervisor, as an orchestrator sends it, or SIGINT to the
process group, as a terminal does. Some callers bring a new connection with every request, some keep theirs.
A caller whose connection is refused has lost nothing; one that got a connection must get its answer.

    python tests/bench/stops.py --stops 20 --gateways 1 2
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.harness.family import serve
from tests.harness.gateways import declare, make_model, variants
from tests.harness.load import Failure, Load, Plan, Shot

SHOT = Shot("/endpoints/one/invocations", "1", {"Content-Type": "text/csv"}, ("[1.0]",))


@dataclass(frozen=True)
class Stop:
    """One stop under load: how many requests were answered, and what became of those that were not."""

    gateways: int
    number: signal.Signals
    answers: int
    exit_code: int
    lost: tuple[Failure, ...]


def stop_under_load(
    folder: Path, gateways: int, number: signal.Signals, concurrency: int = 32, kept: int = 8
) -> Stop:
    """Start a server over a model of its own in `folder`, load it, stop it, and see what was lost.

    `concurrency` callers bring new connections, `kept` others keep theirs.
    """
    models = folder / "models"
    if not models.exists():
        make_model(models / "one", 1)
        declare(models, variants("one", one=1))
    with (
        serve(folder / "server", models, gateways, SAGEBIRD_WORKERS="0") as server,
        Load(Plan(server.port, (SHOT,), concurrency, fresh=True)) as bringing,
        Load(Plan(server.port, (SHOT,), kept)) as keeping,
    ):
        _send(server.process.pid, number)
        code = server.process.wait(60)
        outcomes = [bringing.stop(), keeping.stop()]
    lost = [failure for outcome in outcomes for failure in outcome.failures if failure.port]
    return Stop(gateways, number, sum(outcome.answers for outcome in outcomes), code, tuple(lost))


def _send(pid: int, number: signal.Signals) -> None:
    if number is signal.SIGINT:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per kind of stop; the exit code is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stops", type=int, default=20, help="stops of each kind (20)")
    parser.add_argument("--gateways", type=int, nargs="+", default=[1, 2], help="of the servers (1 2)")
    parser.add_argument("--concurrency", type=int, default=32, help="callers with new connections (32)")
    parser.add_argument("--kept", type=int, default=8, help="callers that keep theirs (8)")
    asked = parser.parse_args(arguments)
    failed = False
    with tempfile.TemporaryDirectory(prefix="sagebird-stops-") as name:
        for gateways, number in product(asked.gateways, (signal.SIGTERM, signal.SIGINT)):
            stops = [
                stop_under_load(Path(name), gateways, number, asked.concurrency, asked.kept)
                for _ in range(asked.stops)
            ]
            failed |= any(stop.lost or stop.exit_code for stop in stops)
            print(_line(stops), flush=True)
    return int(failed)


def _line(stops: Sequence[Stop]) -> str:
    first = stops[0]
    reasons = sorted({failure.reason for stop in stops for failure in stop.lost})
    return (
        f"{first.gateways} gateways, {first.number.name}: {len(stops)} stops, "
        f"{sum(stop.answers for stop in stops)} answers, {sum(len(stop.lost) for stop in stops)} lost"
        + "".join(f"; {reason}" for reason in reasons)
    )


if __name__ == "__main__":
    sys.exit(main())
