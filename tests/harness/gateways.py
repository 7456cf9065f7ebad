"""What tests of the process family share: models with answers of their own, and who holds what connection."""

import http.client
import json
import re
from pathlib import Path
from typing import Any

import joblib
import psutil
from sklearn.dummy import DummyRegressor

from tests.conftest import RunningServer, wait_until
from tests.harness import web
from tests.harness.load import Plan, Shot

CSV = {"Content-Type": "text/csv"}
ROW = "1"


def make_model(folder: Path, answer: float, code: str = "") -> None:
    """A model that answers `[answer]` to a row; `code` becomes its inference.py."""
    folder.mkdir(parents=True, exist_ok=True)
    model = DummyRegressor(strategy="constant", constant=float(answer)).fit([[0.0]], [0.0])
    temporary = folder.parent / f".{folder.name}.joblib"
    joblib.dump(model, temporary)
    if code:
        (folder / "inference.py").write_text(code)
    temporary.replace(folder / "model.joblib")


def declare(models: Path, text: str) -> None:
    """Write endpoints.yaml the way careful editors do: a new file, renamed over the old one."""
    temporary = models / ".endpoints.yaml.swp"
    temporary.write_text(text)
    temporary.replace(models / "endpoints.yaml")


def variants(endpoint: str, **weights: float) -> str:
    """The endpoints file of one endpoint over models that are named like their variants."""
    lines = [f"      {name}: {{model: {name}, weight: {weight}}}\n" for name, weight in weights.items()]
    return f"endpoints:\n  {endpoint}:\n    variants:\n{''.join(lines)}"


def port(server: RunningServer) -> int:
    """The port that a server listens on."""
    return int(server.url.rpartition(":")[2])


def shot(endpoint: str, *answers: float) -> Shot:
    """A request to an endpoint whose models answer one of `answers`."""
    return Shot(
        f"/endpoints/{endpoint}/invocations", ROW, CSV, tuple(f"[{float(answer)}]" for answer in answers)
    )


def endless(server: RunningServer, target: Shot, concurrency: int) -> Plan:
    """Load that goes on until it is stopped."""
    return Plan(port(server), (target,), concurrency)


def client_ports(server: RunningServer, pid: int) -> set[int]:
    """The clients' ports of the connections that a gateway holds."""
    return {
        connection.raddr.port
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.raddr and connection.laddr.port == port(server)
    }


def wait_whole(server: RunningServer, without: int, gateways: int = 2) -> None:
    """Wait until the family is complete again, without a process that was killed."""

    def whole() -> bool:
        children = {child.pid for child in server.children()}
        return without not in children and len(children) == gateways + 2

    wait_until(whole)


def wait_takes_calls(server: RunningServer, pid: int) -> None:
    """Wait until a gateway holds a connection; there must be some load."""
    wait_until(lambda: client_ports(server, pid))


class Line:
    """A keep-alive connection to one certain gateway."""

    def __init__(self, server: RunningServer) -> None:
        """Connect to whichever gateway accepts; `pid` tells which one it is."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=30)
        self.get("/healthz")
        mine = self._connection.sock.getsockname()[1]
        self.pid = next((pid for pid in server.gateways() if mine in client_ports(server, pid)), 0)

    def get(self, path: str) -> int:
        """The status of a GET."""
        return self._exchange("GET", path)[0]

    def invoke(self, endpoint: str, body: str = ROW, **headers: str) -> tuple[int, str, str]:
        """Status, variant and body of a prediction."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._exchange("POST", f"/endpoints/{endpoint}/invocations", body, CSV | named)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _exchange(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        text = response.read().decode()
        return response.status, response.headers.get("x-amzn-invoked-production-variant", ""), text


def line_to_each_gateway(server: RunningServer) -> list[Line]:
    """One connection to each gateway."""
    lines: dict[int, Line] = {}

    def all_reached() -> bool:
        line = Line(server)
        if line.pid and line.pid not in lines:
            lines[line.pid] = line
        else:
            line.close()
        return len(lines) == len(server.gateways())

    wait_until(all_reached)
    return list(lines.values())


def loads(server: RunningServer, model: str, outcome: str = "loaded") -> int:
    """How often a model was loaded, over all gateways, by the metrics."""
    text = web.get(f"{server.url}/metrics", timeout=30).text
    found = re.search(rf'sagebird_model_loads_total{{model="{model}",outcome="{outcome}"}} ([0-9.]+)', text)
    return int(float(found[1])) if found else 0


def events(server: RunningServer, event: str) -> list[dict[str, Any]]:
    """The log's lines of one event."""
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [found for line in lines if (found := json.loads(line))["event"] == event]


def status(server: RunningServer) -> dict[str, Any]:
    """What /status says."""
    document: dict[str, Any] = web.get(f"{server.url}/status", timeout=30).json()
    return document
