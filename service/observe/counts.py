"""What one process counts, and how the numbers of all processes are kept side by side in files.

Counting is plain addition on the event loop's own objects; whoever wants sums over processes reads the files.
No metric names and no text formats in here: those are `observe.exposition`.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

import orjson
import psutil

from service.log import get_logger

# Upper ends of the latency buckets in seconds, the last one without end; a small model answers in under 1 ms.
BOUNDS_S = (
    *(0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02),
    *(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
# Of those that series keep: a model that is compiled answers in tens of microseconds.
FINE_BOUNDS_S = (
    *(0.00001, 0.000015, 0.00002, 0.00003, 0.00005, 0.000075, 0.0001, 0.00015, 0.0002, 0.0003),
    *BOUNDS_S,
)
# How many models, and how many variants, one process counts by name: callers may name endlessly many.
MAX_NAMES = 1000
OTHER = "other"
# A slot not flushed for so long is dead, even if its process id lives (again); flushes come every 0.5 s.
STALE_S = 10.0

_FORMAT = 2
_FINER = len(FINE_BOUNDS_S) - len(BOUNDS_S)
_Key = TypeVar("_Key", bound=Hashable)
_Number = TypeVar("_Number", int, float)


@dataclass(slots=True)
class InvocationCounter:
    """What happened to the requests of one variant; counted from one thread only, the event loop's.

    `latency`, `model` and `overhead` are requests by how long they took, by how long the model was at them,
    and by the rest of that (one more than FINE_BOUNDS_S); `seconds` is their whole latency and
    `model_seconds` the model's part of it; `errors` counts by AWS code and class of the status (4 or 5).
    """

    latency: list[int] = field(default_factory=lambda: [0] * (len(FINE_BOUNDS_S) + 1))
    model: list[int] = field(default_factory=lambda: [0] * (len(FINE_BOUNDS_S) + 1))
    overhead: list[int] = field(default_factory=lambda: [0] * (len(FINE_BOUNDS_S) + 1))
    seconds: float = 0.0
    model_seconds: float = 0.0
    errors: dict[tuple[str, int], int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests were counted, answered or not."""
        return sum(self.latency)

    @property
    def buckets(self) -> list[int]:
        """Requests by latency, one more than BOUNDS_S."""
        return [sum(self.latency[: _FINER + 1]), *self.latency[_FINER + 1 :]]

    def errors_of(self, status_class: Literal[4, 5]) -> int:
        """How many requests failed with a status of this class."""
        return sum(number for (_, of_class), number in self.errors.items() if of_class == status_class)

    def count(self, duration_s: float, model_s: float = 0.0, requests: int = 1) -> None:
        """Count an answered request, or several that took as long: whole latency, and the model's part."""
        self.latency[bisect_left(FINE_BOUNDS_S, duration_s)] += requests
        self.model[bisect_left(FINE_BOUNDS_S, model_s)] += requests
        self.overhead[bisect_left(FINE_BOUNDS_S, duration_s - model_s)] += requests
        self.seconds += duration_s * requests
        self.model_seconds += model_s * requests

    def count_error(
        self, duration_s: float, code: str, status_class: Literal[4, 5], model_s: float = 0.0
    ) -> None:
        """Count one failed request too; for a ModelError `status_class` is that of the container's status.

        Source: Invocation4XXErrors and Invocation5XXErrors go by the container (contract E.1).
        """
        self.count(duration_s, model_s)
        _increase(self.errors, (code, status_class), 1)

    def add(self, other: "InvocationCounter") -> None:
        """Add another process's numbers to these."""
        self.latency = _sums(self.latency, other.latency)
        self.model = _sums(self.model, other.model)
        self.overhead = _sums(self.overhead, other.overhead)
        self.seconds += other.seconds
        self.model_seconds += other.model_seconds
        _add(self.errors, other.errors)

    def since(self, before: "InvocationCounter") -> "InvocationCounter":
        """What was counted after these numbers were those of `before`."""
        errors = {key: number - before.errors.get(key, 0) for key, number in self.errors.items()}
        return InvocationCounter(
            _differences(self.latency, before.latency),
            _differences(self.model, before.model),
            _differences(self.overhead, before.overhead),
            max(0.0, self.seconds - before.seconds),
            max(0.0, self.model_seconds - before.model_seconds),
            {key: number for key, number in errors.items() if number},
        )

    def numbers(self) -> list[Any]:
        """These numbers as a list, fit for JSON."""
        errors = [[*key, number] for key, number in self.errors.items()]
        return [self.latency, self.model, self.overhead, self.seconds, self.model_seconds, errors]

    @classmethod
    def of_numbers(cls, numbers: list[Any]) -> "InvocationCounter":
        """The counter that such a list was made of. Raises ValueError, TypeError: it is none."""
        latency, model, overhead, seconds, model_seconds, errors = numbers
        return cls(
            _histogram(latency),
            _histogram(model),
            _histogram(overhead),
            _seconds(seconds),
            _seconds(model_seconds),
            {(str(code), _whole(status_class)): _whole(number) for code, status_class, number in errors},
        )


@dataclass(slots=True)
class Counts:
    """Everything that only ever grows; the keys are labels, e.g. (endpoint, variant) or (model, outcome)."""

    invocations: dict[tuple[str, str], InvocationCounter] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    loads: dict[tuple[str, str], int] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)
    evictions: dict[tuple[str, str], int] = field(default_factory=dict)

    def used(self) -> "Counts":
        """These counts without the variants that had no request: of many endpoints most are idle."""
        known = list(self.invocations.items())  # one step, see add()
        return replace(self, invocations={pair: counter for pair, counter in known if counter.requests})

    def add(self, other: "Counts") -> None:
        """Add another process's counts to these."""
        # list(), here and in _add, is one step for the interpreter: the event loop may add a key meanwhile.
        for pair, counter in list(other.invocations.items()):
            self.invocations.setdefault(pair, InvocationCounter()).add(counter)
        _add(self.refusals, other.refusals)
        _add(self.loads, other.loads)
        _add(self.load_seconds, other.load_seconds)
        _add(self.evictions, other.evictions)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What one process holds at this moment."""

    cache_bytes: int = 0
    cache_budget_bytes: int = 0
    models_loaded: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers of one slot at one moment; `live` tells whether a process still stands behind them.

    They grow as long as `born` is the same: by that counts are known which begin anew.
    """

    slot: str
    counts: Counts
    gauges: Gauges
    live: bool
    born: int = field(default=0, compare=False)


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
        self._models = set(self._counts.load_seconds) | {model for model, _ in self._counts.evictions}
        self._gauges: Callable[[], Gauges] = Gauges
        self._counting = Lock()  # models load and leave on other threads than the event loop's
        self._flushing = Lock()
        self._flushed = b""

    def invocation(self, endpoint: str, variant: str) -> InvocationCounter:
        """The counter of a variant, always the same object: ask per routing snapshot, not per request."""
        pair = (_make_label(endpoint), _make_label(variant))
        with self._counting:
            known = self._counts.invocations
            return known.setdefault(_bound(pair, known, (OTHER, OTHER)), InvocationCounter())

    def count_refusal(self, code: str) -> None:
        """Count a request that failed before it reached an endpoint, by AWS code."""
        with self._counting:
            _increase(self._counts.refusals, code, 1)

    def count_load(self, model: str, outcome: Literal["loaded", "failed"], seconds: float) -> None:
        """Count one attempt to load a model and the seconds it took; callable from any thread."""
        with self._counting:
            name = self._model(model)
            _increase(self._counts.loads, (name, outcome), 1)
            _increase(self._counts.load_seconds, name, seconds)

    def count_eviction(self, model: str, reason: str) -> None:
        """Count one model unloaded: for memory, idle, changed, deleted; callable from any thread."""
        with self._counting:
            _increase(self._counts.evictions, (self._model(model), reason), 1)

    def watch_gauges(self, read: Callable[[], Gauges]) -> None:
        """Have `read` called for the gauges at every flush, possibly on another thread."""
        self._gauges = read

    def snapshot(self) -> Snapshot:
        """A copy of the numbers as they are now, of the variants that had a request."""
        counts = Counts()
        with self._counting:
            counts.add(self._counts.used())
        return Snapshot(self.slot, counts, self._gauges(), live=True, born=self._born)

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

    def _model(self, name: str) -> str:
        bound = _bound(_make_label(name), self._models, OTHER)
        self._models.add(bound)
        return bound


def read_all(directory: Path) -> list[Snapshot]:
    """What every slot wrote last, in the order of slots; a damaged file is skipped with a log line."""
    snapshots = (_read(path) for path in sorted(directory.glob("*.json")))
    return [snapshot for snapshot in snapshots if snapshot is not None]


def _sums(mine: list[int], theirs: list[int]) -> list[int]:
    return [one + other for one, other in zip(mine, theirs, strict=True)]


def _differences(mine: list[int], before: list[int]) -> list[int]:
    return [one - other for one, other in zip(mine, before, strict=True)]


def _add(into: dict[_Key, _Number], other: dict[_Key, _Number]) -> None:
    for key, number in list(other.items()):
        _increase(into, key, number)


def _increase(into: dict[_Key, _Number], key: _Key, number: _Number) -> None:
    into[key] = into[key] + number if key in into else number


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
        "invocations": [[*pair, *counter.numbers()] for pair, counter in counts.invocations.items()],
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
        invocations={
            (str(endpoint), str(variant)): InvocationCounter.of_numbers(numbers)
            for endpoint, variant, *numbers in document["invocations"]
        },
        refusals={str(code): _whole(number) for code, number in document["refusals"]},
        loads={(str(model), str(outcome)): _whole(number) for model, outcome, number in document["loads"]},
        load_seconds={str(model): _seconds(number) for model, number in document["load_seconds"]},
        evictions={(str(model), str(why)): _whole(number) for model, why, number in document["evictions"]},
    )
    gauges = Gauges(**{name: _whole(number) for name, number in document["gauges"].items()})
    live = fresh and psutil.pid_exists(_whole(document["pid"]))
    return Snapshot(slot, counts, gauges, live, _whole(document["born"]))


def _histogram(buckets: list[Any]) -> list[int]:
    if len(buckets) != len(FINE_BOUNDS_S) + 1:
        raise ValueError("not as many buckets as bounds")
    return [_whole(number) for number in buckets]


def _whole(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no count")
    return number


def _seconds(number: Any) -> float:
    if type(number) not in (int, float) or not isfinite(number) or number < 0:
        raise ValueError(f"{number!r} is no sum of seconds")
    return float(number)
