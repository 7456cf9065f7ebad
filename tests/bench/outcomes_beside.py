"""What outcomes that come in cost those who call meanwhile.

An endpoint of two variants is under load at a concurrency of 16. Rounds take turns: outcomes of its answers
are reported at a steady pace, each of them twice, the second time somewhat later and among others, and none
are. Right is: nobody fails, the pace is kept, every outcome is acknowledged, and the p99 in a round with
reports is, in the median, at most 1.1 times that of the round beside it. Rounds are short: the pace of a
machine that is shared swings within a minute by more than what is measured.

    python tests/bench/outcomes_beside.py
    python tests/bench/outcomes_beside.py --pace 2000 --seconds 5 --rounds 3
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from math import ceil
from pathlib import Path
from statistics import median
from threading import Event
from time import monotonic
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.beside import CONCURRENCY, CSV, prepare, report, start
from tests.harness.gateways import declare
from tests.harness.load import Load, Outcome, Plan, Shot

_MOST_RATIO: Final = 1.1
_LEAST_PACE: Final = 0.9
_JSON: Final = {"Content-Type": "application/json"}
_TWO_VARIANTS: Final = """endpoints:
  shop:
    variants:
      a: {model: iris, weight: 1}
      b: {model: iris, weight: 1}
"""
_CALL: Final = Shot("/endpoints/shop/invocations", "5.1,3.5,1.4,0.2", CSV, ("[0]",))


class Reporter:
    """Reports outcomes of predictions that were made before, a batch at a time, until it is stopped."""

    def __init__(self, port: int, per_s: int, batch: int, fresh: Iterator[int]) -> None:
        """`fresh` has the numbers of predictions of which nothing was reported."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._every_s = batch / per_s
        self._batches = _batches(fresh, batch // 2)
        self._over = Event()
        self.seconds = 0.0
        self.new = 0
        self.receipts = Counter[str]()

    def run(self) -> None:
        """Do it once more; a batch that is late is not made up for."""
        began_s = monotonic()
        self._over.clear()
        while not self._over.wait(self._every_s - monotonic() % self._every_s):
            new, body = next(self._batches, (0, ""))
            if not new:
                raise ValueError("More was reported than there are predictions.")
            told = _post(self._connection, "/endpoints/shop/outcomes", body, _JSON)
            self.new += new
            self.receipts.update(json.loads(told))
        self.seconds += monotonic() - began_s

    def stop(self) -> None:
        """Report no more."""
        self._over.set()


def _batches(fresh: Iterable[int], half: int) -> Iterator[tuple[int, str]]:
    """What is reported at once, and how much of it is new; each prediction is reported again in the next one.

    They are written beforehand: what it takes to write them is the caller's.
    """
    before: list[int] = []
    batches = []
    left = iter(fresh)
    while new := [*islice(left, half)]:
        numbers, before = [*new, *before], new
        random.shuffle(numbers)
        records = [{"inference_id": f"id-{each}", "click": each % 3 == 0} for each in numbers]
        batches.append((len(new), json.dumps(records)))
    return iter(batches)


@contextmanager
def reporting(reporter: Reporter | None) -> Iterator[None]:
    """Have it report meanwhile; raises what ended it before its time."""
    if reporter is None:
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(reporter.run)
        try:
            yield
        finally:
            reporter.stop()
        running.result()


def _post(connection: http.client.HTTPConnection, path: str, body: str, headers: Mapping[str, str]) -> bytes:
    connection.request("POST", path, body, dict(headers))
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.client.OK:
        raise ValueError(f"{path}: {response.status} {answer!r}")
    return answer


def predict(port: int, number: int) -> Iterator[int]:
    """Make the predictions that outcomes are reported of; their numbers, in any order."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for each in range(number):
        _post(connection, _CALL.path, str(_CALL.body), {**CSV, "X-Amzn-SageMaker-Inference-Id": f"id-{each}"})
    connection.close()
    return iter(random.sample(range(number), number))


def try_beside(port: int, asked: argparse.Namespace) -> bool:
    """Rounds with and without reports, in turn."""
    alone: list[Outcome] = []
    beside: list[Outcome] = []
    fresh = predict(port, int(asked.rounds * asked.seconds * asked.pace))
    reporter = Reporter(port, asked.pace, asked.batch, fresh)
    _load(port, 2.0, None)
    for turn in range(asked.rounds):
        for outcomes in (alone, beside)[:: -1 if turn % 2 else 1]:
            last = _load(port, asked.seconds, reporter if outcomes is beside else None)
            outcomes.append(last)
            print(
                f"       {'reports' if outcomes is beside else 'alone':8} {last.per_second:7.0f}/s at "
                f"{CONCURRENCY}, p99 {last.p99_s * 1e3:6.2f} ms, longest {last.longest_s * 1e3:6.2f} ms",
                flush=True,
            )
    # By pairs of rounds: a machine that others use as well is not the same a minute later.
    ratios = sorted(with_.p99_s / without.p99_s for without, with_ in zip(alone, beside, strict=True))
    ratio = median(ratios)
    least, most = _sure_of_median(ratios)
    failed = sum(len(each.failures) for each in (*alone, *beside))
    new, receipts = reporter.new, reporter.receipts
    rate = receipts.total() / reporter.seconds
    line = (
        f"p99 {ratio:.2f} x (95 %: {least:.2f} to {most:.2f}) beside {rate:.0f} reports/s (at most "
        f"{_MOST_RATIO} x), {failed} failed, "
        f"{new} predictions reported, counted {receipts['counted']}, known {receipts['repeated']} times"
    )
    kept = receipts["counted"] == new and not receipts["waiting"] and rate >= _LEAST_PACE * asked.pace
    return report(ratio <= _MOST_RATIO and not failed and kept, line)


def _sure_of_median(ordered: Sequence[float]) -> tuple[float, float]:
    """Between which two of them the median of all rounds there could be lies, 19 times in 20."""
    half_width = 0.98 * len(ordered) ** 0.5
    last = len(ordered) - 1
    return ordered[max(0, int(last / 2 - half_width))], ordered[min(last, ceil(last / 2 + half_width))]


def _load(port: int, seconds: float, reporter: Reporter | None) -> Outcome:
    """The load of one round, and reports for as long as it lasts."""
    with Load(Plan(port, (_CALL,), CONCURRENCY, seconds)) as load, reporting(reporter):
        return load.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per round and one that judges; the exit code is 1 if it is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pace", type=int, default=1000, help="outcomes a second (1000)")
    parser.add_argument("--batch", type=int, default=500, help="outcomes reported at once (500)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round (2)")
    parser.add_argument("--rounds", type=int, default=30, help="of each kind (30)")
    parser.add_argument("--gateways", type=int, default=2, help="of the server (2)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sagebird-outcomes-") as name:
        models = Path(name) / "models"
        prepare(models)
        declare(models, _TWO_VARIANTS)
        with start(Path(name), models, asked.gateways) as server:
            return int(not try_beside(server.port, asked))


if __name__ == "__main__":
    sys.exit(main())
