"""A model host of its own for tests of models with code of theirs: real processes, no server."""

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.hosting.containers.opener import Containers

_LIFE = """
import os, sys
from pathlib import Path
from service.log import configure
from service.processes.model_host import run_model_host
configure("info", "text")
sys.exit(run_model_host(Path(sys.argv[1]), os.getppid()))
"""


@contextmanager
def model_host(
    workers: int = 2, timeout_s: float = 60.0, memory_bytes: int = 0, folder: Path | None = None
) -> Iterator[Containers]:
    """Containers for as long as the context lasts; their log goes to `host.log` in their folder.

    The `folder` may be that of a host that is gone.
    """
    with tempfile.TemporaryDirectory(prefix="sagebird-") as own:
        folder = folder or Path(own)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        with (folder / "host.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _LIFE, str(folder)], stderr=log, stdout=log, env=environment
            )
        try:
            yield Containers(folder, workers, timeout_s, memory_bytes)
        finally:
            gc.collect()  # the host waits for models that nothing but the frames of a fault still holds
            process.terminate()
            process.wait(20)
