"""`sagebird worker` and the worker of `sagebird serve`, killed, doubled and stopped in mid-job."""

import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config

from tests.conftest import ROOT, RunningServer, StartServer, wait_until

PATIENCE_S = 180.0

# Slow enough to be killed at: a batch takes some milliseconds. Says which process worked on which first row.
_CODE = """
import os
import time
import zlib


def model_fn(model_dir):
    return None


def transform_fn(model, data, content_type, accept):
    text = data if isinstance(data, str) else data.decode()
    time.sleep(0.03)
    return "".join(f"{float(line.split(',')[0]) * 2:g}\\n" for line in text.splitlines()), "text/csv"
"""


class Site:
    """A server without workers of its own, and workers that a test starts and kills."""

    def __init__(self, server: RunningServer, bucket: str = "bucket") -> None:
        self.server = server
        self.name = bucket
        self.bucket = server.data / "s3" / bucket
        self.workers: list[subprocess.Popen[bytes]] = []
        self.client: Any = boto3.client(
            "sagemaker",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="y",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60),
        )

    def make_model(self) -> None:
        folder = self.bucket / "model"
        folder.mkdir(parents=True)
        (folder / "inference.py").write_text(_CODE)
        self.client.create_model(
            ModelName=self.name,
            ExecutionRoleArn="arn:aws:iam::000000000000:role/anyone",
            PrimaryContainer={"Image": "sagebird/sklearn", "ModelDataUrl": f"s3://{self.name}/model/"},
        )

    def put(self, files: int, rows: int) -> None:
        folder = self.bucket / "in"
        folder.mkdir(parents=True)
        for number in range(files):
            first = number * rows
            text = "".join(f"{first + row},x\n" for row in range(rows))
            (folder / f"{number:04}.csv").write_text(text)

    def order(self, name: str) -> None:
        self.client.create_transform_job(
            TransformJobName=name,
            ModelName=self.name,
            BatchStrategy="MultiRecord",
            MaxConcurrentTransforms=1,
            TransformInput={
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{self.name}/in/"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"s3://{self.name}/{name}", "Accept": "text/csv"},
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )

    def status(self, name: str) -> str:
        return str(self.client.describe_transform_job(TransformJobName=name)["TransformJobStatus"])

    def start_worker(self) -> "subprocess.Popen[bytes]":
        environment = dict(os.environ) | self.server.environment
        environment |= {"SAGEBIRD_MODELS": str(self.server.models), "SAGEBIRD_WORKER_PROCESSES": "1"}
        with self.server.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "worker"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        return worker

    def count_started(self) -> int:
        """How many workers have begun to wait for jobs, since the server's start."""
        return self.server.log.read_text().count("worker waits for jobs")

    def outputs(self, name: str) -> dict[str, bytes]:
        folder = self.bucket / name
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}

    def stats(self, name: str) -> dict[str, tuple[int, int]]:
        """Inode and time of change of each output that is there."""
        folder = self.bucket / name
        if not folder.is_dir():
            return {}
        return {
            path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in folder.iterdir()
            if not path.name.startswith(".")
        }

    def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.terminate()
        for worker in self.workers:
            worker.wait(60)
        self.client.close()


@pytest.fixture(scope="module")
def server(start_server: StartServer, tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    """A server without workers and without models of its own."""
    return start_server(tmp_path_factory.mktemp("models"), gateways=1)


@pytest.fixture
def site(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A bucket of the test's own; its workers are stopped in the end."""
    one = Site(server, f"bucket-{zlib.crc32(request.node.name.encode())}")
    one.make_model()
    yield one
    one.close()


def expected(files: int, rows: int) -> dict[str, bytes]:
    return {
        f"{number:04}.csv.out": "".join(f"{(number * rows + row) * 2:g}\n" for row in range(rows)).encode()
        for number in range(files)
    }


def test_a_worker_that_is_killed_again_and_again_loses_nothing_and_writes_nothing_twice(site: Site) -> None:
    random_ = random.Random(4)
    site.put(48, 50)
    site.order("killed")
    seen: dict[str, tuple[int, int]] = {}

    def count_outputs() -> int:
        for name, stat in site.stats("killed").items():
            assert seen.setdefault(name, stat) == stat, f"{name} was written twice"
        return len(seen)

    def more_than(before: int) -> bool:
        return count_outputs() > before

    for _ in range(6):
        worker = site.start_worker()
        wait_until(partial(more_than, len(seen)), PATIENCE_S)
        time.sleep(random_.uniform(0.0, 0.2))
        worker.send_signal(signal.SIGKILL)
        worker.wait(20)
        count_outputs()
        if site.status("killed") != "InProgress":
            break
    site.start_worker()
    wait_until(lambda: count_outputs() and site.status("killed") != "InProgress", PATIENCE_S)
    count_outputs()

    assert site.status("killed") == "Completed"
    assert site.outputs("killed") == expected(48, 50)


def test_a_second_worker_takes_over_within_ten_seconds(site: Site) -> None:
    site.put(30, 50)
    first = site.start_worker()
    site.order("taken")
    wait_until(lambda: site.stats("taken"), PATIENCE_S)
    started = site.count_started()
    second = site.start_worker()
    wait_until(lambda: site.count_started() > started, PATIENCE_S)

    first.send_signal(signal.SIGKILL)
    first.wait(20)

    wait_until(lambda: site.status("taken") == "Completed", PATIENCE_S)
    assert second.poll() is None
    assert site.outputs("taken") == expected(30, 50)


def test_two_workers_share_a_job_and_do_nothing_twice(site: Site) -> None:
    site.put(120, 20)
    started = site.count_started()
    for _ in range(2):
        site.start_worker()
    wait_until(lambda: site.count_started() == started + 2, PATIENCE_S)
    site.order("shared")
    seen: dict[str, tuple[int, int]] = {}
    helpers: set[int] = set()

    def note() -> bool:
        for name, stat in site.stats("shared").items():
            assert seen.setdefault(name, stat) == stat, f"{name} was written twice"
        helpers.update(worker.pid for worker in site.workers if psutil.Process(worker.pid).children())
        return site.status("shared") != "InProgress"

    wait_until(note, PATIENCE_S)

    assert site.status("shared") == "Completed"
    assert site.outputs("shared") == expected(120, 20)
    assert len(helpers) == 2, "one worker had nothing to do"


def test_a_worker_that_is_told_to_stop_leaves_with_0_and_the_job_goes_on(site: Site) -> None:
    site.put(40, 50)
    first = site.start_worker()
    site.order("drained")
    wait_until(lambda: site.stats("drained"), PATIENCE_S)

    first.terminate()
    assert first.wait(60) == 0
    assert not [name for name in site.outputs("drained") if name.startswith(".")]
    assert site.status("drained") == "InProgress"
    site.start_worker()
    wait_until(lambda: site.status("drained") == "Completed", PATIENCE_S)

    assert site.outputs("drained") == expected(40, 50)


def test_a_server_that_is_stopped_in_the_middle_of_a_job_finishes_it_next_time(
    start_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "models").mkdir()
    options: dict[str, Any] = {"gateways": 1, "workers": "1", "worker_processes": "1"}
    server = start_server(tmp_path / "models", tmp_path / "data", **options)
    site = Site(server)
    site.make_model()
    site.put(40, 50)
    site.order("again")
    wait_until(lambda: site.stats("again"), PATIENCE_S)
    assert server.stop() == 0
    before = site.stats("again")
    assert 0 < len(before) < 40
    site.close()

    server = start_server(tmp_path / "models", tmp_path / "data", **options)
    site = Site(server)
    wait_until(lambda: site.status("again") == "Completed", PATIENCE_S)

    assert site.outputs("again") == expected(40, 50)
    after = site.stats("again")
    assert {name: after[name] for name in before} == before
    site.close()
    server.stop()
