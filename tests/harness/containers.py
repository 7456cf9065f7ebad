"""A model host of its own for tests of models with code of theirs: real processes, no server."""

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from service.hosting.containers.opener import Containers

_numbers = count()
ROOT = Path(__file__).resolve().parents[2]


def _command(folder: Path) -> list[str]:
    """What starts a host; where coverage of this process is measured, that of the host is, too (Makefile)."""
    measured = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current() is not None
    data = ROOT / f".coverage-hosts.{os.getpid()}.{next(_numbers)}"
    under = ["-m", "coverage", "run", "--branch", "--source=service.hosting", f"--data-file={data}"]
    return [sys.executable, *(under if measured else []), "-m", "tests.harness.model_host", str(folder)]


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
            process = subprocess.Popen(_command(folder), stderr=log, stdout=log, cwd=ROOT)
        try:
            yield Containers(folder, workers, timeout_s, memory_bytes)
        finally:
            gc.collect()  # the host waits for models that nothing but the frames of a fault still holds
            process.terminate()
            process.wait(20)
