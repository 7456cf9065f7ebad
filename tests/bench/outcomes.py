"""Outcomes are counted once: late, twice, out of order, while a gateway is killed every ten seconds.

Half of the predictions are made first, by ids of their own, the other half while outcomes are reported: each
outcome twice, all of them shuffled, so that many come before their prediction. Meanwhile gateways are killed;
what was not answered is sent again, predictions and reports. A prediction that was answered and not handed in
when its gateway was killed is lost, and its outcome waits: `waiting` is no more than `answered, not kept`.

Held against each other are what was acknowledged, what the server says, and the rows and sums of its file.
Measured are the p99 of calls before and beside the reports, and memory.
"""

import argparse
import http.client
import json
import random
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.bench.figures import show_figures
from tests.harness.control import Control, put_model, variant
from tests.harness.family import Family, serve

_ENDPOINT = "shop"
_AT_ONCE = 50
_BATCH = 500
_KILL_S = 10.0
_RATE = 200.0
_PREDICT = (
    f"POST /endpoints/{_ENDPOINT}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    "%sContent-Length: 1\r\n\r\n1"
)
_ID = "X-Amzn-SageMaker-Inference-Id: id-%d\r\n"


def main() -> int:
    """Run it; the exit code says whether every acknowledged outcome was counted exactly once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--quiet-s", type=float, default=20.0, help="how long calls alone are measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _run(Path(folder), options.outcomes, options.gateways, options.quiet_s)
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


def _run(folder: Path, number: int, gateways: int, quiet_s: float) -> dict[str, Any]:
    models = folder / "models"
    models.mkdir()
    rows = str(2 * number + 1000)
    with serve(folder / "server", models, gateways, outcome_rows=rows) as server:
        _deploy(server, folder / "server" / "data")
        begun_s = monotonic()
        _predict(server.port, range(number // 2))
        predicted_s = monotonic() - begun_s
        with _Calls(server.port) as alone:
            sleep(quiet_s)
        begun_s = monotonic()
        with _Calls(server.port) as beside:
            killed, memory = _report_and_kill(server, number)
        reported_s = monotonic() - begun_s
        document = _settled(server.port)
    recorded = sum(variant["calls"] for variant in document["variants"])
    return {
        "predictions per s": number / 2 / predicted_s,
        "reports per s, each outcome twice": 2 * number / reported_s,
        "gateways killed": killed,
        "acknowledged": number,
        "counted": document["tallies"]["counted"],
        "waiting": document["tallies"]["waiting"],
        "answered, not kept": number - recorded,
        "of these dropped": document["tallies"]["dropped"],
        "sum of what is counted": sum(
            round(each["outcome"]["count"] * each["outcome"]["mean"]) for each in document["variants"]
        ),
        "p99 of calls alone, ms": alone.p99_ms(),
        "p99 of calls beside, ms": beside.p99_ms(),
        "memory before, MB": memory[0] / 1e6,
        "memory at most, MB": max(memory) / 1e6,
    }


def _report_and_kill(server: Family, number: int) -> tuple[int, list[int]]:
    """Make the rest of the predictions and report all outcomes; how many gateways were killed, and memory."""
    memory, killed = [server.memory_bytes()], 0
    work = [
        threading.Thread(target=_report_all, args=(server.port, number)),
        threading.Thread(target=_predict, args=(server.port, range(number // 2, number))),
    ]
    for each in work:
        each.start()
    while any(each.is_alive() for each in work):
        due_s = monotonic() + _KILL_S
        while any(each.is_alive() for each in work) and monotonic() < due_s:
            sleep(0.05)
        memory.append(server.memory_bytes())
        if monotonic() >= due_s:
            random.choice(server.gateways()).kill()
            killed += 1
    return killed, memory


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


def _predict(port: int, numbers: Sequence[int]) -> None:
    """Ask for predictions by their numbers, again where a gateway was killed before it had answered."""
    left = list(numbers)
    while left:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        ):
            while left:
                _predict_some(connection, left[:_AT_ONCE])
                del left[:_AT_ONCE]


def _predict_some(connection: socket.socket, numbers: Sequence[int]) -> None:
    connection.sendall("".join(_PREDICT % (_ID % each) for each in numbers).encode())
    received = b""
    while received.count(b"[1.0]") < len(numbers):
        part = connection.recv(1 << 18)
        if not part:
            raise ConnectionError("the gateway is gone")
        received += part


def _report_all(port: int, number: int) -> None:
    """Report every outcome twice, in any order; each batch until it is acknowledged."""
    draw = random.Random(1)
    every = [*range(number), *range(number)]
    draw.shuffle(every)
    for first in range(0, len(every), _BATCH):
        _persist(
            port,
            [
                {"inference_id": f"id-{each}", "click": each % 3 == 0}
                for each in every[first : first + _BATCH]
            ],
        )


def _persist(port: int, records: Sequence[dict[str, Any]]) -> None:
    body = json.dumps(records)
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


class _Calls:
    """Calls at a steady rate from a thread, timed from when each was due; a killed gateway's are left out."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._times_s: list[float] = []
        self._thread = threading.Thread(target=self._call)

    def __enter__(self) -> "_Calls":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def p99_ms(self) -> float:
        """The p99 of those that were answered."""
        return sorted(self._times_s)[len(self._times_s) * 99 // 100] * 1000

    def _call(self) -> None:
        while not self._over.is_set():
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection,
            ):
                self._call_on(connection.sendall, connection.recv)

    def _call_on(self, send: Callable[[bytes], None], receive: Callable[[int], bytes]) -> None:
        request, due_s = (_PREDICT % "").encode(), monotonic()
        while not self._over.is_set():
            due_s += 1 / _RATE
            sleep(max(0.0, due_s - monotonic()))
            begun_s = monotonic()
            send(request)
            if not receive(1 << 16):
                return
            self._times_s.append(monotonic() - begun_s)


if __name__ == "__main__":
    sys.exit(main())
