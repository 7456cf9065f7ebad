"""What the dashboard's charts draw, as far as it takes no browser to say so."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPTS = Path(__file__).parents[4] / "service/faces/people/static/dashboard"
_LONELY = _SCRIPTS / "lonely.js"
_NODE = shutil.which("node")


@pytest.mark.skipif(_NODE is None, reason="needs node")
@pytest.mark.parametrize(
    ("values", "dots"),
    [
        ([None, None, 3.5], [2]),  # the minute that has just begun, the first one of all
        ([4, None, None], [0]),
        ([None, 0, None, 1, 2, None, 5], [1, 6]),
        ([1, 2, 3], None),
        ([None, None], None),
    ],
)
def test_a_minute_of_latency_without_neighbours_is_a_dot(
    values: list[float | None], dots: list[int] | None
) -> None:
    program = (
        f"import(`file://{_LONELY}`).then(({{ lonely }}) => "
        f"console.log(JSON.stringify(lonely({{ data: [[], {json.dumps(values)}] }}, 1))))"
    )
    assert _NODE is not None
    done = subprocess.run([_NODE, "--input-type=module", "-e", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == dots


@pytest.mark.skipif(_NODE is None, reason="needs node")
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_times_are_utc_wherever_somebody_looks(zone: str) -> None:
    program = (
        f"import(`file://{_SCRIPTS}/clock.js`).then(({{ clock }}) => "
        "console.log(JSON.stringify([clock(0), clock(86400 - 60), clock(1767355500)])))"
    )
    assert _NODE is not None
    done = subprocess.run(
        [_NODE, "--input-type=module", "-e", program],
        env={**os.environ, "TZ": zone, "LANG": "en_US.UTF-8"}, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["00:00", "23:59", "12:05"]
