"""An account of its own: a server without declared endpoints, its buckets, and stock clients of it."""

import io
import os
import signal
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, StartServer

ROLE = "arn:aws:iam::000000000000:role/service-role/sagebird"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
BUCKET = "models"
QUICK = {"Delay": 0.1, "MaxAttempts": 1200}

_SCRIPT = """
import time
from pathlib import Path


def model_fn(model_dir):
    while {gate!r} and not Path({gate!r}).exists():
        time.sleep(0.01)
    return None


def transform_fn(model, data, content_type, accept, context):
    return {answer!r} + context.environment.get("SUFFIX", ""), "text/plain"
"""
BROKEN = """
def model_fn(model_dir):
    raise RuntimeError("the weights are gone")
"""


def script(answer: str, gate: str = "") -> str:
    """An inference.py that always answers the same; its model loads when the file `gate` is there."""
    return _SCRIPT.format(answer=answer, gate=gate)


def variant(name: str, model: str, weight: float | None = None, **members: Any) -> dict[str, Any]:
    """A production variant as people write it."""
    plain = {"VariantName": name, "ModelName": model, **members}
    if "ServerlessConfig" not in members and "InitialInstanceCount" not in members:
        plain |= {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return plain if weight is None else {**plain, "InitialVariantWeight": weight}


@dataclass
class Account:
    """The server's buckets and two boto3 clients; names are numbered, so that tests never meet."""

    server: RunningServer
    sagemaker: Any
    runtime: Any
    numbers: Iterator[int] = field(default_factory=count)

    def name(self, what: str) -> str:
        """A name that no other test has."""
        return f"{what}-{next(self.numbers)}"

    def put(self, key: str, files: Mapping[str, str | bytes]) -> str:
        """Put an archive (by its ending) or a prefix of files into the bucket; its address."""
        target = self.server.data / "s3" / BUCKET / key
        target.parent.mkdir(parents=True, exist_ok=True)
        contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        if key.endswith(".tar.gz"):
            whole = target.with_suffix(".part")
            with tarfile.open(whole, "w:gz") as archive:
                for name, content in contents.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
            whole.replace(target)
        else:
            for name, content in contents.items():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                (target / name).write_bytes(content)
        return f"s3://{BUCKET}/{key}"

    def model(self, answer: str, text: str | None = None, **container: Any) -> str:
        """Create a model that answers so (or has this inference.py); its name."""
        name = self.name(f"m-{answer}")
        location: dict[str, Any] = {}
        if not container.keys() & {"ModelDataUrl", "ModelDataSource"}:
            files = {"inference.py": script(answer) if text is None else text}
            location = {"ModelDataUrl": self.put(f"{name}/model.tar.gz", files)}
        self.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": IMAGE, **location, **container},
        )
        return name

    def config(self, *variants: dict[str, Any], **members: Any) -> str:
        """Create an endpoint configuration; its name."""
        name = self.name("config")
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants), **members
        )
        return name

    def endpoint(self, *variants: dict[str, Any], **members: Any) -> str:
        """Create an endpoint over a configuration of its own and wait until it serves; its name."""
        name = self.name("endpoint")
        self.sagemaker.create_endpoint(
            EndpointName=name, EndpointConfigName=self.config(*variants, **members)
        )
        self.wait(name)
        return name

    def wait(self, endpoint: str) -> None:
        """boto3's own waiter."""
        self.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=endpoint, WaiterConfig=QUICK)

    def wait_gone(self, endpoint: str) -> None:
        """boto3's own waiter."""
        self.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig=QUICK)

    def describe(self, endpoint: str) -> dict[str, Any]:
        """DescribeEndpoint."""
        found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        return found

    def status(self, endpoint: str) -> str:
        """EndpointStatus."""
        return str(self.describe(endpoint)["EndpointStatus"])

    def ask(self, endpoint: str, **members: Any) -> str:
        """What the endpoint answers."""
        answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"{}", **members)
        return str(answer["Body"].read().decode())

    def answers(self, endpoint: str, calls: int) -> Counter[tuple[str, str]]:
        """How often each variant gave each answer."""
        found: Counter[tuple[str, str]] = Counter()
        for _ in range(calls):
            answer = self.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"{}")
            found[answer["InvokedProductionVariant"], answer["Body"].read().decode()] += 1
        return found

    def gate(self) -> Path:
        """A file that is not there yet."""
        return self.server.data / self.name("gate")

    @contextmanager
    def keeper_asleep(self) -> Iterator[None]:
        """Nothing settles meanwhile: the process that moves statuses is stopped."""
        keeper = self.server.keeper()
        keeper.send_signal(signal.SIGSTOP)
        while keeper.status() != psutil.STATUS_STOPPED:
            os.sched_yield()
        try:
            yield
        finally:
            keeper.send_signal(signal.SIGCONT)


def refusal(call: Any, **members: Any) -> tuple[str, str, int]:
    """Code, message and HTTP status of the error that a call must earn."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer: Any = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def arn(tail: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:000000000000:{tail}"


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[Account]:
    server = start_server(tmp_path_factory.mktemp("no-models"), measured=True)
    server.shared = Path(__file__).parent
    keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
    settings = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
    clients = [
        boto3.client(service, endpoint_url=server.url, config=settings, **keys)
        for service in ("sagemaker", "sagemaker-runtime")
    ]
    yield Account(server, *clients)
    for client in clients:
        client.close()
