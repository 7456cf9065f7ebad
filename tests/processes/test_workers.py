"""`sagebird worker` and the worker of `sagebird serve`, killed, doubled and stopped in mid-job."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, StartServer, wait_until
from tests.jobs.house import House

pytestmark = pytest.mark.family

PATIENCE_S = 180.0

# Slow enough to be interrupted: a batch takes some tens of milliseconds.
_CODE = """
import time


def model_fn(model_dir):
    return None


def transform_fn(model, data, content_type, accept):
    text = data if isinstance(data, str) else data.decode()
    time.sleep(0.03)
    return "".join(f"{float(line.split(',')[0]) * 2:g}\\n" for line in text.splitlines()), "text/csv"
"""

Stats = dict[str, tuple[int, int]]


class Site:
    """A data folder, and workers over it that a test starts and kills."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder, None)
        (self.house.model / "inference.py").write_text(_CODE)
        self.log = folder / "log"
        self.workers: list[subprocess.Popen[bytes]] = []

    def put(self, files: int, rows: int = 20) -> None:
        for number in range(files):
            self.house.put(f"{number:04}.csv", *range(number * rows, (number + 1) * rows))

    def start_worker(self) -> "subprocess.Popen[bytes]":
        environment = {name: text for name, text in os.environ.items() if not name.startswith("SAGEBIRD_")}
        options = ["--models", self.house.models, "--data", self.house.data, "--processes", "1"]
        with self.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "worker", *map(str, options)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        return worker

    def started(self) -> int:
        """How many workers have begun to wait for jobs."""
        return self.log.read_text().count("worker waits for jobs")

    def status(self) -> str:
        return self.house.job().status

    def stats(self) -> Stats:
        """Inode and time of change of each output that is there."""
        found: Stats = {}
        for path in (self.house.bucket / "out").glob("[!.]*"):
            status = path.stat()
            found[path.name] = status.st_ino, status.st_mtime_ns
        return found

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            worker.wait(60)
        self.house.store.close()


class Ledger:
    """Remembers every output that was ever seen."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._seen: Stats = {}

    def count(self) -> int:
        """Look; fails if an output is another file than before."""
        for name, stat in self._site.stats().items():
            assert self._seen.setdefault(name, stat) == stat, f"{name} was written twice"
        return len(self._seen)

    def has_more_than(self, before: int) -> bool:
        """Whether there are more outputs by now."""
        return self.count() > before


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    one = Site(tmp_path)
    yield one
    one.close()


def expected(files: int, rows: int = 20) -> dict[str, str]:
    return {
        f"{number:04}.csv.out": "".join(f"{(number * rows + row) * 2:g}\n" for row in range(rows))
        for number in range(files)
    }


def test_a_worker_that_is_killed_again_and_again_loses_nothing_and_writes_nothing_twice(site: Site) -> None:
    random_ = random.Random(4)
    site.put(64)
    site.house.order()
    ledger = Ledger(site)

    for _ in range(6):
        worker = site.start_worker()
        wait_until(partial(ledger.has_more_than, ledger.count()), PATIENCE_S)
        time.sleep(random_.uniform(0.0, 0.1))  # the moment of the kill is what is random
        worker.send_signal(signal.SIGKILL)
        worker.wait(20)
        ledger.count()
    assert site.status() == "InProgress"
    site.start_worker()
    wait_until(lambda: ledger.count() and site.status() != "InProgress", PATIENCE_S)
    ledger.count()

    assert site.status() == "Completed"
    assert site.house.outputs() == expected(64)


def test_another_worker_takes_over_what_a_killed_one_was_at(site: Site) -> None:
    site.put(40)
    site.house.order()
    first = site.start_worker()
    ledger = Ledger(site)
    wait_until(ledger.count, PATIENCE_S)
    second = site.start_worker()
    wait_until(lambda: site.started() == 2, PATIENCE_S)

    first.send_signal(signal.SIGKILL)
    first.wait(20)
    wait_until(lambda: ledger.count() and site.status() == "Completed", PATIENCE_S)

    assert second.poll() is None
    assert site.house.outputs() == expected(40)


def test_two_workers_share_a_job_and_do_nothing_twice(site: Site) -> None:
    site.put(150)
    for _ in range(2):
        site.start_worker()
    wait_until(lambda: site.started() == 2, PATIENCE_S)
    site.house.order()
    ledger = Ledger(site)
    busy: set[int] = set()

    def is_over() -> bool:
        ledger.count()
        # One child is the host of models with code of their own; others are there for a job.
        busy.update(worker.pid for worker in site.workers if len(psutil.Process(worker.pid).children()) > 1)
        return site.status() != "InProgress"

    wait_until(is_over, PATIENCE_S)

    assert site.status() == "Completed"
    assert site.house.outputs() == expected(150)
    assert len(busy) == 2, "one worker had nothing to do"


def test_a_worker_that_is_told_to_stop_leaves_with_0_and_the_job_goes_on(site: Site) -> None:
    site.put(40)
    site.house.order()
    first = site.start_worker()
    ledger = Ledger(site)
    wait_until(ledger.count, PATIENCE_S)

    first.terminate()
    assert first.wait(60) == 0
    assert not list((site.house.bucket / "out").glob(".*"))
    assert site.status() == "InProgress"
    site.start_worker()
    wait_until(lambda: ledger.count() and site.status() == "Completed", PATIENCE_S)

    assert site.house.outputs() == expected(40)


def test_a_server_that_is_stopped_in_mid_job_finishes_it_next_time(
    start_server: StartServer, site: Site
) -> None:
    site.put(40)
    site.house.order()
    ledger = Ledger(site)

    def start() -> int:
        server = start_server(
            site.house.models, site.house.data, gateways=1, workers="1", worker_processes="1", wait=False
        )
        before = ledger.count()
        wait_until(partial(ledger.has_more_than, before), PATIENCE_S)
        if before:
            wait_until(lambda: site.status() == "Completed", PATIENCE_S)
        return server.stop()

    assert start() == 0
    assert site.status() == "InProgress"
    assert start() == 0

    ledger.count()
    assert site.house.outputs() == expected(40)
