"""All containers of one machine: who wants one connects to the model host and names its spec.

The connection is a lease. A container stands as long as somebody has a lease of it, whoever asks for the
same spec shares it, and a process that dies gives its leases back. Each lease is told when the memory of its
container changes.
Not in here: what a container does (container); the other end of the connection (lease).
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import orjson

from service.domain.log_places import KeepLine
from service.errors import EngineFault, ModelFailure, ModelFault
from service.hosting.container_card import ContainerCard
from service.hosting.containers.container import Container
from service.hosting.containers.forks import ForkServer
from service.hosting.containers.image_container import ImageContainer
from service.hosting.containers.spec import ContainerSpec, Loaded
from service.hosting.containers.survey import SURVEY, card_of, told
from service.hosting.engines.engine import DockerEngine
from service.hosting.engines.household import Household
from service.log import get_logger

DOOR = "host.sock"
_MOST_SPEC_BYTES = 1 << 22
_LEAVE_S = 2.0
_MEASURE_S = 1.0
_CHANGE = 0.05  # of its memory that a container's leases are told of


@dataclass(slots=True)
class _Held:
    """One container and its leases, those that were answered apart: they hear what happens later."""

    container: Container | ImageContainer
    loading: "asyncio.Task[Loaded]"
    leases: set[asyncio.StreamWriter] = field(default_factory=set)
    answered: set[asyncio.StreamWriter] = field(default_factory=set)
    broken: ModelFault | None = None
    told_bytes: int = 0
    told_trouble: str = ""
    places: dict[asyncio.StreamWriter, tuple[str, ...]] = field(default_factory=dict)

    def print_at(self, lease: asyncio.StreamWriter, places: tuple[str, ...]) -> None:
        """Have lines of no call be kept where its leases want them, of which one wants these from now on."""
        self.places[lease] = places
        self.container.printed.places = set(chain(*self.places.values()))


class ContainerHost:
    """Starts containers that somebody wants, and ends those that nobody wants any more. For one loop."""

    def __init__(
        self,
        folder: Path,
        forks: ForkServer,
        environment: Mapping[str, str],
        household: Household | None = None,
        keep: KeepLine | None = None,
    ) -> None:
        """`folder` is private: whoever can open what lies there can have a model answer.

        What the `household` left before is cleared away at once; without one, when an image is to run.
        `keep` keeps what containers print.
        """
        self._keep = keep
        self._folder = folder
        self._forks = forks
        self._environment = environment
        self._household = Household(DockerEngine(os.environ), folder) if household is None else household
        self._clears = household is not None
        self._clearing: asyncio.Task[None] | None = None
        self._held: dict[str, _Held] = {}
        self._numbers = count()
        self._meetings: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._log = get_logger("sagebird.containers")

    @property
    def is_needed(self) -> bool:
        """Whether somebody has a lease."""
        return bool(self._held)

    async def open(self) -> None:
        """Be there for all that connect."""
        for left in self._folder.glob("*.sock"):  # of a host that was killed here
            left.unlink(missing_ok=True)
        door = self._folder / DOOR
        self._server = await asyncio.start_unix_server(self._meet, door, limit=_MOST_SPEC_BYTES)
        if self._clears:
            self._clearing = asyncio.ensure_future(_clear(self._household))

    async def close(self) -> None:
        """End all containers."""
        if self._server is not None:
            self._server.close()
        for held in self._held.values():
            for writer in held.leases:
                writer.close()
        await asyncio.gather(*map(self._end, list(self._held.values())))
        if self._meetings:  # their other ends are told by now; a task that is cancelled would be logged
            await asyncio.wait(self._meetings, timeout=_LEAVE_S)
        self._forks.close()
        if self._clearing is not None:
            self._clearing.cancel()
            await asyncio.gather(self._clearing, return_exceptions=True)
        await self._household.engine.close()
        (self._folder / DOOR).unlink(missing_ok=True)

    async def measure(self) -> None:
        """Tell the leases what their containers hold, again and again."""
        while True:
            await asyncio.sleep(_MEASURE_S)
            for held in list(self._held.values()):
                self._tell_news(held)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meeting = asyncio.ensure_future(self._hear(reader, writer))
        self._meetings.add(meeting)
        meeting.add_done_callback(self._meetings.discard)
        await meeting

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line == SURVEY:
                writer.write(told(self._cards()))
                await writer.drain()
                return
            await self._lend(ContainerSpec.from_json(line), reader, writer)
        except OSError:  # gone
            pass
        except (ValueError, TypeError, KeyError) as error:  # nobody of ours
            self._log.warning("lease refused", reason=str(error))
        finally:
            writer.close()

    def _cards(self) -> Iterator[ContainerCard]:
        for held in tuple(self._held.values()):
            broken = held.broken is not None or (held.loading.done() and held.loading.exception() is not None)
            state = "broken" if broken else "ready" if held.loading.done() else "loading"
            there = held.container
            if isinstance(there, Container):
                yield card_of(there, state, there.workers, there.slots)
            else:
                yield card_of(there, state, (), None)

    async def _lend(
        self, spec: ContainerSpec, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        held = self._held.get(spec.key)
        if held is None:
            held = self._held[spec.key] = self._begin(spec)
        held.leases.add(writer)
        held.print_at(writer, spec.log_places)
        left = asyncio.ensure_future(_hear_places(held, reader, writer))  # it ends when the lease does
        try:
            await asyncio.wait((left, held.loading), return_when=asyncio.FIRST_COMPLETED)
            if not left.done():
                self._answer(held, writer)
                await left
        finally:
            left.cancel()
            held.leases.discard(writer)
            held.answered.discard(writer)
            held.print_at(writer, ())
            del held.places[writer]
            if not held.leases:
                await self._end(held)

    def _begin(self, spec: ContainerSpec) -> _Held:
        def broken(fault: ModelFault) -> None:
            held.broken = fault
            for writer in held.answered:
                _write(writer, {"broken": _told(fault)})
                writer.close()

        def moved(address: str) -> None:
            for writer in held.answered:
                _write(writer, {"address": address})

        container = self._container(spec, broken, moved)
        held = _Held(container, asyncio.ensure_future(container.start()))
        return held

    def _container(
        self, spec: ContainerSpec, broken: Callable[[ModelFault], None], moved: Callable[[str], None]
    ) -> Container | ImageContainer:
        if spec.image:
            return ImageContainer(spec, self._household, broken, moved, keep=self._keep)
        address = self._folder / f"{next(self._numbers)}.sock"
        return Container(spec, address, self._forks, self._environment, broken, self._keep)

    def _answer(self, held: _Held, writer: asyncio.StreamWriter) -> None:
        error = held.loading.exception() or held.broken
        if error is None:
            held.answered.add(writer)
            loaded, address = held.loading.result(), str(held.container.address)
            size_bytes = held.container.size_bytes()
            trouble = held.told_trouble
            ready = {"ready": asdict(loaded), "address": address, "size_bytes": size_bytes}
            _write(writer, {**ready, "trouble": trouble})
            return
        if not isinstance(error, ModelFault):
            self._log.error("container does not start", reason=repr(error))
            error = ModelFailure(f"the model's process does not start: {error}")
        _write(writer, {"failed": _told(error)})
        writer.close()

    def _tell_news(self, held: _Held) -> None:
        if not held.answered:
            return
        size_bytes, trouble = held.container.size_bytes(), held.container.trouble()
        news: dict[str, Any] = {}
        if abs(size_bytes - held.told_bytes) > _CHANGE * max(size_bytes, held.told_bytes):
            held.told_bytes = news["size_bytes"] = size_bytes
        if trouble != held.told_trouble:
            held.told_trouble = news["trouble"] = trouble
        for writer in held.answered if news else ():
            _write(writer, news)

    async def _end(self, held: _Held) -> None:
        if self._held.get(held.container.spec.key) is not held:
            return
        del self._held[held.container.spec.key]
        held.loading.cancel()
        with suppress(asyncio.CancelledError, ModelFault, OSError):
            await held.loading
        await held.container.close()


async def _hear_places(held: _Held, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take in where a lease wants lines to be kept, until it ends, or says what is no such thing."""
    with suppress(OSError, ValueError, TypeError):
        while (line := await reader.readline()).endswith(b"\n"):
            held.print_at(writer, tuple(map(str, orjson.loads(line))))


async def _clear(household: Household) -> None:
    with suppress(EngineFault, OSError):  # no engine, nothing left there
        await household.clear()


def _told(fault: ModelFault) -> dict[str, Any]:
    return {"message": fault.message, "status": fault.status}


def _write(writer: asyncio.StreamWriter, members: Mapping[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(orjson.dumps(members) + b"\n")
