"""What processes hold that others have started."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from service.hosting.containers.processes import Census, CpuClock

STARTS = """
import subprocess, sys
small = [subprocess.Popen(["sleep", "1000"]) for _ in range(150)]
large = "held = bytearray(b'x') * (64 << 20); print('held', flush=True); input()"
subprocess.run([sys.executable, "-c", large])
"""

BURNS = """
import subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if len(sys.argv) > 1:
    burn(0.2)
    sys.exit()
burn(0.2)
subprocess.run([sys.executable, sys.argv[0], "below"])
print("burnt", flush=True)
input()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells it")


def own_bytes(pid: int) -> int:
    found = re.search(r"Pss_Anon: +([0-9]+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert found
    return int(found[1]) << 10


def test_very_many_alike_are_counted_by_some_of_them_and_the_largest() -> None:
    command = [sys.executable, "-c", STARTS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as starter:
        assert starter.stdout
        assert starter.stdout.readline() == b"held\n"
        exact = sum(own_bytes(child.pid) for child in psutil.Process(starter.pid).children())
        counted = Census().below_bytes(starter.pid, ())
        os.killpg(starter.pid, signal.SIGKILL)
    assert exact > 64 << 20
    assert counted == pytest.approx(exact, rel=0.3)


def test_what_was_used_counts_those_below_and_those_that_are_gone(tmp_path: Path) -> None:
    (tmp_path / "burns.py").write_text(BURNS)
    command, pipe = [sys.executable, str(tmp_path / "burns.py")], subprocess.PIPE
    clock = CpuClock(Census())
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        assert process.stdout.readline() == b"burnt\n"
        used_s = clock.read([process.pid])
        process.kill()
    assert used_s > 0.35  # counted in hundredths of a second, of two kinds, by process
    assert clock.read([process.pid]) == used_s
    assert clock.read([]) == used_s
