"""A server whose models do what they are told, and each error of contract B.4 as a request that earns it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningServer, StartServer

TIMEOUT_S = 2.0
ACCOUNT = "000000000000"

# What the request's JSON asks for. A wait ends with a file, never with a time.
_ACTOR = """
import json
import time
from pathlib import Path


def model_fn(model_dir):
    gate = Path(model_dir) / "wait-for"
    while gate.exists() and not Path(gate.read_text()).exists():
        time.sleep(0.01)
    return None


def transform_fn(model, data, content_type, accept, context):
    ask = json.loads(data)
    if "wait_for" in ask:
        Path(ask["wait_for"] + ".reached").touch()
        while not Path(ask["wait_for"]).exists():
            time.sleep(0.01)
    if "raise" in ask:
        raise RuntimeError(ask["raise"])
    for name, value in ask.get("headers", {}).items():
        context.set_response_header(0, name, value)
    context.set_response_status(ask.get("status", 200))
    if "size" in ask:
        return "x" * ask["size"]
    if "text" in ask:
        return ask["text"], "text/plain"
    return json.dumps({"content_type": content_type, "accept": accept, **context.request_headers})
"""


@dataclass(frozen=True)
class Stage:
    """The server and the files that its models wait for."""

    server: RunningServer
    folder: Path

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def never(self) -> str:
        """A file that is made when the tests are over."""
        return str(self.folder / "over")


@dataclass(frozen=True)
class Case:
    """A request by boto3's names, and the error that it must earn; `message` is what the text begins with."""

    name: str
    request: dict[str, Any]
    status: int
    code: str
    message: str
    members: dict[str, Any] = field(default_factory=dict)
    body: bytes = b"{}"


def model_error(side: str, status: int, text: str, endpoint: str = "actor") -> str:
    """Source: contract B.4, observed."""
    return (
        f'Received {side} error ({status}) from primary with message "{text}". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group="
        f"/aws/sagemaker/Endpoints/{endpoint} in account {ACCOUNT} for more information."
    )


TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency "
    "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)

CASES = [
    Case(
        "container-4xx",
        {"EndpointName": "actor"},
        424,
        "ModelError",
        model_error("client", 418, "bad input"),
        {"OriginalStatusCode": 418, "OriginalMessage": "bad input"},
        b'{"status": 418, "text": "bad input"}',
    ),
    Case(
        "container-5xx",
        {"EndpointName": "actor"},
        424,
        "ModelError",
        model_error("server", 503, "no luck"),
        {"OriginalStatusCode": 503, "OriginalMessage": "no luck"},
        b'{"status": 503, "text": "no luck"}',
    ),
    Case(
        "handler-raises",
        {"EndpointName": "actor"},
        424,
        "ModelError",
        'Received server error (500) from primary with message "',
        {"OriginalStatusCode": 500},
        b'{"raise": "the model is unwell"}',
    ),
    Case(
        "too-slow",
        {"EndpointName": "stuck"},
        424,
        "ModelError",
        model_error("server", 0, TIMED_OUT, "stuck"),
        {"OriginalStatusCode": 0, "OriginalMessage": TIMED_OUT},
        b'{"wait_for": "%NEVER%"}',
    ),
    Case(
        "answer-too-large",
        {"EndpointName": "actor"},
        424,
        "ModelError",
        "Received server error (500) from primary and could not load the entire response body. See https://",
        {"OriginalStatusCode": 500},
        b'{"size": 6291457}',
    ),
    Case(
        "unknown-endpoint",
        {"EndpointName": "nobody"},
        400,
        "ValidationError",
        f"Endpoint nobody of account {ACCOUNT} not found.",
    ),
    Case(
        "target-model-on-plain-endpoint",
        {"EndpointName": "actor", "TargetModel": "good"},
        400,
        "ValidationError",
        "Endpoint actor is not a multi-model endpoint and does not support target model header.",
    ),
    Case(
        "no-target-model",
        {"EndpointName": "many"},
        400,
        "ValidationError",
        "Request ",  # the rest has the request's id, see tests/invoke/test_predict.py
    ),
    Case(
        "unknown-target-model",
        {"EndpointName": "many", "TargetModel": "nobody.tar.gz"},
        400,
        "ValidationError",
        "Failed to download model data for target model 'nobody.tar.gz' of endpoint many.",
    ),
    Case(
        "traversal-in-target-model",
        {"EndpointName": "many", "TargetModel": "../secret"},
        400,
        "ValidationError",
        "Failed to download model data for target model '../secret' of endpoint many.",
    ),
    Case(
        "absolute-target-model",
        {"EndpointName": "many", "TargetModel": "/etc"},
        400,
        "ValidationError",
        "Failed to download model data for target model '/etc' of endpoint many.",
    ),
    Case(
        "inference-component",
        {"EndpointName": "actor", "InferenceComponentName": "part"},
        400,
        "ValidationError",
        "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
        "inference components. Please remove the Inference Component Name header and try again.",
    ),
    Case(
        "unknown-variant",
        {"EndpointName": "actor", "TargetVariant": "nobody"},
        400,
        "ValidationError",
        "Variant 'nobody' is not found in endpoint actor; its variants are v.",
    ),
    Case(
        "container-hostname",
        {"EndpointName": "actor", "TargetContainerHostname": "second"},
        400,
        "ValidationError",
        "Endpoint actor is not a multi-container endpoint with direct invocation",
    ),
    Case(
        "still-loading",
        {"EndpointName": "many", "TargetModel": "slow"},
        429,
        "ModelNotReadyException",
        "Model slow is still being loaded.",
    ),
    Case(
        "too-long-attributes",
        {"EndpointName": "actor", "CustomAttributes": "a" * 1025},
        400,
        "ValidationError",
        "1 validation error detected: Value at 'customAttributes' failed to satisfy constraint: "
        "Member must have length less than or equal to 1024",
    ),
    Case(
        "malformed-name",
        {"EndpointName": "-bad_name"},
        400,
        "ValidationError",
        "1 validation error detected: Value '-bad_name' at 'endpointName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: ",
    ),
    Case(
        "slash-in-name",
        {"EndpointName": "a/b"},
        400,
        "ValidationError",
        "1 validation error detected: Value 'a/b' at 'endpointName' failed to satisfy constraint: ",
    ),
    Case(
        "oversize",
        {"EndpointName": "actor"},
        413,
        "413",
        "HTTP content length exceeded 6291456 bytes.",
        body=b"7" * 7_000_000,
    ),
]


def case_body(case: Case, stage: Stage) -> bytes:
    return case.body.replace(b"%NEVER%", stage.never.encode())


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Stage:
    folder = tmp_path_factory.mktemp("stage")
    models = folder / "models"
    for name in ("actor", "stuck", "busy", "many/good", "many/slow", "secret"):
        (models / name).mkdir(parents=True)
        (models / name / "inference.py").write_text(_ACTOR)
    (models / "many" / "slow" / "wait-for").write_text(str(folder / "over"))
    (models / "endpoints.yaml").write_text(
        """
        default_endpoint: actor
        endpoints:
          actor: {variants: {v: {model: actor}}}
          stuck: {variants: {v: {model: stuck}}}
          busy: {variants: {v: {model: busy, environment: {SAGEMAKER_MODEL_SERVER_WORKERS: '1'}}}}
          many: {variants: {all: {models: many}}}
        """
    )
    # Two at once: each of the two clients leaves one call in the stuck model.
    server = start_server(
        models, gateways=1, model_timeout_s=str(TIMEOUT_S), model_concurrency="2", model_queue="0"
    )
    server.shared = Path(__file__).parent
    return Stage(server, folder)
