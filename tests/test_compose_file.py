"""docker-compose.yml as a container gets it; that it starts is tried where there is an engine (.ci/run)."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.conftest import ROOT

_FOLDERS = {"models", "data", "endpoints"}  # mounted where the image expects them
_OF_THE_SERVER = {"host", "port", "auth", "workers", "public_url"}


@pytest.fixture(scope="module")
def services() -> Mapping[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services: Mapping[str, Any] = document["services"]
    return services


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - _FOLDERS - _OF_THE_SERVER))
def test_the_server_gets_every_setting_from_outside(services: Mapping[str, Any], name: str) -> None:
    variable = f"SAGEBIRD_{name.upper()}"
    value = services["server"]["environment"][variable]

    assert value is None or f"${{{variable}:-" in value  # None: passed on if it is set


@pytest.mark.parametrize("name", ["model_memory", "log_level", "database", "worker_processes", "compile"])
def test_the_worker_gets_those_that_matter_to_it(services: Mapping[str, Any], name: str) -> None:
    assert services["worker"]["environment"][f"SAGEBIRD_{name.upper()}"] is None


def test_what_makes_the_server_reachable_is_not_left_to_chance(services: Mapping[str, Any]) -> None:
    environment = services["server"]["environment"]

    assert environment["SAGEBIRD_HOST"] == "0.0.0.0"
    assert "SAGEBIRD_PORT" not in environment  # of this machine; within it is always the same
    assert services["server"]["ports"] == ["127.0.0.1:${SAGEBIRD_PORT:-8080}:8080"]
    assert "${SAGEBIRD_PORT:-8080}" in environment["SAGEBIRD_PUBLIC_URL"]
