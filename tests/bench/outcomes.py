"""Outcomes are counted once: late, twice, out of order, while a gateway is killed every ten seconds.

Half of the predictions are made first, by ids of their own, the other half while outcomes are reported: each
outcome twice, all of them shuffled, so that many come before their prediction. Meanwhile gateways are killed;
what was not answered is sent again, predictions and reports. A prediction that was answered and not handed in
when its gateway was killed is lost, and its outcome waits: `waiting` is no more than `answered, not kept`.

Held against each other are what was acknowledged, what the server says, and the rows and sums of its file.

Measured are memory and the p99 of calls at a steady rate, from a process of its own. In one turn of ten
seconds outcomes are reported, in the next none are; all else is the same in both, predictions and a gateway
that is killed. A gateway that starts disturbs calls more than anything else: so there is the p99 without them
as well, which says more of reports.
"""

import argparse
import http.client
import json
import math
import random
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.figures import show_figures
from tests.harness.control import Control, put_model, variant
from tests.harness.family import Family, serve
from tests.harness.load import Load, Outcome, Plan, Shot, percentile

_ENDPOINT = "shop"
_AT_ONCE = 50
_BATCH = 500
_TURN_S = 10.0
_MEANWHILE = 10  # predictions at once while calls are timed
_MEANWHILE_PER_S = 250  # and less where outcomes are reported slowly: an eighth as many would end with them
_CALLERS, _CALL_EVERY_S = 8, 0.02
_START_S = 4.0
_PREDICT = (
    f"POST /endpoints/{_ENDPOINT}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    "%sContent-Length: 1\r\n\r\n1"
)
_ID = "X-Amzn-SageMaker-Inference-Id: id-%d\r\n"
_CALL = Shot(f"/endpoints/{_ENDPOINT}/invocations", "1", {"Content-Type": "text/csv"}, ("[1.0]",))


def main() -> int:
    """Run it; the exit code says whether every acknowledged outcome was counted exactly once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument(
        "--pace", type=float, default=math.inf, help="outcomes a second (as many as are acknowledged)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _run(Path(folder), options.outcomes, options.gateways, options.pace)
        figures |= _rows(Path(folder) / "server" / "data" / "outcomes.db")
    show_figures("outcomes", {f"{options.outcomes:,} outcomes, {options.gateways} gateways": figures})
    return 0 if _is_right(figures) else 1


def _is_right(figures: Mapping[str, Any]) -> bool:
    """Each outcome has one row; those of known predictions are in the sums, once; the others wait."""
    counted, waiting = figures["counted"], figures["waiting"]
    return bool(
        figures["acknowledged"] == counted + waiting == figures["rows"]
        and waiting == figures["rows that wait"] == figures["answered, not kept"]
        and figures["sum of what is counted"] == figures["sum of its rows"]
    )


def _run(folder: Path, number: int, gateways: int, pace: float) -> dict[str, Any]:
    models = folder / "models"
    models.mkdir()
    rows = str(2 * number + 1000)
    with serve(folder / "server", models, gateways, outcome_rows=rows) as server:
        _deploy(server, folder / "server" / "data")
        begun_s = monotonic()
        _predict(server.port, range(number // 2))
        predicted_s = monotonic() - begun_s
        turns = _Turns(server)
        calls = Plan(server.port, (_CALL,), _CALLERS, every_s=_CALL_EVERY_S, samples=True)
        with Load(calls) as load:
            predictions = _report_in_turns(turns, number, pace)
            answered = load.stop()
        predictions.join()
        document = _settled(server.port)
    recorded = sum(variant["calls"] for variant in document["variants"])
    return {
        "predictions per s": number / 2 / predicted_s,
        "reports per s, each outcome twice": 2 * number / sum(end - start for start, end in turns.reporting),
        "gateways killed": len(turns.kills_s),
        "acknowledged": number,
        "counted": document["tallies"]["counted"],
        "waiting": document["tallies"]["waiting"],
        "answered, not kept": number - recorded,
        "of these dropped": document["tallies"]["dropped"],
        "sum of what is counted": sum(
            round(each["outcome"]["count"] * each["outcome"]["mean"]) for each in document["variants"]
        ),
        **_waits(answered, turns),
        "memory before, MB": turns.memory[0] / 1e6,
        "memory at most, MB": max(turns.memory) / 1e6,
    }


def _waits(answered: Outcome, turns: "_Turns") -> dict[str, float]:
    """The p99 of calls in turns without reports and in those with them, all of them and away from starts."""
    away = [sample for sample in answered.samples if not turns.is_near_kill(sample[0])]
    return {
        **_compared("of calls", [*answered.samples], turns),
        **_compared("away from starts", away, turns),
        "pairs of turns": min(len(turns.alone), len(turns.reporting)),
        "calls per s": answered.per_second,
        "calls not answered": len(answered.failures),
    }


def _compared(name: str, samples: Sequence[tuple[float, float]], turns: "_Turns") -> dict[str, float]:
    alone, beside = _split(samples, turns.alone), _split(samples, turns.reporting)
    alone_s, beside_s = percentile([*chain(*alone)], 0.99), percentile([*chain(*beside)], 0.99)
    pairs = zip(alone, beside, strict=False)
    return {
        f"p99 {name}, alone, ms": alone_s * 1000,
        f"p99 {name}, beside reports, ms": beside_s * 1000,
        f"p99 {name}, ratio": beside_s / alone_s,
        f"p99 {name}, median ratio of pairs": median(
            percentile(with_, 0.99) / percentile(without, 0.99) for without, with_ in pairs
        ),
    }


def _split(samples: Sequence[tuple[float, float]], turns: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [[took_s for sent_s, took_s in samples if start <= sent_s < end] for start, end in turns]


class _Turns:
    """Turns with reports and turns without; in the midst of each a gateway is killed."""

    def __init__(self, server: Family) -> None:
        self.memory = [server.memory_bytes()]
        self.kills_s: list[float] = []
        self.alone: list[tuple[float, float]] = []
        self.reporting: list[tuple[float, float]] = []
        self.may_report = threading.Event()
        self.server = server

    def take(self, reports: threading.Thread) -> None:
        """One after the other, for as long as there is something to report; the last one may be short."""
        while reports.is_alive():
            self._take(self.alone, reports)
            self.may_report.set()
            self._take(self.reporting, reports)
            self.may_report.clear()

    def is_near_kill(self, sent_s: float) -> bool:
        """Whether a gateway was starting, or another had its calls."""
        return any(0 <= sent_s - kill_s < _START_S for kill_s in self.kills_s)

    def _take(self, turns: list[tuple[float, float]], reports: threading.Thread) -> None:
        begun_s = monotonic()
        self._wait(begun_s + _TURN_S / 2, reports)
        random.choice(self.server.gateways()).kill()
        self.kills_s.append(monotonic())
        self._wait(begun_s + _TURN_S, reports)
        turns.append((begun_s, monotonic()))
        self.memory.append(self.server.memory_bytes())

    def _wait(self, due_s: float, reports: threading.Thread) -> None:
        while reports.is_alive() and monotonic() < due_s:
            sleep(0.05)


def _report_in_turns(turns: _Turns, number: int, pace: float) -> threading.Thread:
    """Report all outcomes while the other predictions are made; the thread that still makes some."""
    port, bodies = turns.server.port, _bodies(number)
    reports = threading.Thread(target=_report_all, args=(port, bodies, turns.may_report, pace))
    slowly, is_over = min(_MEANWHILE_PER_S, pace / 9), threading.Event()
    predictions = threading.Thread(
        target=_predict, args=(port, range(number // 2, number), _MEANWHILE, slowly, is_over)
    )
    for each in (reports, predictions):
        each.start()
    turns.take(reports)
    if not predictions.is_alive():
        raise ValueError("Predictions ended before the reports did: turns are not alike.")
    is_over.set()
    return predictions


def _settled(port: int) -> Any:
    """The experiment once the last predictions were handed in, and nothing is on its way any more."""
    known: Any = None
    while True:
        document = _experiment(port)
        now = (document["tallies"]["waiting"], [variant["calls"] for variant in document["variants"]])
        if now == known:
            return document
        known = now
        sleep(2.0)  # longer than a gateway keeps what is to be handed in, and the keeper a document


def _rows(file: Path) -> dict[str, Any]:
    """What the file of a stopped server has."""
    with closing(sqlite3.connect(file)) as database:
        ((rows, waiting, total),) = database.execute(
            "SELECT COUNT(*), SUM(arm IS NULL),"
            " SUM(CASE WHEN arm IS NULL THEN 0 ELSE CAST(value AS REAL) END) FROM outcomes"
        )
    return {"rows": rows, "rows that wait": waiting, "sum of its rows": round(total)}


def _deploy(server: Family, data: Path) -> None:
    with Control(server.port) as control:
        control.create_model("one", put_model(data, "one", 1))
        control.create_config("config", [variant(name, "one") for name in "ab"])
        control.call("CreateEndpoint", EndpointName=_ENDPOINT, EndpointConfigName="config")
        control.wait_in_service(_ENDPOINT)


def _predict(
    port: int,
    numbers: Sequence[int],
    at_once: int = _AT_ONCE,
    per_s: float = math.inf,
    is_over: threading.Event | None = None,
) -> None:
    """Ask for predictions by their numbers, again where a gateway was killed before it had answered.

    So many a second, until it `is_over` what they are asked for meanwhile.
    """
    left = list(numbers)
    is_over = is_over or threading.Event()
    while left:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        ):
            while left:
                _predict_some(connection, left[:at_once])
                del left[:at_once]
                is_over.wait(at_once / per_s)


def _predict_some(connection: socket.socket, numbers: Sequence[int]) -> None:
    connection.sendall("".join(_PREDICT % (_ID % each) for each in numbers).encode())
    received = b""
    while received.count(b"[1.0]") < len(numbers):
        part = connection.recv(1 << 18)
        if not part:
            raise ConnectionError("the gateway is gone")
        received += part


def _report_all(port: int, bodies: Iterable[bytes], may_report: threading.Event, pace: float) -> None:
    """Report every outcome twice, in any order; each batch until it is acknowledged."""
    for body in bodies:
        may_report.wait()
        sleep(_BATCH / pace)
        _persist(port, body)


def _bodies(number: int) -> list[bytes]:
    """All reports, each outcome twice; written beforehand, for that is work of the caller."""
    every = [*range(number), *range(number)]
    random.Random(1).shuffle(every)
    return [
        json.dumps(
            [{"inference_id": f"id-{each}", "click": each % 3 == 0} for each in every[first : first + _BATCH]]
        ).encode()
        for first in range(0, len(every), _BATCH)
    ]


def _persist(port: int, body: bytes) -> None:
    path = f"/endpoints/{_ENDPOINT}/outcomes"
    while True:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            connection.close()
            if response.status == 200:
                return
        sleep(0.05)


def _experiment(port: int) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/endpoints/{_ENDPOINT}/experiment?outcome=click")
    return json.loads(connection.getresponse().read())


if __name__ == "__main__":
    sys.exit(main())
