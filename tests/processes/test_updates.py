"""UpdateEndpoint and new weights while requests come in, over several gateways."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.bench.updates import SHOT, misrouted, move_while, prepare
from tests.conftest import RunningServer, StartServer, wait_until
from tests.harness.control import Control, put_model, variant
from tests.harness.family import load_on_all
from tests.harness.gateways import Line, line_to_each_gateway, loads, port, shot
from tests.harness.load import Load, Plan

GATEWAYS = 3


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> RunningServer:
    """A family of three gateways that serves nothing yet."""
    models = tmp_path / "models"
    models.mkdir()
    return start_server(models, gateways=GATEWAYS)


def test_updates_under_load_fail_no_request_and_leave_no_answers_of_the_fleet_before(
    server: RunningServer,
) -> None:
    gateways = [psutil.Process(pid) for pid in server.gateways()]
    with Control(port(server)) as control:
        first = prepare(control, server.data)
        with load_on_all(Plan(port(server), (SHOT,), 32, samples=True), gateways) as load:
            moves = move_while(control, first, lambda done: done < 6)
            outcome = load.stop()

    assert outcome.failures == (), outcome.reasons()
    assert misrouted(outcome, moves) == 0
    assert set(outcome.given) == {0, 1}
    # Each new fleet is loaded once in each gateway, whose counts come twice a second.
    wait_until(lambda: loads(server, "s3://crates/red/model") >= 4 * GATEWAYS, 5.0)
    assert loads(server, "s3://crates/red/model") == 4 * GATEWAYS


def test_every_gateway_answers_from_the_new_fleet_once_the_endpoint_is_in_service(
    server: RunningServer,
) -> None:
    seen = []
    with Control(port(server)) as control:
        prepare(control, server.data)
        with open_lines(server) as lines:
            for config in ("config-blue", "config-red", "config-blue"):
                control.call("UpdateEndpoint", EndpointName="moving", EndpointConfigName=config)
                control.wait_in_service("moving")
                seen.append({line.invoke("moving")[1:] for line in lines})

    assert seen == [{("variant-blue", "[2.0]")}, {("variant-red", "[1.0]")}, {("variant-blue", "[2.0]")}]


def test_variant_of_weight_zero_gets_nothing_from_any_gateway_once_the_endpoint_is_in_service(
    server: RunningServer,
) -> None:
    with Control(port(server)) as control:
        for number, name in enumerate(("left", "right")):
            control.create_model(name, put_model(server.data, name, number + 1))
        control.create_config("both", [variant("left", "left"), variant("right", "right")])
        control.call("CreateEndpoint", EndpointName="shared", EndpointConfigName="both")
        control.wait_in_service("shared")
        with open_lines(server) as lines, Load(Plan(port(server), (shot("shared", 1, 2),), 8)) as load:
            mixed = {line.invoke("shared")[1] for line in lines for _ in range(20)}
            for left, right in [(0, 1), (1, 0), (0, 2), (3, 0), (0, 1)]:
                weigh(control, "shared", left=left, right=right)
                control.wait_in_service("shared")
                expected = {"left"} if left else {"right"}
                assert [{line.invoke("shared")[1] for _ in range(10)} for line in lines] == [
                    expected for _ in lines
                ]
            outcome = load.stop()

    assert mixed == {"left", "right"}
    assert outcome.failures == (), outcome.reasons()


@contextmanager
def open_lines(server: RunningServer) -> Iterator[list[Line]]:
    """One connection to each gateway, closed in the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(line)) for line in line_to_each_gateway(server)]


def weigh(control: Control, endpoint: str, **weights: float) -> None:
    control.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName=endpoint,
        DesiredWeightsAndCapacities=[
            {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
        ],
    )
