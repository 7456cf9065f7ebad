"""docker-compose.yml: what containers log is bounded."""

import yaml

from tests.conftest import ROOT


def test_the_log_of_every_container_is_rotated() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]

    for name, service in services.items():
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name
