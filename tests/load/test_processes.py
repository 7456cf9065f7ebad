"""The processes that send, as their parent has them."""

import signal
from dataclasses import replace

import psutil
import pytest

from service.errors import LoadRefused
from service.load.engine import Glance
from service.load.plan import Plan, RequestBody, parse_place
from service.load.processes import LoadProcesses
from tests.conftest import wait_until
from tests.load.stub import Asked, Reply, serving


def _plan(url: str, **changes: object) -> Plan:
    place = parse_place(url)
    assert place is not None
    bodies = (RequestBody(b"1", "text/csv"),)
    plan = Plan(place, "/endpoints/e/invocations", {}, bodies, 200.0, 16, 1.0, 0.1)
    return replace(plan, **changes)  # type: ignore[arg-type]  # fields of Plan by name


def _answering(asked: Asked) -> Reply:
    return Reply(headers={"x-amzn-invoked-production-variant": "a"})


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_share_a_rate_out_and_their_counts_add_up(processes: int) -> None:
    glances: list[Glance] = []
    with serving(_answering) as stub, LoadProcesses(_plan(stub.url), processes) as running:
        result = running.run(glances.append)

    assert result.tally.answered == len(stub.asked) == 200
    assert len(result.cpu_shares) == processes
    assert all(share > 0 for share in result.cpu_shares)
    assert result.counted_s == 1.0
    assert glances
    assert glances[-1].answered <= 200


def test_callers_and_requests_of_a_closed_loop_are_shared_out() -> None:
    plan = _plan("http://127.0.0.1:1", rate=None, connections=5, most_requests=21, duration_s=60.0)
    with serving(_answering) as stub:
        plan = replace(plan, place=replace(plan.place, port=stub.port))
        with LoadProcesses(plan, 2) as running:
            result = running.run(lambda _: None)

    assert result.tally.answered == len(stub.asked) == 21
    assert stub.connections == 5


def test_there_are_never_more_processes_than_connections() -> None:
    with serving(_answering) as stub, LoadProcesses(_plan(stub.url, connections=1), 3) as running:
        result = running.run(lambda _: None)

    assert len(result.cpu_shares) == 1
    assert result.tally.answered == 200


def test_a_stopped_run_says_what_came_until_then() -> None:
    with serving(_answering) as stub, LoadProcesses(_plan(stub.url, duration_s=3600.0), 2) as running:
        result = running.run(lambda glance: running.stop())

    assert result.tally.answered > 0
    assert result.counted_s < 3600


def test_a_run_that_is_stopped_before_it_runs_has_done_nothing() -> None:
    with serving(_answering) as stub, LoadProcesses(_plan(stub.url), 1) as running:
        running.stop()
        result = running.run(lambda _: None)

    assert result.tally.answered == result.counted_s == 0


def test_a_killed_process_is_told_and_nobody_is_left_over() -> None:
    before = set(psutil.Process().children())

    def kill(_: Glance) -> None:
        (set(psutil.Process().children()) - before).pop().send_signal(signal.SIGKILL)

    with (
        serving(_answering) as stub,
        pytest.raises(LoadRefused, match="ended on its own"),
        LoadProcesses(_plan(stub.url, duration_s=3600.0), 2) as running,
    ):
        running.run(kill)

    wait_until(lambda: set(psutil.Process().children()) <= before)
