"""Which containers stand and what their processes are at, asked of their host: for who shows it to people."""

import socket
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

import orjson

from service.hosting.container_card import ContainerCard
from service.hosting.containers.deaths import Deaths
from service.hosting.containers.printed import Printed
from service.hosting.containers.spec import ContainerSpec

SURVEY: Final = b'"survey"\n'
"""What is sent instead of the spec of a container that is wanted."""

_PATIENCE_S: Final = 1.0
_MOST: Final = 200
_MOST_CHARS: Final = 300


class _Place(Protocol):
    """One place of a container's for a process; `pid` is 0 while there is none."""

    pid: int
    slot: int


class _Records(Protocol):
    """What the processes in all places are at."""

    count: int

    def busy_s(self, slot: int) -> float | None: ...

    def calls(self, slot: int) -> int: ...


class Surveyable(Protocol):
    """A container that is looked at."""

    spec: ContainerSpec
    deaths: Deaths
    printed: Printed

    def size_bytes(self) -> int:
        """Memory that it holds."""
        ...

    def cpu_s(self) -> float:
        """Seconds of CPUs that it has used."""
        ...


def card_of(
    container: Surveyable, state: str, workers: Iterable[_Place], records: _Records | None
) -> ContainerCard:
    """What is to be said of a container that is `loading`, `ready` or `broken`.

    Of one of an image nobody here knows processes: it has no `records`.
    """
    living = [worker for worker in workers if worker.pid]
    busy_s = [] if records is None else [records.busy_s(worker.slot) for worker in living]
    at_calls = [each for each in busy_s if each is not None]
    return ContainerCard(
        model=container.spec.name,
        image=container.spec.image,
        state="busy" if at_calls and state == "ready" else state,
        pids=tuple(worker.pid for worker in living),
        busy=len(at_calls),
        busy_s=max(at_calls, default=0.0),
        calls=None if records is None else sum(records.calls(slot) for slot in range(records.count)),
        size_bytes=container.size_bytes(),
        restarts=container.deaths.number,
        reason=container.deaths.last[:_MOST_CHARS],
        cpu_s=container.cpu_s(),
        key=container.spec.key,
        places=tuple(sorted(container.printed.places)),
    )


def told(cards: Iterable[ContainerCard]) -> bytes:
    """Cards as they are sent."""
    return orjson.dumps([asdict(card) for card in cards]) + b"\n"


def survey(door: Path) -> list[ContainerCard]:
    """The containers of the host behind a door, none if it does not answer. Blocks, a moment."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(door))
            connection.sendall(SURVEY)
            with connection.makefile("rb") as reader:
                found = orjson.loads(reader.readline())
    except (OSError, orjson.JSONDecodeError):  # it is away, and comes back
        return []
    lists = ("pids", "places")
    return [
        ContainerCard(**{**each, **{name: tuple(each[name]) for name in lists}}) for each in found[:_MOST]
    ]
