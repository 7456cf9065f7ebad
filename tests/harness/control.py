"""The control plane over one keep-alive connection, with no client library between bench and server."""

import http.client
import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import joblib
from sklearn.dummy import DummyRegressor

IMAGE = "sagebird/sklearn"
ROLE = "arn:aws:iam::000000000000:role/tester"
BUCKET = "crates"
"""The bucket that `put_model` puts models into."""

_PATIENCE_S = 120.0
_Result = TypeVar("_Result")


class Refused(Exception):
    """An error that the server answered; `status` is HTTP's, `code` AWS's."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(document.get("__type", "")).rpartition("#")[2]
        self.message = str(document.get("message", document.get("Message", "")))
        super().__init__(f"{status} {self.code}: {self.message}")


class Control:
    """Calls operations by their AWS names. Belongs to one thread."""

    def __init__(self, port: int, timeout_s: float = 60.0) -> None:
        """Connect at the first call."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, operation: str, **members: Any) -> dict[str, Any]:
        """The operation's answer.

        Raises:
            Refused: it answered an error.
            OSError, http.client.HTTPException: it did not answer; whether it acted is unknown.
        """
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        self._connection.request("POST", "/", json.dumps(members), headers)
        response = self._connection.getresponse()
        body = response.read()
        document: dict[str, Any] = json.loads(body) if body else {}
        if response.status != http.client.OK:
            raise Refused(response.status, document)
        return document

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def create_model(self, name: str, location: str) -> None:
        """CreateModel in the built-in runtime."""
        container = {"Image": IMAGE, "ModelDataUrl": location}
        self.call("CreateModel", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)

    def create_config(self, name: str, variants: Sequence[Mapping[str, Any]]) -> None:
        """CreateEndpointConfig."""
        self.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=variants)

    def describe(self, endpoint: str) -> dict[str, Any]:
        """DescribeEndpoint."""
        return self.call("DescribeEndpoint", EndpointName=endpoint)

    def wait_in_service(self, endpoint: str, patience_s: float = _PATIENCE_S) -> dict[str, Any]:
        """What DescribeEndpoint says once the endpoint is InService; it must not fail meanwhile."""

        def settled() -> dict[str, Any] | None:
            found = self.describe(endpoint)
            assert found["EndpointStatus"] not in ("Failed", "Deleting"), found
            return found if found["EndpointStatus"] == "InService" else None

        return wait_for(settled, patience_s)

    def wait_gone(self, endpoint: str) -> None:
        """Wait until there is no such endpoint."""
        wait_for(lambda: not self.exists("DescribeEndpoint", EndpointName=endpoint))

    def exists(self, operation: str, **members: str) -> bool:
        """Whether a describe call finds something."""
        try:
            self.call(operation, **members)
        except Refused as refused:
            if "Could not find" not in refused.message:
                raise
            return False
        return True


def variant(name: str, model: str, weight: float = 1.0, instances: int = 1) -> dict[str, Any]:
    """A production variant of a configuration."""
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": instances,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": weight,
    }


def put_model(data: Path, name: str, answer: float, code: str = "") -> str:
    """Put a model.tar.gz into a bucket of a data folder; it answers `[answer]`. Returns its URI.

    `code` becomes its inference.py.
    """
    folder = data / "s3" / BUCKET / name
    folder.mkdir(parents=True, exist_ok=True)
    model = DummyRegressor(strategy="constant", constant=float(answer)).fit([[0.0]], [0.0])
    joblib.dump(model, folder / "model.joblib")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "model.joblib", "model.joblib")
        if code:
            script = tarfile.TarInfo("inference.py")
            script.size = len(code.encode())
            archive.addfile(script, io.BytesIO(code.encode()))
    (folder / "model.joblib").unlink()
    return f"s3://{BUCKET}/{name}/model.tar.gz"


def wait_for(
    condition: Callable[[], _Result | None], patience_s: float = _PATIENCE_S, rest_s: float = 0.005
) -> _Result:
    """The first true result of a condition that is asked again and again."""
    deadline_s = time.monotonic() + patience_s
    while not (result := condition()):
        assert time.monotonic() < deadline_s, f"gave up after {patience_s:g} s"
        time.sleep(rest_s)
    return result
