"""What one process counts, and how the numbers of all processes are kept side by side in files.

Counting is plain addition on the event loop's own objects; whoever wants sums over processes reads the files.
No metric names and no text formats in here: those are `observe.exposition`.
"""

import os
import time
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

import orjson
import psutil

from service.log import get_logger
from service.observe.counter import (
    FINE_BOUNDS_S,
    InvocationCounter,
    add_numbers,
    increase,
    read_seconds,
    read_whole,
)

# How many models, and how many variants, one process counts by name: callers may name endlessly many.
MAX_NAMES = 1000
OTHER = "other"
# How many fleets of an endpoint are counted apart: requests may still be under way in those before the last.
MOST_GENERATIONS = 4
# A slot not flushed for so long is dead, even if its process id lives (again); flushes come every 0.5 s.
STALE_S = 10.0

_FORMAT = 3
_OTHERS = (OTHER, OTHER)
_NO_FLEET = 0  # the generation of what is no fleet's, and of all fleets that are no longer counted apart

Pair = tuple[str, str]
"""An endpoint and one of its variants."""

Deployment = tuple[str, str, int]
"""The same, and the generation of the fleet: a variant of another one is another model by the same name."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(slots=True)
class Counts:
    """Everything that only ever grows; the keys are labels, e.g. (model, outcome)."""

    deployments: dict[Deployment, InvocationCounter] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    loads: dict[tuple[str, str], int] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)
    evictions: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def invocations(self) -> dict[Pair, InvocationCounter]:
        """What happened to each variant, in whatever fleets. To be read only."""
        found: dict[Pair, InvocationCounter] = {}
        for (endpoint, variant, _), counter in list(self.deployments.items()):  # one step, see add()
            pair = (endpoint, variant)
            found[pair] = found[pair].plus(counter) if pair in found else counter
        return found

    def used(self) -> "Counts":
        """These counts without the variants that had no request: of many endpoints most are idle."""
        known = list(self.deployments.items())  # as above
        return replace(self, deployments={each: counter for each, counter in known if counter.requests})

    def add(self, other: "Counts") -> None:
        """Add another process's counts to these."""
        # list(), here and in add_numbers, is one step: the event loop may add a key meanwhile.
        for deployment, counter in list(other.deployments.items()):
            self.deployments.setdefault(deployment, InvocationCounter()).add(counter)
        add_numbers(self.refusals, other.refusals)
        add_numbers(self.loads, other.loads)
        add_numbers(self.load_seconds, other.load_seconds)
        add_numbers(self.evictions, other.evictions)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What one process holds at this moment."""

    cache_bytes: int = 0
    cache_budget_bytes: int = 0
    models_loaded: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers of one slot at one moment; `live` tells whether its process `pid` still stands behind them.

    They grow as long as `born` is the same: by that counts are known which begin anew.
    """

    slot: str
    counts: Counts
    gauges: Gauges
    live: bool
    born: int = field(default=0, compare=False)
    pid: int = field(default=0, compare=False)


class Registry:
    """The counts of one process, kept in `directory/<slot>.json`; one process at a time owns a slot.

    A process that takes over a slot goes on from the counts in its file, so that sums never go back;
    gauges start anew.

    Raises:
        ValueError: `slot` is not a plain file name.
    """

    def __init__(self, directory: Path, slot: str) -> None:
        if not slot.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"slot {slot!r} must consist of letters, digits, - and _")
        directory.mkdir(parents=True, exist_ok=True)
        self.slot = slot
        self._path = directory / f"{slot}.json"
        self._counts, self._born = Counts(), time.time_ns()
        if self._path.exists() and (kept := _read(self._path)) is not None:
            self._counts, self._born = kept.counts, kept.born
        self._generations: dict[Pair, list[int]] = {}
        for endpoint, variant, generation in self._counts.deployments:
            self._generations.setdefault((endpoint, variant), []).append(generation)
        self._models = set(self._counts.load_seconds) | {model for model, _ in self._counts.evictions}
        self._gauges: Callable[[], Gauges] = Gauges
        self._counting = Lock()  # models load and leave on other threads than the event loop's
        self._flushing = Lock()
        self._flushed = b""

    def invocation(self, endpoint: str, variant: str, generation: int = _NO_FLEET) -> InvocationCounter:
        """The counter of a variant of a fleet, always the same object: ask per snapshot, not per request.

        Of a variant the last few generations are counted apart.
        """
        with self._counting:
            pair = _bound((_make_label(endpoint), _make_label(variant)), self._generations, _OTHERS)
            deployment = (*pair, _NO_FLEET if pair == _OTHERS else generation)
            known = self._generations.setdefault(pair, [])
            if deployment[2] not in known:
                known.append(deployment[2])
                self._counts.deployments[deployment] = InvocationCounter()
                if len(known) - (_NO_FLEET in known) > MOST_GENERATIONS:
                    self._put_together(pair, known)
            return self._counts.deployments[deployment]

    def count_refusal(self, code: str) -> None:
        """Count a request that failed before it reached an endpoint, by AWS code."""
        with self._counting:
            increase(self._counts.refusals, code, 1)

    def count_load(self, model: str, outcome: Literal["loaded", "failed"], seconds: float) -> None:
        """Count one attempt to load a model and the seconds it took; callable from any thread."""
        with self._counting:
            name = self._model(model)
            increase(self._counts.loads, (name, outcome), 1)
            increase(self._counts.load_seconds, name, seconds)

    def count_eviction(self, model: str, reason: str) -> None:
        """Count one model unloaded: for memory, idle, changed, deleted; callable from any thread."""
        with self._counting:
            increase(self._counts.evictions, (self._model(model), reason), 1)

    def watch_gauges(self, read: Callable[[], Gauges]) -> None:
        """Have `read` called for the gauges at every flush, possibly on another thread."""
        self._gauges = read

    def snapshot(self) -> Snapshot:
        """A copy of the numbers as they are now, of the variants that had a request."""
        counts = Counts()
        with self._counting:
            counts.add(self._counts.used())
        return Snapshot(self.slot, counts, self._gauges(), live=True, born=self._born, pid=os.getpid())

    def flush(self) -> Snapshot:
        """Write the numbers to the slot's file, all or nothing, and return them; callable from any thread.

        Raises:
            OSError: the file can not be written.
        """
        with self._flushing:
            snapshot = self.snapshot()
            data = orjson.dumps(_to_document(snapshot))
            if data != self._flushed or not _touch(self._path):
                self._flushed = b""
                # No fsync: the file has to outlive this process, not the machine; a damaged one is skipped.
                temporary = self._path.with_suffix(".tmp")
                temporary.write_bytes(data)
                temporary.replace(self._path)
                self._flushed = data
            return snapshot

    def _put_together(self, pair: Pair, known: list[int]) -> None:
        """Count the oldest fleet of a variant with those before it."""
        oldest = min(generation for generation in known if generation != _NO_FLEET)
        before = self._counts.deployments.pop((*pair, oldest))
        self._counts.deployments.setdefault((*pair, _NO_FLEET), InvocationCounter()).add(before)
        known[:] = [_NO_FLEET, *(each for each in known if each not in (oldest, _NO_FLEET))]

    def _model(self, name: str) -> str:
        bound = _bound(_make_label(name), self._models, OTHER)
        self._models.add(bound)
        return bound


def read_all(directory: Path) -> list[Snapshot]:
    """What every slot wrote last, in the order of slots; a damaged file is skipped with a log line."""
    snapshots = (_read(path) for path in sorted(directory.glob("*.json")))
    return [snapshot for snapshot in snapshots if snapshot is not None]


def _bound(name: _Key, known: Collection[_Key], other: _Key) -> _Key:
    return name if name in known or len(known) < MAX_NAMES else other


def _make_label(name: str) -> str:
    """A name that any encoder takes: folder names may hold bytes that are no UTF-8 (lone surrogates)."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _touch(path: Path) -> bool:
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _to_document(snapshot: Snapshot) -> dict[str, Any]:
    counts, gauges = snapshot.counts, snapshot.gauges
    return {
        "format": _FORMAT,
        "pid": os.getpid(),
        "born": snapshot.born,
        "bounds_s": FINE_BOUNDS_S,
        "gauges": {gauge.name: getattr(gauges, gauge.name) for gauge in fields(gauges)},
        "deployments": [[*each, *counter.numbers()] for each, counter in counts.deployments.items()],
        "refusals": list(counts.refusals.items()),
        "loads": [[*key, number] for key, number in counts.loads.items()],
        "load_seconds": list(counts.load_seconds.items()),
        "evictions": [[*key, number] for key, number in counts.evictions.items()],
    }


def _read(path: Path) -> Snapshot | None:
    try:
        document = orjson.loads(path.read_bytes())
        fresh = time.time() - path.stat().st_mtime < STALE_S
        return _from_document(path.stem, document, fresh)
    except (OSError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        get_logger(__name__).warning("metrics file skipped", path=str(path), reason=repr(error))
        return None


def _from_document(slot: str, document: dict[str, Any], fresh: bool) -> Snapshot:
    if document["format"] != _FORMAT or tuple(document["bounds_s"]) != FINE_BOUNDS_S:
        raise ValueError("written by another version")
    counts = Counts(
        deployments=read_deployments(document["deployments"]),
        refusals={str(code): read_whole(number) for code, number in document["refusals"]},
        loads={
            (str(model), str(outcome)): read_whole(number) for model, outcome, number in document["loads"]
        },
        load_seconds={str(model): read_seconds(number) for model, number in document["load_seconds"]},
        evictions={
            (str(model), str(why)): read_whole(number) for model, why, number in document["evictions"]
        },
    )
    gauges = Gauges(**{name: read_whole(number) for name, number in document["gauges"].items()})
    pid = read_whole(document["pid"])
    live = fresh and psutil.pid_exists(pid)
    return Snapshot(slot, counts, gauges, live, read_whole(document["born"]), pid)


def read_deployments(told: list[list[Any]]) -> dict[Deployment, InvocationCounter]:
    """The counters that were told as lists of a deployment and its numbers. Raises ValueError, TypeError."""
    return {
        (str(endpoint), str(variant), read_whole(generation)): InvocationCounter.of_numbers(numbers)
        for endpoint, variant, generation, *numbers in told
    }
