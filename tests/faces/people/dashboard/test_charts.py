"""What the dashboard's charts draw, as far as it takes no browser to say so."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

_LONELY = Path(__file__).parents[4] / "service/faces/people/static/dashboard/lonely.js"
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
