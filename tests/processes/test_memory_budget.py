"""More models than fit: every answer is right, and memory stays within what the settings allow."""

from pathlib import Path

import pytest

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness.family import MemoryWatch, models_memory_bytes
from tests.harness.fleet import file_bytes, make_fleet, shots_at_fleet
from tests.harness.gateways import loads, port, status
from tests.harness.load import Outcome, Plan, carry_out

MODELS = 20
FIT = 5
BIG_BYTES = 8 << 20
SMALL_BYTES = 16 << 10
MARGIN = 1.15


@pytest.mark.parametrize("gateways", [1, 2])
def test_models_beyond_the_budget_answer_rightly_within_it(
    start_server: StartServer, tmp_path: Path, gateways: int
) -> None:
    """What the code itself takes once models are used is not the models' memory: small ones show how much."""
    make_fleet(tmp_path / "small", MODELS, SMALL_BYTES)
    make_fleet(tmp_path / "big", MODELS, BIG_BYTES)
    budget_bytes = FIT * file_bytes(tmp_path / "big") + (1 << 20)
    small = start_server(tmp_path / "small", gateways=gateways, model_memory=str(budget_bytes))
    call_all(small, 600)
    code_bytes = models_memory_bytes(small.process.pid)
    small.stop()
    big = start_server(tmp_path / "big", gateways=gateways, model_memory=str(budget_bytes))

    with MemoryWatch(big.process.pid) as watch:
        outcome = call_all(big, 600)

    assert outcome.answers == 600, outcome.reasons()
    assert outcome.failures == ()
    assert loads(big, "model-00") > 1
    wait_until(lambda: held(big) == gateways * (FIT // gateways))  # each had its calls
    assert watch.peak_bytes - code_bytes <= MARGIN * budget_bytes


def held(server: RunningServer) -> int:
    """Models that the gateways hold, one in two gateways counting twice."""
    return sum(card["gateways"] for card in status(server)["models"] if card["state"] == "loaded")


def call_all(server: RunningServer, count: int) -> Outcome:
    return carry_out(Plan(port(server), shots_at_fleet(MODELS), 16, count=count, fresh=True))
