"""Outcomes are counted once: late, twice, out of order, while a gateway is killed every ten seconds.

Predictions are made first, by ids of their own. Then outcomes of all of them, each twice and shuffled, are
reported in batches, beside calls at a steady rate, and gateways are killed. A report that was not answered is
sent again. Counted is what was acknowledged and what the server says of it; measured are the p99 of calls
before and beside the reports, and memory.
"""

import argparse
import http.client
import json
import random
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
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
    show_figures("outcomes", {f"{options.outcomes:,} outcomes, {options.gateways} gateways": figures})
    return 0 if figures["acknowledged"] == figures["counted"] + figures["waiting"] else 1


def _run(folder: Path, number: int, gateways: int, quiet_s: float) -> dict[str, Any]:
    models = folder / "models"
    models.mkdir()
    rows = str(4 * number + 1000)
    with serve(folder / "server", models, gateways, outcome_rows=rows) as server:
        _deploy(server, folder / "server" / "data")
        begun_s = monotonic()
        _predict_all(server, number)
        predicted_s = monotonic() - begun_s
        with _Calls(server.port) as alone:
            sleep(quiet_s)
        begun_s, killed = monotonic(), 0
        reports = threading.Thread(target=_report_all, args=(server.port, number))
        memory = [server.memory_bytes()]
        with _Calls(server.port) as beside:
            reports.start()
            while reports.is_alive():
                reports.join(_KILL_S)
                memory.append(server.memory_bytes())
                if reports.is_alive():
                    random.choice(server.gateways()).kill()
                    killed += 1
        reported_s = monotonic() - begun_s
        document = _experiment(server.port)
    return {
        "predictions per s": number / predicted_s,
        "reports per s, each outcome twice": 2 * number / reported_s,
        "gateways killed": killed,
        "acknowledged": number,
        "counted": document["outcomes"]["click"],
        "waiting": document["tallies"]["waiting"],
        "predictions dropped": document["tallies"]["dropped"],
        "p99 of calls alone, ms": alone.p99_ms(),
        "p99 of calls beside, ms": beside.p99_ms(),
        "memory before, MB": memory[0] / 1e6,
        "memory at most, MB": max(memory) / 1e6,
    }


def _deploy(server: Family, data: Path) -> None:
    with Control(server.port) as control:
        control.create_model("one", put_model(data, "one", 1))
        control.create_config("config", [variant(name, "one") for name in "ab"])
        control.call("CreateEndpoint", EndpointName=_ENDPOINT, EndpointConfigName="config")
        control.wait_in_service(_ENDPOINT)


def _predict_all(server: Family, number: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for first in range(0, number, _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, number))
            connection.sendall("".join(_PREDICT % (_ID % each) for each in some).encode())
            received = b""
            while received.count(b"[1.0]") < len(some):
                part = connection.recv(1 << 18)
                if not part:
                    raise RuntimeError(f"the connection ended: {received[-500:]!r}")
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
