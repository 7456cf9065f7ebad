"""A model that is slow to load holds nobody up but its own callers.

The slow model waits for a file, not for time: what is answered meanwhile was answered during the load.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.gateways import declare, loads, make_model, port, shot, variants
from tests.harness.load import Plan, carry_out

WAITING = """
import time
from pathlib import Path
import joblib

def model_fn(model_dir):
    Path({begun!r}).touch()
    while not Path({gate!r}).exists():
        {pass_time}
    return joblib.load(model_dir + "/model.joblib")
"""
SLEEPING = "time.sleep(0.02)"
BURNING = "sum(range(100_000))"


class Slow:
    """A server with a quick model, and a call to a slow one whose load has begun."""

    def __init__(self, server: RunningServer, folder: Path, callers: int) -> None:
        """Call the slow model, and wait until its load is under way."""
        self.server = server
        self.gate = folder / "gate"
        self.answers: list[httpx.Response] = []
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]
        for thread in self._threads:
            thread.start()
        wait_until((folder / "begun").exists)

    def let_go(self) -> list[httpx.Response]:
        """Let the load end; what the callers got."""
        self.gate.touch()
        for thread in self._threads:
            thread.join(300)
        return self.answers

    def _call(self) -> None:
        # Longer than anything here takes on a busy machine: how long a load lasts is the test's own doing.
        url = f"{self.server.url}/endpoints/slow/invocations"
        headers = {"Content-Type": "text/csv"}
        self.answers.append(web.post(url, content="1", headers=headers, timeout=300))


@pytest.fixture(params=[SLEEPING, BURNING], ids=["sleeping", "burning"])
def slow(request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path) -> Iterator[Slow]:
    """One gateway, so that both models are in one process."""
    places = {"begun": str(tmp_path / "begun"), "gate": str(tmp_path / "gate")}
    make_model(tmp_path / "models" / "quick", 1)
    make_model(tmp_path / "models" / "slow", 2, WAITING.format(pass_time=request.param, **places))
    lazy = variants("slow", slow=1).replace("weight: 1", "weight: 1, lazy: true").removeprefix("endpoints:\n")
    declare(tmp_path / "models", variants("quick", quick=1) + lazy)
    slow = Slow(start_server(tmp_path / "models", gateways=1, model_timeout_s="300"), tmp_path, callers=3)
    yield slow
    slow.let_go()


def test_everything_else_answers_while_a_model_is_being_loaded(slow: Slow) -> None:
    pages = ("/healthz", "/readyz", "/status", "/metrics")

    outcome = carry_out(Plan(port(slow.server), (shot("quick", 1),), 4, count=100))
    codes = [web.get(slow.server.url + page, timeout=30).status_code for page in pages]

    assert (outcome.answers, outcome.failures) == (100, ())
    assert codes == [200, 200, 200, 200]
    assert slow.answers == []


def test_all_callers_of_a_slow_model_are_answered_by_one_load(slow: Slow) -> None:
    answers = slow.let_go()

    assert [answer.text for answer in answers] == ["[2.0]"] * 3
    assert loads(slow.server, "slow") == 1
