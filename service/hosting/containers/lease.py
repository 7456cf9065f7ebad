"""The other end of a lease: how a gateway, or a process of a job, gets a container and keeps it.

Not in here: what stands at the other end (container_host).
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from service.errors import ModelFault, ModelUnreachable
from service.hosting.containers.calls import fault_of
from service.hosting.containers.container_host import DOOR
from service.hosting.containers.spec import ContainerSpec, Loaded

_COMES_BACK_S: Final = 10.0  # in which a model host that died is there again
_LOOK_S: Final = 0.02
_READ_BYTES: Final = 1 << 16
_PLACES_S: Final = 2.0


class Lease:
    """A container that stands as long as this is not closed."""

    def __init__(
        self,
        connection: socket.socket,
        loaded: Loaded,
        address: str,
        workers: int,
        size_bytes: int,
        log_places: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """What is printed at no call is kept at the `log_places` as they are by then, more or less."""
        self.loaded = loaded
        self.workers = workers
        self.address = address
        """Where it answers; "" for as long as one that is at a port is being made anew."""
        self.size_bytes = size_bytes
        """Memory that the container holds, whoever has a lease of it; `look` brings it up to date."""
        self.trouble = ""
        """What people should know of its processes, as far as `look` has heard."""
        self.lost: ModelFault | None = None
        """Why the container cannot be used any more, if so."""
        self._connection = connection
        self._log_places = log_places
        self._told_places = tuple(log_places())
        self._places_due_s = time.monotonic() + _PLACES_S
        self._unsent = b""
        self._rest = b""
        self._lock = threading.Lock()
        connection.setblocking(False)

    def look(self) -> bool:
        """Take in the news; whether the container can still be used. Does not wait."""
        with self._lock:
            self._tell_places()
            return self._look()

    def close(self) -> None:
        """Give it back; once nobody has a lease of it any more the container ends."""
        self._connection.close()

    def _tell_places(self) -> None:
        """Tell where lines are to be kept, once in a while, if that is not where they were before."""
        if not self._unsent and time.monotonic() >= self._places_due_s:
            self._places_due_s = time.monotonic() + _PLACES_S
            places = tuple(self._log_places())
            if places != self._told_places:
                self._told_places, self._unsent = places, orjson.dumps(places) + b"\n"
        if self._unsent:
            with suppress(OSError):  # full: the rest follows; or gone, which is heard
                sent = self._connection.send(self._unsent)
                self._unsent = self._unsent[sent:]

    def _look(self) -> bool:
        while self.lost is None:
            try:
                data = self._connection.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.lost = ModelUnreachable("The process that runs the models of scripts ended.")
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._hear(orjson.loads(line))
        return self.lost is None

    def _hear(self, news: Mapping[str, Any]) -> None:
        if "size_bytes" in news:
            self.size_bytes = news["size_bytes"]
        self.address = news.get("address", self.address)
        self.trouble = news.get("trouble", self.trouble)
        if "broken" in news:
            self.lost = _fault(news["broken"])


def take_lease(
    folder: Path, spec: ContainerSpec, log_places: Callable[[], Sequence[str]] | None = None
) -> Lease:
    """Have a container stand. Blocks until its model is loaded.

    `folder` is that of the container host; `log_places` are those of the spec where they do not change.

    Raises:
        ModelFault: it cannot be loaded.
        ModelUnreachable: nobody owns containers there, or no more.
    """
    connection = _connected(folder)
    try:
        connection.sendall(spec.to_json() + b"\n")
        with connection.makefile("rb") as reader:
            line = reader.readline()
    except OSError:
        line = b""
    except BaseException:
        connection.close()
        raise
    told = orjson.loads(line) if line.endswith(b"\n") else {}
    if "ready" not in told:
        connection.close()
        if "failed" in told:
            raise _fault(told["failed"])
        raise ModelUnreachable("The process that runs the models of scripts ended while this one was loaded.")
    loaded, size_bytes = Loaded.of(told["ready"]), told["size_bytes"]
    places = (lambda: spec.log_places) if log_places is None else log_places
    lease = Lease(connection, loaded, told["address"], spec.workers, size_bytes, places)
    lease.trouble = told["trouble"]
    return lease


def _connected(folder: Path) -> socket.socket:
    end_s = time.monotonic() + _COMES_BACK_S
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(FileNotFoundError, ConnectionRefusedError):
            connection.connect(str(folder / DOOR))
            return connection
        connection.close()
        if time.monotonic() > end_s:
            raise ModelUnreachable("The process that runs the models of scripts is not there.")
        time.sleep(_LOOK_S)


def _fault(told: Mapping[str, Any]) -> ModelFault:
    return fault_of(told["message"], told["status"])
