import json
import subprocess
import sys

import pytest

_ASK = """
import json, resource, sys
from service.http.edge import room_for
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(json.dumps([room_for(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "raised"),
    [
        (512, 4096, 1000, 1000, 1256),  # raised as far as it is needed
        (512, 1024, 1000, 768, 1024),  # as far as it may be, and fewer connections
        (4096, 4096, 1000, 1000, 4096),  # enough as it is
        (100, 100, 1000, 50, 100),  # half of few
    ],
)
def test_there_are_files_left_for_other_things_than_connections(
    soft: int, hard: int, wanted: int, room: int, raised: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(soft), str(hard), str(wanted)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [room, raised]
