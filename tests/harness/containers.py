"""A model host of its own for tests of models with code of theirs: real processes, no server."""

import gc
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.hosting.containers.opener import Containers
from tests.harness.measured import python

ROOT = Path(__file__).resolve().parents[2]


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
            yield Containers(folder, workers, timeout_s, memory_bytes)
        finally:
            gc.collect()  # the host waits for models that nothing but the frames of a fault still holds
            process.terminate()
            process.wait(20)
