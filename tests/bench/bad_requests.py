"""1,000 bad control-plane requests to a running `sagebird serve`: how long each refusal takes.

`python tests/bench/bad_requests.py` starts a server of its own, prints the latencies, and fails if a request
gets another error than it has earned or if any of them changed the server's state. Several rounds: in the
first, operations are compiled on their first use.
"""

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from service.store.store import Store
from service.wire.spec import load_service
from tests.faces.bad_requests import BadRequest, bad_requests
from tests.harness.family import Family

_COUNT = 1000
_ROUNDS = 3
_TIMEOUT_S = 60.0


def main() -> int:
    """Measure and print; 1 if an answer was wrong or the state changed."""
    requests = list(bad_requests(load_service("sagemaker"), _COUNT, seed=3))
    with tempfile.TemporaryDirectory(prefix="sagebird-bench-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        variables = {"SAGEBIRD_DATA": str(folder / "data"), "SAGEBIRD_MODELS": str(folder / "models")}
        serve = ["-m", "service.cli", "serve"]
        with Family(serve, folder / "log", "/healthz", SAGEBIRD_GATEWAYS="2", **variables) as family:
            before = _revision(folder)
            wrong = [
                fault for number in range(1, _ROUNDS + 1) for fault in _round(family.port, requests, number)
            ]
            changes = _revision(folder) - before
    for fault in wrong[:5]:
        sys.stdout.write(f"wrong: {fault}\n")
    sys.stdout.write(f"{len(wrong)} wrong answers, {changes} changes of the state\n")
    return 1 if wrong or changes else 0


def _round(port: int, requests: Sequence[BadRequest], number: int) -> list[str]:
    """Send each once, one after the other on one connection; returns what was wrong with the answers.

    In between, /healthz is asked: what the machine's other work costs a request that does nothing.
    """
    latencies_ms: list[tuple[float, str]] = []
    idle_ms: list[float] = []
    wrong: list[str] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    for request in requests:
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        if request.target is not None:
            headers["X-Amz-Target"] = request.target
        idle_ms.append(_ask(connection, "GET", "/healthz", b"", {})[0])
        taken_ms, status, body = _ask(connection, "POST", "/", request.body, headers)
        latencies_ms.append((taken_ms, request.fault))
        if not 400 <= status < 500 or json.loads(body)["__type"] != request.code:
            wrong.append(f"{request} got {status} {body[:200]!r}"[:600])
    connection.close()
    cuts = quantiles([latency for latency, _ in latencies_ms], n=100)
    idle = quantiles(idle_ms, n=100)
    slowest, fault = max(latencies_ms)
    sys.stdout.write(
        f"round {number}: {len(requests)} requests, p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms, "
        f"slowest {slowest:.2f} ms ({fault}); "
        f"/healthz p50 {idle[49]:.2f} ms, p99 {idle[98]:.2f} ms, slowest {max(idle_ms):.2f} ms\n"
    )
    return wrong


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[float, int, bytes]:
    """Milliseconds, status and body."""
    begun_s = time.perf_counter()
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    return (time.perf_counter() - begun_s) * 1e3, answer.status, text


def _revision(folder: Path) -> int:
    store = Store(folder / "data" / "state.db")
    try:
        return store.revision()
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
