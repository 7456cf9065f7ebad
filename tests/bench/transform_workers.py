"""What several workers are worth, and what kills cost: one job over many files, done in three ways.

`python tests/bench/transform_workers.py [--files 200] [--rows 4000] [--kills 20]` runs the same job with one
worker and with two, interleaved, each of one process, and prints the ratio of their times; then once more
while the worker is killed (SIGKILL) again and again. Fails if an output differs from that of an undisturbed
run by one byte, if an output was written twice, or if one of two workers had nothing to do.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.conftest import ROOT
from tests.jobs.house import House

_COLUMNS = 10
_PATIENCE_S = 900.0
Stats = dict[str, tuple[int, int]]


class Shop:
    """A folder of inputs, a forest, and workers."""

    def __init__(self, folder: Path, files: int, rows: int) -> None:
        self.house = House(folder, None)
        self.log = folder / "log"
        self.workers: list[subprocess.Popen[bytes]] = []
        (self.house.model / "inference.py").unlink()
        generator = np.random.default_rng(1)
        features = generator.normal(size=(2000, _COLUMNS))
        forest = RandomForestClassifier(50, random_state=1).fit(features, features.sum(axis=1) > 0)
        joblib.dump(forest, self.house.model / "model.joblib")
        (self.house.bucket / "in").mkdir(parents=True)
        for number in range(files):
            path = self.house.bucket / "in" / f"{number:04}.csv"
            np.savetxt(path, generator.normal(size=(rows, _COLUMNS)), fmt="%.4f", delimiter=",")

    def start_worker(self) -> "subprocess.Popen[bytes]":
        """One more worker of one process."""
        options = ["--models", self.house.models, "--data", self.house.data, "--processes", "1"]
        command = [sys.executable, "-m", "service.cli", "worker", *map(str, options)]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                command, cwd=ROOT, env=dict(os.environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.workers.append(worker)
        return worker

    def dismiss(self) -> None:
        """Stop all workers."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(60)
        self.workers.clear()

    def started(self) -> int:
        """How many workers have begun to wait for jobs."""
        return self.log.read_text().count("worker waits for jobs") if self.log.exists() else 0

    def order(self, name: str) -> None:
        """Make a job whose outputs go below out/NAME."""
        self.house.order(name, TransformOutput={"S3OutputPath": f"s3://bucket/{name}", "Accept": "text/csv"})

    def stats(self, name: str) -> Stats:
        """Inode and time of change of each output that is there."""
        found: Stats = {}
        for path in (self.house.bucket / name).glob("[!.]*"):
            status = path.stat()
            found[path.name] = status.st_ino, status.st_mtime_ns
        return found

    def outputs(self, name: str) -> dict[str, bytes]:
        """The outputs' bytes."""
        return {path.name: path.read_bytes() for path in (self.house.bucket / name).iterdir()}


def wait(condition: Callable[[], object], rest_s: float = 0.01) -> None:
    """Poll until the condition holds."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        time.sleep(rest_s)


def run_timed(shop: Shop, name: str, workers: int) -> float:
    """Seconds of a job from its first output to its end; workers are started, and warm, before.

    The start of a pool, which loads libraries, is left out: it is the same however long the job is.
    """
    before = shop.started()
    for _ in range(workers):
        shop.start_worker()
    wait(lambda: shop.started() == before + workers)
    shop.order(name)
    wait(lambda: shop.stats(name))
    begun_s, had = time.monotonic(), len(shop.stats(name))
    wait(lambda: shop.house.job(name).status != "InProgress")
    seconds = time.monotonic() - begun_s
    shop.dismiss()
    total = len(shop.outputs(name))
    print(f"{name}: {workers} worker(s), {total} files, {(total - had) / seconds:.1f} files/s")
    return seconds / (total - had)


def run_killed(shop: Shop, name: str, kills: int) -> int:
    """Do a job while its worker is killed; how many outputs were written twice."""
    random_ = random.Random(5)
    seen: Stats = {}
    twice: set[str] = set()

    def look() -> int:
        for output, stat in shop.stats(name).items():
            if seen.setdefault(output, stat) != stat:
                twice.add(output)
        return len(seen)

    shop.order(name)
    done = 0
    while done < kills and shop.house.job(name).status == "InProgress":
        had = look()
        worker = shop.start_worker()
        while look() == had and shop.house.job(name).status == "InProgress":
            time.sleep(0.002)
        time.sleep(random_.uniform(0.0, 0.1))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        shop.workers.remove(worker)
        done += 1
    print(f"{name}: killed {done} times, {look()} of the outputs were there by then")
    shop.start_worker()
    wait(lambda: look() and shop.house.job(name).status != "InProgress")
    look()
    shop.dismiss()
    job = shop.house.job(name)
    print(f"{name}: {job.status} {job.failure_reason}")
    return len(twice)


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """The names that are not in both, or not with the same bytes."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def main() -> int:
    """Measure and print; 1 if anything was done twice or differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sagebird-bench-"))
    try:
        shop = Shop(folder, asked.files, asked.rows)
        ratios = []
        for number in range(asked.rounds):
            one = run_timed(shop, f"one-{number}", 1)
            ratios.append(one / run_timed(shop, f"two-{number}", 2))
        if ratios:
            print(f"two workers do {median(ratios):.2f} times what one does (rounds: {ratios})")
        twice = run_killed(shop, "killed", asked.kills) if asked.kills else 0
        names = [f"{kind}-{number}" for number in range(asked.rounds) for kind in ("one", "two")]
        whole = shop.outputs(names[0]) if names else {}
        others = [*names[1:], *(["killed"] if asked.kills else [])]
        differing = [f"{name}/{file}" for name in others for file in differences(whole, shop.outputs(name))]
        print(f"outputs written twice: {twice}; that differ from the first run's: {differing[:5] or 'none'}")
        return 1 if differing or twice else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
