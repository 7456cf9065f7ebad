"""What a large forest takes of the memory of a server with several gateways, and how fast it answers.

The forest is made by `make_forest`: some trees are fitted and the others are these with thresholds moved a
little, which takes seconds instead of minutes. Memory is the whole family's, once it is idle and once each
gateway has answered by the model: what no file of the disk stands behind, pages that processes share counted
once, and files in memory whole, whether or not a process has them mapped at the moment. The peak is of all
the time from the start on.

    python tests/bench/shared_models.py --megabytes 600 --gateways 2 --compress 0 3
"""

import argparse
import copy
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import httpx
import joblib
import numpy as np
import psutil
from sklearn.ensemble import RandomForestClassifier

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.harness.family import Family, serve
from tests.harness.load import Load, Plan, Shot

FEATURES = 10
ROW = ",".join(["0.5"] * FEATURES)
MIB = 1 << 20
_FITTED = 4
_SAMPLE_S = 0.5  # to look holds up whoever changes its mappings
_NAME = "/memfd:sagebird-"
_ANONYMOUS = re.compile(r"^Pss_Anon: +([0-9]+) kB$", re.MULTILINE)
_LOAD_S = 600.0
_SETTLED_S = 15.0  # longer than a gateway waits before it gives freed memory back


def make_forest(size_bytes: int, rows: int = 100_000) -> RandomForestClassifier:
    """A forest whose trees hold about so many bytes, no two of them alike."""
    draw = np.random.default_rng(0)
    forest = RandomForestClassifier(_FITTED, random_state=0, max_features=1, n_jobs=_FITTED)
    forest.fit(draw.random((rows, FEATURES)), draw.integers(0, 2, rows))
    fitted = forest.estimators_
    each_bytes = sum(map(_tree_bytes, fitted)) // len(fitted)
    forest.estimators_ = [
        _moved(fitted[number % len(fitted)], draw) for number in range(max(1, size_bytes // each_bytes))
    ]
    forest.n_estimators, forest.n_jobs = len(forest.estimators_), None
    return forest


def _moved(fitted: Any, draw: np.random.Generator) -> Any:
    made, state = copy.copy(fitted), fitted.tree_.__getstate__()
    nodes = state["nodes"].copy()
    nodes["threshold"] *= draw.uniform(0.99, 1.01, len(nodes))
    tree = fitted.tree_
    made.tree_ = type(tree)(tree.n_features, np.asarray(tree.n_classes, np.intp), tree.n_outputs)
    made.tree_.__setstate__({**state, "nodes": nodes})
    return made


def _tree_bytes(fitted: Any) -> int:
    state = fitted.tree_.__getstate__()
    return int(state["nodes"].nbytes + state["values"].nbytes)


def family_bytes(pid: int) -> int:
    """Memory of a process and its children that no file of the disk stands behind."""
    anonymous, files = 0, {}
    process = psutil.Process(pid)
    for member in [process, *process.children(recursive=True)]:
        with suppress(OSError, psutil.NoSuchProcess):  # it left a moment ago
            rollup = Path(f"/proc/{member.pid}/smaps_rollup").read_text()
            anonymous += sum(int(size) << 10 for size in _ANONYMOUS.findall(rollup))
            files.update(_files_in_memory(member.pid))
    return anonymous + sum(files.values())


def _files_in_memory(pid: int) -> dict[int, int]:
    """The files in memory that a process holds, and how much each has."""
    found = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if os.readlink(descriptor).startswith(_NAME):
                status = os.stat(descriptor)
                found[status.st_ino] = status.st_blocks * 512
    return found


class Watch:
    """Samples a family's memory until the `with` block is left."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._over = Event()
        self._thread = Thread(target=self._watch)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            with suppress(psutil.NoSuchProcess):
                self.peak_bytes = max(self.peak_bytes, family_bytes(self._pid))


@dataclass(frozen=True)
class Found:
    """What one way to serve a model took."""

    idle_bytes: int
    loaded_bytes: int
    peak_bytes: int
    ready_s: float
    rate: float
    failures: int

    def told(self, size_bytes: int) -> str:
        """One line, with the model's memory as measure."""
        allowed = 1.15 * size_bytes + self.idle_bytes
        return (
            f"idle {self.idle_bytes / MIB:6.0f} MiB, loaded {self.loaded_bytes / MIB:6.0f} MiB "
            f"({self.loaded_bytes / allowed:.2f} of 1.15 x the model + idle), "
            f"peak {self.peak_bytes / MIB:6.0f} MiB, all loaded after {self.ready_s:5.1f} s, "
            f"{self.rate:6.1f} answers/s at concurrency 16, {self.failures} failed"
        )


def measure(folder: Path, models: Path, gateways: int, shared_mb: int, load_s: float) -> Found:
    """Start a server over a multi-model endpoint, have all gateways load its one model, and load them."""
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": "forest"}
    shot = Shot("/endpoints/all/invocations", ROW, headers, ("[0]", "[1]"))
    variables = {
        "SAGEBIRD_WORKERS": "0",
        "SAGEBIRD_MODEL_TIMEOUT_S": str(_LOAD_S),
        "SAGEBIRD_SHARED_MODEL_MB": str(shared_mb),
    }
    with serve(folder, models, gateways, **variables) as server, Watch(server.process.pid) as watch:
        idle_bytes = family_bytes(server.process.pid)
        begun_s = monotonic()
        with Load(Plan(server.port, (shot,), 16, fresh=True, timeout_s=_LOAD_S)) as load:
            while _loads(server) < gateways:
                Event().wait(_SAMPLE_S)
            ready_s = monotonic() - begun_s
            load.stop()
        with Load(Plan(server.port, (shot,), 16)) as load:
            Event().wait(load_s)
            outcome = load.stop()
        loaded_bytes = _settled_bytes(server.process.pid)
        peak_bytes = watch.peak_bytes
    return Found(
        idle_bytes, loaded_bytes, peak_bytes, ready_s, outcome.answers / load_s, len(outcome.failures)
    )


def _settled_bytes(pid: int) -> int:
    """A family's memory once it falls no more: compiling tries models for a while after their load."""
    least_bytes, since_s = family_bytes(pid), monotonic()
    while monotonic() - since_s < _SETTLED_S:
        Event().wait(_SAMPLE_S)
        now_bytes = family_bytes(pid)
        if now_bytes < 0.99 * least_bytes:
            least_bytes, since_s = now_bytes, monotonic()
    return least_bytes


def _loads(server: Family) -> int:
    """How many gateways have loaded the model."""
    cards = httpx.get(f"http://127.0.0.1:{server.port}/status", timeout=60).json()["models"]
    return sum(card["gateways"] for card in cards if card["state"] == "loaded")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each way of the file, with the model in memory once and in each gateway."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--compress", type=int, nargs="+", default=[0, 3], help="as of joblib.dump")
    parser.add_argument("--seconds", type=float, default=10.0, help="of load, for the rate")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        forest = make_forest(given.megabytes << 20)
        size_bytes = sum(map(_tree_bytes, forest.estimators_))
        print(
            f"{len(forest.estimators_)} trees, {size_bytes / MIB:.0f} MiB, {given.gateways} gateways",
            flush=True,
        )
        for compress in given.compress:
            models = Path(name, f"models-{compress}")
            (models / "forest").mkdir(parents=True)
            joblib.dump(forest, models / "forest" / "model.joblib", compress=compress)
            (models / "endpoints.yaml").write_text("endpoints: {all: {variants: {all: {models: ./}}}}\n")
            for way, shared_mb in (("in memory once", 100), ("in each gateway", 1 << 20)):
                folder = Path(name, f"server-{compress}-{shared_mb}")
                found = measure(folder, models, given.gateways, shared_mb, given.seconds)
                print(f"compress={compress}, {way}: {found.told(size_bytes)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
