"""A family whose buckets are on another S3 server: models, jobs and clients of S3 all go there."""

import io
import json
import os
import secrets
import select
import signal
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.s3_server import Elsewhere, elsewhere

_KEYS = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
_ROLE = "arn:aws:iam::000000000000:role/any"
_IMAGE = "sagebird/sklearn"
_LONG_S = 120.0
_SCRIPT = """
import json


def model_fn(model_dir):
    return "%s"


def transform_fn(model, data, content_type, accept):
    return json.dumps([model, data if isinstance(data, str) else data.decode()]), "application/json"
"""


class Wire:
    """Between the family and the other server: a port that can be cut and joined again."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.is_cut = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Be gone."""
        self.is_cut.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                thread = threading.Thread(target=self._join, args=(near,))
                self._threads.append(thread)
                thread.start()

    def _join(self, near: socket.socket) -> None:
        """Pass bytes on, in both directions, until one side ends or the wire is cut."""
        with near, suppress(OSError):
            if self.is_cut.is_set():
                return
            with socket.create_connection(self._target) as far:
                to = {near: far, far: near}
                while not self.is_cut.is_set():
                    for each in select.select([near, far], [], [], 0.02)[0]:
                        data = each.recv(1 << 16)
                        if not data:
                            return
                        to[each].sendall(data)


@pytest.fixture(scope="module")
def far(samples: RunningServer) -> Elsewhere:
    return elsewhere(samples)


@pytest.fixture(scope="module")
def wire(far: Elsewhere) -> Iterator[Wire]:
    found = httpx.URL(far.server.endpoint)
    wire = Wire((found.host, found.port or 80))
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def server(start_server: StartServer, wire: Wire, far: Elsewhere) -> RunningServer:
    settings = {**far.settings(), "s3_endpoint": wire.url}
    return start_server(gateways=1, workers="1", **settings)


@pytest.fixture(scope="module")
def bucket(far: Elsewhere) -> str:
    return far.new_bucket()


def client(server: RunningServer, name: str) -> Any:
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=120)
    return boto3.client(name, endpoint_url=server.url, config=config, **_KEYS)


@pytest.fixture(scope="module")
def s3(server: RunningServer) -> Any:
    return client(server, "s3")


def archive(said: str) -> bytes:
    """A model with code of its own, which says this."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        data = (_SCRIPT % said).encode()
        member = tarfile.TarInfo("code/inference.py")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def deploy(server: RunningServer, name: str, address: str) -> None:
    sagemaker = client(server, "sagemaker")
    sagemaker.create_model(
        ModelName=name, PrimaryContainer={"Image": _IMAGE, "ModelDataUrl": address}, ExecutionRoleArn=_ROLE
    )
    variant: dict[str, Any] = {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1}
    variant["InstanceType"] = "ml.m5.large"
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def described() -> dict[str, Any]:
        found: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
        return found

    wait_until(lambda: described()["EndpointStatus"] != "Creating", _LONG_S)
    assert described()["EndpointStatus"] == "InService", described()


def said(server: RunningServer, name: str) -> Any:
    answer = server.invoke(name, b"x", Content_Type="text/plain")
    return answer.json() if answer.status_code == 200 else answer.text


def refused(call: Any, **members: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_what_clients_put_is_on_the_other_server(s3: Any, far: Elsewhere, bucket: str) -> None:
    body = secrets.token_bytes(600_000)

    s3.put_object(Bucket=bucket, Key="a b/ü+c", Body=body, Metadata={"who": "me"}, ContentType="text/x")

    there = far.client().get_object(Bucket=bucket, Key="a b/ü+c")
    assert (there["Body"].read(), there["Metadata"], there["ContentType"]) == (body, {"who": "me"}, "text/x")
    here = s3.get_object(Bucket=bucket, Key="a b/ü+c", Range="bytes=10-19")
    assert (here["Body"].read(), here["ContentRange"]) == (body[10:20], f"bytes 10-19/{len(body)}")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="a b/")["Contents"]] == ["a b/ü+c"]
    assert bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    s3.delete_object(Bucket=bucket, Key="a b/ü+c")
    assert refused(s3.head_object, Bucket=bucket, Key="a b/ü+c") == (404, "404")
    assert refused(s3.get_object, Bucket=bucket, Key="a b/ü+c") == (404, "NoSuchKey")


def test_uploads_in_parts_with_checksums_go_there(
    s3: Any, far: Elsewhere, bucket: str, tmp_path: Path
) -> None:
    source = tmp_path / "large"
    source.write_bytes(secrets.token_bytes(11 << 20))
    transfer = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)

    s3.upload_file(str(source), bucket, "large", Config=transfer)
    s3.download_file(bucket, "large", str(tmp_path / "back"), Config=transfer)

    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert far.client().head_object(Bucket=bucket, Key="large")["ETag"].endswith('-3"')


def test_presigned_urls_of_this_server_lead_there(s3: Any, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": "presigned"}

    put = web.put(s3.generate_presigned_url("put_object", Params=named), content=b"by url")
    got = web.get(s3.generate_presigned_url("get_object", Params=named))

    assert (put.status_code, got.content) == (200, b"by url")
    assert got.headers["cross-origin-resource-policy"] == "same-origin"
    over = web.get(s3.generate_presigned_url("get_object", Params=named, ExpiresIn=-60))
    assert (over.status_code, "Request has expired" in over.text) == (403, True)


def test_who_names_another_owner_is_refused(s3: Any, bucket: str) -> None:
    asked = {"Bucket": bucket, "Prefix": "none"}
    assert s3.list_objects_v2(**asked, ExpectedBucketOwner="000000000000")["KeyCount"] == 0
    assert refused(s3.list_objects_v2, **asked, ExpectedBucketOwner="111111111111") == (403, "AccessDenied")
    assert refused(s3.list_objects_v2, Bucket="sagebird-deployments") == (404, "NoSuchBucket")


def test_models_are_served_from_there_and_go_on_without_it(
    server: RunningServer, wire: Wire, s3: Any, bucket: str
) -> None:
    sagemaker = client(server, "sagemaker")
    s3.put_object(Bucket=bucket, Key="models/one.tar.gz", Body=archive("first"))
    assert refused(
        sagemaker.create_model,
        ModelName="none",
        PrimaryContainer={"Image": _IMAGE, "ModelDataUrl": f"s3://{bucket}/models/none.tar.gz"},
        ExecutionRoleArn=_ROLE,
    ) == (400, "ValidationException")
    deploy(server, "one", f"s3://{bucket}/models/one.tar.gz")
    assert said(server, "one") == ["first", "x"]

    wire.is_cut.set()
    try:
        assert said(server, "one") == ["first", "x"]
        assert refused(s3.get_object, Bucket=bucket, Key="models/one.tar.gz") == (503, "ServiceUnavailable")
        assert refused(s3.put_object, Bucket=bucket, Key="lost", Body=b"x") == (503, "ServiceUnavailable")
        (gateway,) = server.gateways()
        os.kill(gateway, signal.SIGKILL)
        wait_until(lambda: said(server, "one") == ["first", "x"], _LONG_S)  # by what was copied before
    finally:
        wire.is_cut.clear()
    assert s3.get_object(Bucket=bucket, Key="models/one.tar.gz")["Body"].read()[:2] == b"\x1f\x8b"

    s3.put_object(Bucket=bucket, Key="models/one.tar.gz", Body=archive("second"))
    deploy(server, "two", f"s3://{bucket}/models/one.tar.gz")
    assert said(server, "two") == ["second", "x"]


def test_batch_transforms_read_and_write_there(
    server: RunningServer, far: Elsewhere, s3: Any, bucket: str
) -> None:
    sagemaker = client(server, "sagemaker")
    s3.put_object(Bucket=bucket, Key="models/batch.tar.gz", Body=archive("batch"))
    for name in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=f"in/{name}.csv", Body=f"{name}1\n{name}2\n".encode())
    sagemaker.create_model(
        ModelName="batch",
        PrimaryContainer={"Image": _IMAGE, "ModelDataUrl": f"s3://{bucket}/models/batch.tar.gz"},
        ExecutionRoleArn=_ROLE,
    )

    sagemaker.create_transform_job(
        TransformJobName="batch",
        ModelName="batch",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": f"s3://{bucket}/out", "AssembleWith": "Line"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        BatchStrategy="SingleRecord",
    )

    def status() -> str:
        return str(sagemaker.describe_transform_job(TransformJobName="batch")["TransformJobStatus"])

    wait_until(lambda: status() != "InProgress", _LONG_S)
    assert status() == "Completed", sagemaker.describe_transform_job(TransformJobName="batch")
    there = far.client()
    found = {
        one["Key"]: there.get_object(Bucket=bucket, Key=one["Key"])["Body"].read().decode().splitlines()
        for one in there.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
    }
    assert found == {
        f"out/{name}.csv.out": [json.dumps(["batch", f"{name}{number}"]) for number in (1, 2)]
        for name in ("a", "b")
    }
    assert "Uploads" not in there.list_multipart_uploads(Bucket=bucket)
    assert not (server.data / "s3" / bucket).exists()
