"""A server whose dashboard is looked at: an A/B test to be changed, and a name that wants to be markup."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningServer, StartServer, copy_sample

ODD = "<b>bold & 'quoted'"
"""A model that is on disk, and that nobody asks for."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start_server: StartServer) -> Iterator[RunningServer]:
    models = tmp_path_factory.mktemp("models")
    for name in ("iris-logistic", "iris-forest", "bird-strike"):
        copy_sample(name, models / name)
    (models / ODD).mkdir()
    (models / ODD / "model.joblib").write_bytes(b"no model")
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
        """
    )
    server = start_server(models)
    yield server
    server.end()
