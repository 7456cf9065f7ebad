"""What containers are made with, and how what the engine says of them is read."""

from pathlib import Path
from typing import Any

import pytest

from service.hosting.engines.plan import ContainerPlan, address_of, ending_of, is_run_by_root

ABLE = {"MemoryLimit": True, "SwapLimit": True, "CpuCfsQuota": True, "PidsLimit": True, "NCPU": 2}


def test_limits_are_those_that_the_machine_can_hold() -> None:
    plan = ContainerPlan("i", {}, {"/a": Path("/b")}, {}, memory_bytes=5, cpus=8)
    host = plan.config(ABLE)["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (5, 5, 2 * 10**9)
    unable = plan.config({})["HostConfig"]
    assert not {"Memory", "MemorySwap", "NanoCpus", "PidsLimit"} & unable.keys()
    free = ContainerPlan("i").config(ABLE)["HostConfig"]
    assert not {"Memory", "MemorySwap", "NanoCpus"} & free.keys()


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"Config": {"User": ""}}, True),
        ({"Config": {"User": "root:root"}}, True),
        ({"Config": {"User": "0"}}, True),
        ({"Config": {"User": "1000"}}, False),
        ({"Config": None}, True),
    ],
)
def test_who_runs_an_image(image: dict[str, Any], expected: bool) -> None:
    assert is_run_by_root(image) is expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}]}, "http://127.0.0.1:32768"),
        ({"8080/tcp": [{"HostPort": ""}]}, ""),
        ({"8080/tcp": None}, ""),
        (None, ""),
    ],
)
def test_where_a_container_is_reached(ports: Any, expected: str) -> None:
    assert address_of({"NetworkSettings": {"Ports": ports}}) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"ExitCode": 3}, "exit code 3"),
        ({"ExitCode": 137, "OOMKilled": True}, "it needed more memory than SAGEBIRD_CONTAINER_MEMORY allows"),
        ({"ExitCode": 128, "Error": "no such thing"}, "no such thing"),
        (None, "exit code unknown"),
    ],
)
def test_how_a_container_ended(state: Any, expected: str) -> None:
    assert ending_of({"State": state}) == expected
