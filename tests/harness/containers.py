"""A model host of its own for tests of models with code of theirs: real processes, no server."""

import gc
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.hosting.containers.container_host import DOOR
from service.hosting.containers.opener import Containers
from tests.harness.measured import python

ROOT = Path(__file__).resolve().parents[2]
_START_S = 120.0  # a machine that is shared with others takes a minute for what takes a second


@contextmanager
def model_host(
    workers: int = 2, timeout_s: float = 60.0, memory_bytes: int = 0, folder: Path | None = None
) -> Iterator[Containers]:
    """Containers for as long as the context lasts; their log goes to `host.log` in their folder.

    The `folder` may be that of a host that is gone.
    """
    with tempfile.TemporaryDirectory(prefix="sagebird-") as own:
        folder = folder or Path(own)
        with (folder / "host.log").open("wb") as log:
            process = subprocess.Popen(
                [*python(), "-m", "tests.harness.model_host", str(folder)], stderr=log, stdout=log, cwd=ROOT
            )
        try:
            _wait_for(folder / DOOR, process)
            yield Containers(folder, workers, timeout_s, memory_bytes)
        finally:
            gc.collect()  # the host waits for models that nothing but the frames of a fault still holds
            process.terminate()
            process.wait(_START_S)


def _wait_for(door: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until the host is there: who asks for containers waits for one that comes back, not for its imports."""
    end_s = time.monotonic() + _START_S
    while not door.exists() and process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.02)
