"""A server whose dashboard is looked at: an A/B test to be changed, and a name that wants to be markup."""

from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.conftest import RunningServer, StartServer, copy_sample
from tests.harness import web

ODD = "<b>bold & 'quoted'"
"""A model that is on disk, and that nobody asks for."""


SHOUTS = """
import os

def model_fn(model_dir):
    return os.getpid()

def transform_fn(model, body, content_type, accept):
    if body.strip() == "leave":
        os._exit(3)
    return str(os.getpid()), "text/plain"
"""
"""A script that says which process answers, and whose process leaves where it is asked to."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    models = tmp_path_factory.mktemp("models")
    for name in ("iris-logistic", "iris-forest", "bird-strike"):
        copy_sample(name, models / name)
    (models / ODD).mkdir()
    (models / ODD / "model.joblib").write_bytes(b"no model")
    (models / "shouts").mkdir()
    (models / "shouts" / "inference.py").write_text(SHOUTS)
    (models / "endpoints.yaml").write_text(
        """
        default_endpoint: iris
        endpoints:
          iris:
            api_edits: true
            variants: {logistic: {model: iris-logistic, weight: 9}, forest: {model: iris-forest, weight: 1}}
          fixed:
            variants: {a: {model: iris-logistic, weight: 1}, b: {model: iris-forest, weight: 1}}
          bird-strike: {variants: {current: {model: bird-strike}}}
          shouts: {variants: {current: {model: shouts}}}
        """
    )
    server = start_server(models)
    yield server
    server.end()


def use_and_tell(
    server: RunningServer, endpoint: str, users: Iterable[int], worth: Callable[[str], float]
) -> set[str]:
    """Have users ask, and say what came of it, by the variant that answered; the variants that did."""
    got: set[str] = set()
    records = []
    with web.client(base_url=f"{server.url}/endpoints/{endpoint}", timeout=60) as client:
        for number in users:
            headers = {"Content-Type": "text/csv", "X-Sagebird-User": f"user-{number}"}
            answer = client.post("/invocations", content="5.1,3.5,1.4,0.2", headers=headers)
            variant = answer.headers["x-amzn-invoked-production-variant"]
            got.add(variant)
            named = answer.headers["x-amzn-sagemaker-inference-id"]
            records.append({"inference_id": named, "bought": worth(variant)})
        assert client.post("/outcomes", json=records).status_code == 200
    return got
