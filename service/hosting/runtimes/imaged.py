"""Models in a container of somebody's image: that runs in the Docker engine, and is called from here."""

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from service.domain.image import named_image
from service.errors import ModelFailure, ModelUnreachable
from service.hosting.containers.lease import Lease
from service.hosting.containers.opener import Containers
from service.hosting.containers.web_line import WebLine
from service.hosting.footprint import SMALLEST_BYTES
from service.hosting.host import Answer, Call, Interface, Outcome, Traits
from service.hosting.runtimes.remote import RemoteModel
from service.hosting.runtimes.runtime import Contents
from service.hosting.stopwatch import Stopwatch
from service.media.tables import HeaderUse
from service.promise import BegunCall

_LOOK_S: Final = 0.05


class _WebServer:
    """A container, as the event loop sees it."""

    def __init__(self, lease: Lease, sharers: int, most_bytes: int) -> None:
        self._lease = lease
        self._sharers = sharers
        self._line = WebLine(lease, most_bytes)
        self.places: int | None = None
        """See host.Elsewhere."""

    def begin(self, call: Call, told: Callable[[Outcome], None], watch: Stopwatch) -> BegunCall:
        """See host.Elsewhere."""
        return self._line.begin(call, told, watch)

    def notes(self) -> tuple[str, ...]:
        """See host.Elsewhere."""
        return (self._lease.trouble,) if self._lease.trouble else ()

    def let_go(self) -> None:
        """See host.Elsewhere: no connection is kept."""

    def look(self) -> int | None:
        """Memory that counts for this process by now; None once the container is gone."""
        return max(self._lease.size_bytes // self._sharers, SMALLEST_BYTES) if self._lease.look() else None


class _Threads:
    """The same container, as threads see it."""

    def __init__(self, lease: Lease, timeout_s: float, most_bytes: int) -> None:
        self._lease = lease
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._remote: RemoteModel | None = None

    def answer(self, call: Call) -> Answer:
        """Have it answer a call. Raises ModelFault."""
        return self._at_its_address().answer(call)

    def parameters(self) -> Mapping[str, Any]:
        """What it says at /execution-parameters. Raises ModelUnreachable."""
        return self._at_its_address().execution_parameters()

    def close(self) -> None:
        """Close the connections, and give the container back."""
        self._lease.close()
        if self._remote is not None:
            self._remote.close()

    def _at_its_address(self) -> RemoteModel:
        """The container where it is by now. Raises ModelUnreachable: it is nowhere, or was for too long."""
        end_s = time.monotonic() + self._timeout_s
        while self._lease.look() and not self._lease.address and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        address = self._lease.address
        if self._lease.lost is not None:
            raise ModelUnreachable(f"The model's container cannot be reached: {self._lease.lost}")
        if not address:
            raise ModelUnreachable("The model's container is being made anew.")
        with self._lock:
            if self._remote is None or self._remote.url != address:
                if self._remote is not None:
                    self._remote.close()
                self._remote = RemoteModel(address, self._timeout_s, direct=True, most_bytes=self._most_bytes)
            return self._remote


class ImageModel:
    """A model in a container of an image. That stands as long as this object is alive."""

    def __init__(self, contents: Contents, lease: Lease, containers: Containers) -> None:
        most_bytes, sharers = containers.most_answer_bytes, containers.sharers
        self._threads = _Threads(lease, containers.timeout_s, most_bytes)
        self.traits = Traits(
            f"container of {named_image(contents.image)}",
            max(lease.size_bytes // sharers, SMALLEST_BYTES),
            scripted=True,
            default_accept=contents.default_accept,
            headers=HeaderUse.GIVEN,
            elsewhere=_WebServer(lease, sharers, most_bytes),
            ask_parameters=self._threads.parameters,
        )
        weakref.finalize(self, self._threads.close)

    def answer(self, call: Call) -> Answer:
        """Have it answer a call, which this thread waits for. Raises ModelFault."""
        return self._threads.answer(call)

    def interface(self) -> Interface | None:
        """It tells nothing."""
        return None


def load(contents: Contents) -> ImageModel:
    """Have the container of the model's image stand. Raises ModelFault."""
    containers = contents.containers
    if containers is None:
        raise ModelFailure("this model has an image of its own, and nothing here runs images")
    lease = containers.within(contents.startup_s).open_image(
        contents.folder,
        contents.version,
        contents.environment,
        contents.image,
        contents.code_dirs,
        contents.name,
    )
    return ImageModel(contents, lease, containers)
