"""Calls of two gateways at real workers some of which end or take long: each is run once, and answered so."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import ModelDied
from service.hosting.containers.line import CallLine
from service.hosting.host import Call
from tests.harness.containers import model_host
from tests.harness.lines import ask

RUNS = """
import os, time
def model_fn(model_dir):
    return os.open(os.path.join(os.path.dirname(__file__), "runs"), os.O_APPEND | os.O_CREAT | os.O_WRONLY)
def transform_fn(model, body, content_type, accept):
    os.write(model, body.encode() + b"\\n")
    if "l" in body: time.sleep(0.1)
    if body.startswith("ends"): os._exit(1)
    return body, "text/plain"
"""
CALLS = 200
CALLERS = 8  # of each gateway


def bodies() -> Iterator[str]:
    for number in range(CALLS):
        kind = {7: "ends", 27: "ends late"}.get(number % 40, "takes long" if number % 25 == 3 else "quick")
        yield f"{kind} {number}"


async def call_all(line: CallLine, waiting: Iterator[str]) -> dict[str, str]:
    """What was answered to each, "died" where its process did."""
    told: dict[str, str] = {}
    for body in waiting:
        try:
            told[body] = (await ask(line, Call(body.encode(), "text/csv", None))).body.decode()
        except ModelDied:
            told[body] = "died"
    return told


async def answers(address: str, *, rings: bool) -> dict[str, str]:
    waiting = bodies()
    lines = [CallLine(address, 2, stuck_s=0.01, rings=rings) for _ in range(2)]
    found = await asyncio.gather(*(call_all(line, waiting) for line in lines for _ in range(CALLERS)))
    for line in lines:
        line.close()
    return {body: told for some in found for body, told in some.items()}


@pytest.mark.parametrize("rings", [False, True])
def test_each_call_is_run_once_whatever_becomes_of_those_before_it(tmp_path: Path, rings: bool) -> None:
    program = tmp_path / "inference.py"
    program.write_text(RUNS)
    with model_host(workers=2) as containers:
        lease = containers.open(tmp_path, "1", {}, program, (tmp_path,))
        told = asyncio.run(answers(lease.address, rings=rings))
        lease.close()
    assert told == {body: "died" if body.startswith("ends") else body for body in bodies()}
    assert Counter((tmp_path / "runs").read_text().splitlines()) == Counter(bodies())
