"""A container host in a thread of this process, for tests of images, over whatever engine they have."""

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.hosting.containers.container_host import ContainerHost
from service.hosting.containers.forks import ForkServer
from service.hosting.containers.opener import Containers, Images
from service.hosting.engines.engine import DockerEngine
from service.hosting.engines.household import Household

READY_S = 60.0


@contextmanager
def image_host(
    environ: Mapping[str, str], images: Images | None = None, folder: Path | None = None, **limits: Any
) -> Iterator[Containers]:
    """Containers whose images run in the engine that `environ` names."""
    with tempfile.TemporaryDirectory(prefix="sagebird-") as own:
        place = folder or Path(own)
        ready, stop = threading.Event(), threading.Event()

        async def live() -> None:
            household = Household(DockerEngine(environ), place)
            host = ContainerHost(place, ForkServer({"PATH": os.defpath}), {}, household)
            await host.open()
            measuring = asyncio.ensure_future(host.measure())
            ready.set()
            await asyncio.to_thread(stop.wait)
            measuring.cancel()
            await host.close()

        thread = threading.Thread(target=asyncio.run, args=(live(),))
        thread.start()
        try:
            assert ready.wait(READY_S)
            yield Containers(place, 2, limits.pop("timeout_s", 30.0), images=images or Images(2), **limits)
        finally:
            stop.set()
            thread.join()
