"""What outcomes that come in cost those who call meanwhile.

An endpoint of two variants is under load at a concurrency of 16. Rounds take turns: outcomes of its answers
are reported at a steady pace, each twice and in any order, and none are. Right is: nobody fails, every
outcome is acknowledged, and the p99 in a round with reports is, in the median, at most 1.1 times that of the
round beside it.

    python tests/bench/outcomes_beside.py
    python tests/bench/outcomes_beside.py --pace 2000 --seconds 5 --rounds 3
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.beside import CONCURRENCY, CSV, prepare, report, start
from tests.harness.gateways import declare
from tests.harness.load import Load, Outcome, Plan, Shot

_BATCH: Final = 500
_KNOWN: Final = 20_000
_MOST_RATIO: Final = 1.1
_TWO_VARIANTS: Final = """endpoints:
  shop:
    variants:
      a: {model: iris, weight: 1}
      b: {model: iris, weight: 1}
"""
_CALL: Final = Shot("/endpoints/shop/invocations", "5.1,3.5,1.4,0.2", CSV, ("[0]",))


class Reporter:
    """Reports outcomes of predictions that were made before, a batch at a time, until it is stopped."""

    def __init__(self, port: int, per_s: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._every_s = _BATCH / per_s
        self._over = Event()
        self.reported = 0
        self.refused = 0

    def run(self) -> None:
        """Do it; a batch that is late is not made up for."""
        draw = random.Random(1)
        while not self._over.wait(self._every_s - monotonic() % self._every_s):
            numbers = [draw.randrange(_KNOWN) for _ in range(_BATCH // 2)] * 2
            records = [{"inference_id": f"id-{each}", "click": each % 3 == 0} for each in numbers]
            self._connection.request(
                "POST", "/endpoints/shop/outcomes", json.dumps(records), {"Content-Type": "application/json"}
            )
            response = self._connection.getresponse()
            response.read()
            self.reported += len(records)
            self.refused += len(records) * (response.status != http.client.OK)
        self._connection.close()

    def stop(self) -> None:
        """Report no more."""
        self._over.set()


@contextmanager
def reporting(port: int, per_s: int) -> Iterator[Reporter]:
    """Somebody who reports meanwhile."""
    reporter = Reporter(port, per_s)
    thread = Thread(target=reporter.run)
    thread.start()
    try:
        yield reporter
    finally:
        reporter.stop()
        thread.join()


def predict(port: int) -> None:
    """Make the predictions that outcomes are reported of."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(_KNOWN):
        connection.request(
            "POST", _CALL.path, _CALL.body, CSV | {"X-Amzn-SageMaker-Inference-Id": f"id-{number}"}
        )
        connection.getresponse().read()
    connection.close()


def try_beside(port: int, asked: argparse.Namespace) -> bool:
    """Rounds with and without reports, in turn."""
    alone: list[Outcome] = []
    beside: list[Outcome] = []
    reported = refused = 0
    _load(port, 2.0)
    for turn in range(asked.rounds):
        for outcomes in (alone, beside)[:: -1 if turn % 2 else 1]:
            with reporting(port, asked.pace) if outcomes is beside else nullcontext() as reporter:
                outcomes.append(_load(port, asked.seconds))
            reported += reporter.reported if reporter else 0
            refused += reporter.refused if reporter else 0
            print(
                f"       {'reports' if reporter else 'alone':8} {outcomes[-1].per_second:7.0f}/s at "
                f"{CONCURRENCY}, p99 {outcomes[-1].p99_s * 1e3:6.2f} ms",
                flush=True,
            )
    # By pairs of rounds: a machine that others use as well is not the same a minute later.
    ratio = median(with_.p99_s / without.p99_s for without, with_ in zip(alone, beside, strict=True))
    failed = sum(len(each.failures) for each in (*alone, *beside))
    rate = reported / asked.rounds / asked.seconds
    line = (
        f"p99 {ratio:.2f} x beside {rate:.0f} reports/s (at most {_MOST_RATIO} x), {failed} failed, "
        f"{refused} of {reported} outcomes refused"
    )
    return report(ratio <= _MOST_RATIO and not failed and not refused, line)


def _load(port: int, seconds: float) -> Outcome:
    with Load(Plan(port, (_CALL,), CONCURRENCY, seconds)) as load:
        return load.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per round and one that judges; the exit code is 1 if it is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pace", type=int, default=1000, help="outcomes a second (1000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round (10)")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind (5)")
    parser.add_argument("--gateways", type=int, default=2, help="of the server (2)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sagebird-outcomes-") as name:
        models = Path(name) / "models"
        prepare(models)
        declare(models, _TWO_VARIANTS)
        with start(Path(name), models, asked.gateways) as server:
            predict(server.port)
            return int(not try_beside(server.port, asked))


if __name__ == "__main__":
    sys.exit(main())
