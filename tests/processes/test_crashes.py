"""Processes of the family that die without a word."""

import os
import random
import signal
import time
from pathlib import Path
from time import monotonic
from typing import Any

import joblib
import psutil
import pytest

from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness import web
from tests.harness.family import load_on_all
from tests.harness.gateways import (
    client_ports,
    declare,
    endless,
    make_model,
    port,
    shot,
    variants,
    wait_takes_calls,
    wait_whole,
)
from tests.harness.load import Load, Plan, carry_out


class Held:
    """A built-in model, which each gateway loads by itself; not as long as there is a gate."""

    def __init__(self, model: Any, gate: Path) -> None:
        self._known = {"model": model, "exists": os.path.exists, "sleep": time.sleep, "gate": str(gate)}

    def __reduce__(self) -> tuple[Any, ...]:
        waits = "[*iter(lambda: exists(gate) and not sleep(0.02), False)]"
        return eval, (f"({waits}, model)[1]", self._known)


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> RunningServer:
    """A family over one endpoint with two models, which answer 1 and 2."""
    models = tmp_path / "models"
    make_model(models / "one", 1)
    make_model(models / "two", 2)
    declare(models, variants("both", one=1, two=1))
    return start_server(models)


def test_killed_gateway_fails_only_the_requests_on_its_own_connections(server: RunningServer) -> None:
    victim, other = server.gateways()
    everyone = [psutil.Process(victim), psutil.Process(other)]
    with load_on_all(endless(server, shot("both", 1, 2), 32), everyone) as load:
        own = client_ports(server, victim)
        psutil.Process(victim).kill()
        wait_whole(server, without=victim)
        replaced_s = monotonic()
        afterwards = carry_out(Plan(port(server), (shot("both", 1, 2),), 32, duration_s=1.0))
        outcome = load.stop()

    broken = [failure.port for failure in outcome.failures]
    assert set(broken) <= own, outcome.reasons()
    assert len(broken) == len(set(broken))
    assert all(failure.started_s < replaced_s for failure in outcome.failures)
    assert afterwards.answers > 0
    assert afterwards.failures == ()


def test_new_connections_go_to_the_other_gateway_while_one_is_down(server: RunningServer) -> None:
    """Only what the dead one had accepted is lost, at most one request of each client."""
    with Load(Plan(port(server), (shot("both", 1, 2),), 4, fresh=True)) as load:
        victim = server.gateways()[0]
        psutil.Process(victim).kill()
        wait_whole(server, without=victim)
        afterwards = carry_out(Plan(port(server), (shot("both", 1, 2),), 4, duration_s=1.0, fresh=True))
        outcome = load.stop()

    assert len(outcome.failures) <= 4, outcome.reasons()
    assert afterwards.answers > 0
    assert afterwards.failures == ()


def test_terminated_gateway_fails_no_request(server: RunningServer) -> None:
    victim, other = server.gateways()
    everyone = [psutil.Process(victim), psutil.Process(other)]
    with load_on_all(endless(server, shot("both", 1, 2), 32), everyone) as load:
        psutil.Process(victim).terminate()
        wait_whole(server, without=victim)
        (newcomer,) = [pid for pid in server.gateways() if pid != other]
        psutil.Process(other).terminate()
        wait_takes_calls(server, newcomer)
        wait_whole(server, without=other)
        outcome = load.stop()

    assert outcome.answers > 0
    assert outcome.failures == ()
    assert outcome.reconnects > 0


def test_replaced_gateway_takes_no_calls_before_its_models_are_warm(
    start_server: StartServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    held = tmp_path / "models" / "held"
    make_model(held, 5)
    joblib.dump(Held(joblib.load(held / "model.joblib"), gate), held / "model.joblib")
    declare(tmp_path / "models", variants("held", held=1))
    server = start_server(tmp_path / "models")
    victim, other = server.gateways()
    gate.touch()

    psutil.Process(victim).kill()
    wait_whole(server, without=victim)
    (newcomer,) = [pid for pid in server.gateways() if pid != other]
    with Load(Plan(port(server), (shot("held", 5),), 8, fresh=True)) as load:
        wait_until(lambda: len(psutil.Process(newcomer).threads()) > 1)
        before = carry_out(Plan(port(server), (shot("held", 5),), 8, count=200, fresh=True))
        taken = client_ports(server, newcomer)
        gate.unlink()
        wait_takes_calls(server, newcomer)
        outcome = load.stop()

    assert (before.answers, before.failures) == (200, ())
    assert taken == set()
    assert outcome.failures == ()


def test_killing_gateways_again_and_again_wedges_nothing(server: RunningServer) -> None:
    draw = random.Random(7)
    with Load(endless(server, shot("both", 1, 2), 16)) as load:
        for _ in range(10):
            victim = draw.choice(server.gateways())
            psutil.Process(victim).kill()
            wait_whole(server, without=victim)
        afterwards = carry_out(Plan(port(server), (shot("both", 1, 2),), 16, duration_s=1.0))
        outcome = load.stop()

    assert afterwards.answers > 0
    assert afterwards.failures == ()
    assert outcome.answers > 0
    assert server.stop() == 0


def test_killed_keeper_is_replaced_and_edits_are_still_applied(server: RunningServer) -> None:
    victim = server.keeper().pid

    psutil.Process(victim).kill()
    wait_whole(server, without=victim)
    declare(server.models, variants("both", one=0, two=1))

    wait_until(lambda: "two:1" in shares(server))
    wait_until(lambda: only_two_answers(server))


def only_two_answers(server: RunningServer) -> bool:
    outcome = carry_out(Plan(port(server), (shot("both", 1, 2),), 4, count=40, fresh=True))
    strict = carry_out(Plan(port(server), (shot("both", 2),), 4, count=40, fresh=True))
    return (outcome.answers, strict.answers) == (40, 40)


def shares(server: RunningServer) -> list[str]:
    cards = web.get(f"{server.url}/status", timeout=30).json()["endpoints"]
    return [f"{variant['name']}:{variant['share']:g}" for card in cards for variant in card["variants"]]


def test_children_leave_when_the_supervisor_is_killed(
    server: RunningServer, start_server: StartServer
) -> None:
    children = server.children()

    server.process.send_signal(signal.SIGKILL)
    server.process.wait(10)
    gone, alive = psutil.wait_procs(children, timeout=30)
    again = start_server(server.models, server.data)

    assert alive == []
    assert len(gone) == 4
    assert again.invoke("both", "1", Content_Type="text/csv").status_code == 200
    assert again.stop() == 0
