"""Workers that hold more and more: they leave before a call is lost by it."""

from pathlib import Path

from service.hosting.containers.calls import ask_blocking
from service.hosting.containers.lease import Lease
from service.hosting.host import Call
from tests.conftest import wait_until
from tests.harness.containers import model_host

LEAKS = """
import os
kept = bytearray()
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    global kept
    if body != "0": kept = bytearray(b"x") * (int(body) << 20)
    return f"{os.getpid()} {len(kept) >> 20}", "text/plain"
"""
MOST_MIB = 200
PATIENCE_S = 60.0


def leak(lease: Lease, mib: int) -> list[int]:
    """The process that answered, and what it keeps now."""
    call = Call(str(mib).encode(), "text/csv", None)
    return [int(each) for each in ask_blocking(lease.address, call, PATIENCE_S).body.split()]


def test_who_leaves_little_room_is_replaced_between_two_calls(tmp_path: Path) -> None:
    program = tmp_path / "inference.py"
    program.write_text(LEAKS)
    with model_host(workers=1, memory_bytes=MOST_MIB << 20) as containers:
        lease = containers.open(tmp_path, "1", {}, program, (tmp_path,))
        before, kept = leak(lease, MOST_MIB - 15)
        assert kept == MOST_MIB - 15
        wait_until(lambda: leak(lease, 0)[0] != before, PATIENCE_S)
        assert leak(lease, 0)[1] == 0
        assert "it left between two calls" in (containers.folder / "host.log").read_text()
        lease.close()
