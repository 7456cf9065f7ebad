"""A family that is stopped under load loses no request, whichever way it is stopped."""

import signal
from pathlib import Path

import pytest

from tests.bench.stops import stop_under_load

pytestmark = pytest.mark.family


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("gateways", [1, 2])
def test_whoever_got_a_connection_gets_an_answer(
    tmp_path: Path, gateways: int, number: signal.Signals
) -> None:
    stop = stop_under_load(tmp_path, gateways, number)

    assert stop.lost == ()
    assert stop.exit_code == 0
