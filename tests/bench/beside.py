"""What trials of containers share: a server with `iris` and models with code, its load, and calls of them."""

import http.client
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.harness.family import ROOT, Family, serve
from tests.harness.gateways import declare, make_model
from tests.harness.load import Load, Plan, Shot

CSV = {"Content-Type": "text/csv"}
IRIS = Shot("/endpoints/iris/invocations", "5.1,3.5,1.4,0.2", CSV, ("[0]",))
CONCURRENCY = 16
PATIENCE_S = 120.0


class Said(NamedTuple):
    """What came back: `original` is the model's own status, as it is reported of a failure."""

    status: int
    original: int
    text: str


def prepare(models: Path, **scripts: str) -> None:
    """Models folder with `iris` and a model and endpoint for each script."""
    models.mkdir()
    shutil.copytree(
        ROOT / "models" / "iris-logistic", models / "iris", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name, script in scripts.items():
        make_model(models / name, 1, script)
    declare(models, endpoints(**dict.fromkeys(("iris", *scripts), "")))


def endpoints(**environments: str) -> str:
    """The endpoints file of one endpoint for each model, with the environment of each as YAML or ""."""
    lines = ["endpoints:\n"]
    for name, environment in environments.items():
        given = f", environment: {environment}" if environment else ""
        lines.append(f"  {name}: {{variants: {{one: {{model: {name}, weight: 1{given}}}}}}}\n")
    return "".join(lines)


def start(folder: Path, models: Path, gateways: int, ready_path: str = "/readyz", **settings: str) -> Family:
    """A server over a models folder, with these variables."""
    return serve(folder, models, gateways, ready_path, **{"SAGEBIRD_WORKERS": "0"} | settings)


def load_iris(port: int, seconds: float = 3600.0) -> Load:
    """Callers of `iris`, at the concurrency of the trials."""
    return Load(Plan(port, (IRIS,), CONCURRENCY, seconds))


def ask(port: int, endpoint: str, body: str, headers: Mapping[str, str] = CSV) -> Said:
    """One call over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("POST", f"/endpoints/{endpoint}/invocations", body, dict(headers))
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    finally:
        connection.close()
    if response.status != http.client.FAILED_DEPENDENCY:
        return Said(response.status, response.status, text)
    document = json.loads(text)
    return Said(response.status, document["OriginalStatusCode"], document["Message"])


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
    """Whether the condition came to hold in time."""
    end_s = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.05)
    return True


def report(is_right: bool, line: str) -> bool:
    """Print a line that says whether it is right."""
    print(f"{'right' if is_right else 'WRONG'}  {line}", flush=True)
    return is_right
