"""What happened to each variant, minute by minute: kept over restarts, for a time, coarser as it gets older.

Gateways count upwards and write that down twice a second (`observe.counts`); once a minute the keeper writes
here by how much the numbers of each have grown. What is not written yet, readers make out themselves in the
same way: a gateway that is killed takes nothing along but its last half second, and a keeper nothing at all.
Not in here: what is drawn of it, and how CloudWatch answers for it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import accumulate, pairwise
from math import inf
from pathlib import Path
from typing import Final, TypeVar

import orjson

from service.log import Trouble, get_logger
from service.observe.counter import FINE_BOUNDS_S, InvocationCounter
from service.observe.counts import (
    MOST_GENERATIONS,
    Counts,
    Deployment,
    Pair,
    Snapshot,
    read_all,
    read_deployments,
)

MINUTE_S: Final = 60
# Datapoints of so many seconds, until they are so old: then they become part of the next longer ones.
_TIERS: Final = ((MINUTE_S, 6 * 3600), (300, 3 * 86_400), (3600, inf))
_BUSY_S: Final = 5.0
_MOST_ROUNDS: Final = 2**31 - 2
_TABLES: Final = """
create table if not exists datapoints (
  endpoint text, variant text, begin_s integer, period_s integer, numbers blob,
  primary key (endpoint, variant, begin_s, period_s)
) without rowid;
create index if not exists datapoints_by_age on datapoints (period_s, begin_s);
create table if not exists deployments (
  endpoint text, variant text, generation integer, grown_s integer, numbers blob,
  primary key (endpoint, variant, generation)
) without rowid;
create table if not exists counted (slot text primary key, born integer, deployments blob);
drop table if exists seen;
"""
_SINCE: Final = (
    "select endpoint, variant, begin_s, period_s, numbers from datapoints "
    "where begin_s + period_s > :since_s order by begin_s"
)
_SINCE_OF_ONE: Final = _SINCE.replace(" order", " and endpoint = :endpoint order")
_OLD: Final = (
    "select endpoint, variant, begin_s, period_s, numbers from datapoints where period_s = ? and begin_s < ?"
)
_ONE: Final = (
    "select endpoint, variant, begin_s, period_s, numbers from datapoints "
    "where endpoint = ? and variant = ? and begin_s = ? and period_s = ?"
)
_PUT: Final = "replace into datapoints values (?, ?, ?, ?, ?)"
_FORGET: Final = "delete from datapoints where period_s = ? and begin_s < ?"

_FLEET: Final = "select variant, numbers from deployments where endpoint = ? and generation = ?"
_PUT_DEPLOYMENT: Final = "replace into deployments values (?, ?, ?, ?, ?)"
_DEPLOYMENT: Final = "select numbers from deployments where endpoint = ? and variant = ? and generation = ?"
_FORGET_FLEETS: Final = (
    "delete from deployments where endpoint = ?1 and variant = ?2 and generation <= (select generation "
    "from deployments where endpoint = ?1 and variant = ?2 order by generation desc limit 1 offset ?3)"
)

_Of = TypeVar("_Of", Pair, Deployment)


@dataclass(frozen=True, slots=True)
class Datapoint:
    """What happened to one variant in the seconds from `begin_s` (since 1970) on."""

    endpoint: str
    variant: str
    begin_s: int
    period_s: int
    counter: InvocationCounter

    @property
    def requests(self) -> int:
        """How many were answered or failed. CloudWatch: Invocations."""
        return self.counter.requests

    @property
    def errors_4xx(self) -> int:
        """How many the caller could have mended. CloudWatch: Invocation4XXErrors."""
        return self.counter.errors_of(4)

    @property
    def errors_5xx(self) -> int:
        """How many the caller could not have mended. CloudWatch: Invocation5XXErrors."""
        return self.counter.errors_of(5)


def quantile_s(buckets: Sequence[int], share: float) -> float | None:
    """The time within which this share of requests was over, as well as buckets tell; None without any.

    `buckets` are one more than FINE_BOUNDS_S; within one, times are taken to be evenly spread.
    """
    wanted = share * sum(buckets)
    for place, until in enumerate(accumulate(buckets)):
        if buckets[place] and until >= wanted:
            low = FINE_BOUNDS_S[place - 1] if place else 0.0
            high = FINE_BOUNDS_S[min(place, len(FINE_BOUNDS_S) - 1)]
            return high - (high - low) * (until - wanted) / buckets[place]
    return None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The numbers of one slot that are in datapoints already."""

    born: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class Datapoints:
    """What was read: datapoints that are written, and the `latest`, which is not over or not written yet.

    `slots` are the counts that the latter was made out by.
    """

    written: tuple[Datapoint, ...] = ()
    latest: tuple[Datapoint, ...] = ()
    slots: tuple[Snapshot, ...] = ()
    round: int = -1
    seen: Mapping[str, _Seen] = field(default_factory=dict, repr=False)


class VariantSeries:
    """The datapoints in `file`, of processes that write their counts into the folder `metrics`."""

    def __init__(self, file: Path, metrics: Path) -> None:
        self._file = file
        self._metrics = metrics

    def read(
        self, since_s: float, now_s: float, *, endpoint: str | None = None, known: Datapoints | None = None
    ) -> Datapoints:
        """The datapoints that end after `since_s`, of one endpoint or of all, by when they begin.

        What is `known` of the same question, asked before, is not read again. Raises sqlite3.Error.
        """
        found = known or Datapoints()
        if self._file.exists():
            with _opened(self._file) as connection, _transaction(connection, "deferred"):
                at_round = _round_of(connection)
                if at_round not in (0, found.round):  # 0: there are no tables yet
                    datapoints = _datapoints(connection, since_s, endpoint)
                    found = Datapoints(tuple(datapoints), round=at_round, seen=_read_seen(connection))
        # After the transaction: what is written meanwhile counts as not written, and never twice.
        slots = tuple(read_all(self._metrics))
        grown = _grown(found.seen, slots, _variants)
        begin_s = int(now_s) // MINUTE_S * MINUTE_S
        latest = (Datapoint(*pair, begin_s, MINUTE_S, counter) for pair, counter in grown.items())
        return Datapoints(
            tuple(
                datapoint for datapoint in found.written if datapoint.begin_s + datapoint.period_s > since_s
            ),
            tuple(datapoint for datapoint in latest if endpoint is None or datapoint.endpoint == endpoint),
            slots,
            found.round,
            found.seen,
        )

    def fleet(self, endpoint: str, generation: int) -> dict[str, InvocationCounter]:
        """What happened to each variant of one fleet since it serves, also before restarts.

        Raises sqlite3.Error.
        """
        found: dict[str, InvocationCounter] = {}
        seen: Mapping[str, _Seen] = {}
        if self._file.exists():
            with _opened(self._file) as connection, _transaction(connection, "deferred"):
                seen = _read_seen(connection)
                if _has_deployments(connection):
                    rows = connection.execute(_FLEET, (endpoint, generation)).fetchall()
                    found = {name: InvocationCounter.of_numbers(orjson.loads(told)) for name, told in rows}
        # After the transaction, as in `read`.
        grown = _grown(seen, read_all(self._metrics), _deployments)
        for (name, variant, fleet), counter in grown.items():
            if (name, fleet) == (endpoint, generation):
                found.setdefault(variant, InvocationCounter()).add(counter)
        return found


class SeriesKeeping:
    """Writes datapoints, in one process at a time: minutes that are over; and clears what is too old."""

    def __init__(self, file: Path, metrics: Path, keep_s: float, now: Callable[[], datetime]) -> None:
        self._file = file
        self._metrics = metrics
        self._keep_s = keep_s
        self._now = now
        self._minute_s = self._this_minute_s()
        self._trouble = Trouble(get_logger("sagebird.series"), "series not written")

    def look(self) -> None:
        """Write a minute if one is over; what cannot be written now is written later."""
        minute_s = self._this_minute_s()
        if minute_s != self._minute_s and self._try(minute_s - MINUTE_S):
            self._minute_s = minute_s

    def catch_up(self) -> None:
        """Write what processes that are gone counted last, before their counts are cleared away."""
        written_s = [file.stat().st_mtime for file in self._metrics.glob("*.json")]
        if written_s:
            self._try(min(self._minute_s, int(max(written_s)) // MINUTE_S * MINUTE_S))

    def _this_minute_s(self) -> int:
        return int(self._now().timestamp()) // MINUTE_S * MINUTE_S

    def _try(self, begin_s: int) -> bool:
        try:
            self._write(begin_s)
        except (OSError, sqlite3.Error) as error:
            self._trouble.meet(str(error))
            if type(error) is sqlite3.DatabaseError:  # no database, or a malformed one
                self._set_aside()
            return False
        self._trouble.end()
        return True

    def _write(self, begin_s: int) -> None:
        """Have a minute hold what was counted and is in no datapoint yet. Raises OSError, sqlite3.Error."""
        with _opened(self._file) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            with _transaction(connection, "immediate"):
                for statement in _TABLES.split(";")[:-1]:
                    connection.execute(statement)
                snapshots = read_all(self._metrics)
                seen = _read_seen(connection)
                grown = _grown(seen, snapshots, _variants)
                _add(
                    connection,
                    [Datapoint(*pair, begin_s, MINUTE_S, counter) for pair, counter in grown.items()],
                )
                _add_deployments(connection, begin_s, _grown(seen, snapshots, _deployments))
                _write_seen(connection, snapshots)
                self._clear(connection, begin_s + MINUTE_S)
                connection.execute(f"pragma user_version = {_round_of(connection) % _MOST_ROUNDS + 1}")

    def _clear(self, connection: sqlite3.Connection, now_s: int) -> None:
        for (period_s, most_s), (longer_s, _) in pairwise(_TIERS):
            old = (period_s, int(now_s - most_s) // longer_s * longer_s)
            datapoints = [_datapoint(row) for row in connection.execute(_OLD, old).fetchall()]
            _add(connection, [_within(datapoint, longer_s) for datapoint in datapoints])
            connection.execute(_FORGET, old)
        for period_s, _ in _TIERS:
            connection.execute(_FORGET, (period_s, now_s - self._keep_s))
        connection.execute("delete from deployments where grown_s < ?", (now_s - self._keep_s,))

    def _set_aside(self) -> None:
        """Begin anew where the file is damaged: nothing depends on what it held."""
        with suppress(OSError):
            for ending in ("-wal", "-shm"):
                self._file.with_name(self._file.name + ending).unlink(missing_ok=True)
            self._file.replace(self._file.with_suffix(".damaged"))


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as connection:
        yield connection


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"begin {kind}")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _round_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _datapoints(connection: sqlite3.Connection, since_s: float, endpoint: str | None) -> Iterator[Datapoint]:
    asked = _SINCE if endpoint is None else _SINCE_OF_ONE
    return map(_datapoint, connection.execute(asked, {"since_s": since_s, "endpoint": endpoint}).fetchall())


def _datapoint(row: tuple[str, str, int, int, bytes]) -> Datapoint:
    return Datapoint(*row[:4], InvocationCounter.of_numbers(orjson.loads(row[4])))


def _within(datapoint: Datapoint, period_s: int) -> Datapoint:
    """The same as a part of the longer datapoint that it lies in."""
    return replace(datapoint, begin_s=datapoint.begin_s // period_s * period_s, period_s=period_s)


def _add(connection: sqlite3.Connection, datapoints: Iterable[Datapoint]) -> None:
    """Add numbers to those that are written of the same datapoint."""
    sums: dict[tuple[str, str, int, int], InvocationCounter] = {}
    for datapoint in datapoints:
        key = (datapoint.endpoint, datapoint.variant, datapoint.begin_s, datapoint.period_s)
        sums.setdefault(key, InvocationCounter()).add(datapoint.counter)
    for key, counter in sums.items():
        row = connection.execute(_ONE, key).fetchone()
        if row is not None:
            counter.add(_datapoint(row).counter)
        connection.execute(_PUT, (*key, orjson.dumps(counter.numbers())))


def _add_deployments(
    connection: sqlite3.Connection, begin_s: int, grown: Mapping[Deployment, InvocationCounter]
) -> None:
    """Add numbers to those of fleets; of a variant those of the last few fleets are kept."""
    for (endpoint, variant, generation), counter in grown.items():
        row = connection.execute(_DEPLOYMENT, (endpoint, variant, generation)).fetchone()
        total = counter if row is None else counter.plus(InvocationCounter.of_numbers(orjson.loads(row[0])))
        told = orjson.dumps(total.numbers())
        connection.execute(_PUT_DEPLOYMENT, (endpoint, variant, generation, begin_s, told))
        if row is None:
            connection.execute(_FORGET_FLEETS, (endpoint, variant, MOST_GENERATIONS))


def _variants(counts: Counts) -> Mapping[Pair, InvocationCounter]:
    return counts.invocations


def _deployments(counts: Counts) -> Mapping[Deployment, InvocationCounter]:
    """Those of fleets that are counted apart."""
    return {each: counter for each, counter in counts.deployments.items() if each[2]}


def _grown(
    seen: Mapping[str, _Seen],
    snapshots: Iterable[Snapshot],
    of: Callable[[Counts], Mapping[_Of, InvocationCounter]],
) -> dict[_Of, InvocationCounter]:
    """By how much the numbers of all slots have grown, of what had a request since."""
    sums: dict[_Of, InvocationCounter] = {}
    for snapshot in snapshots:
        before = seen.get(snapshot.slot)
        known = of(before.counts) if before is not None and before.born == snapshot.born else {}
        for key, counter in of(snapshot.counts).items():
            grown = counter.since(known[key]) if key in known else counter
            if grown.requests > 0:
                sums.setdefault(key, InvocationCounter()).add(grown)
    return sums


def _read_seen(connection: sqlite3.Connection) -> dict[str, _Seen]:
    if not _has_deployments(connection):
        return {}
    return {
        slot: _Seen(born, Counts(read_deployments(orjson.loads(told))))
        for slot, born, told in connection.execute("select slot, born, deployments from counted").fetchall()
    }


def _has_deployments(connection: sqlite3.Connection) -> bool:
    """Whether this release wrote the file already: those before kept no numbers of fleets."""
    return connection.execute("select 1 from sqlite_master where name = 'counted'").fetchone() is not None


def _write_seen(connection: sqlite3.Connection, snapshots: Iterable[Snapshot]) -> None:
    """Remember what is written now; what a slot that cannot be read said last stays."""
    for snapshot in snapshots:
        counters = snapshot.counts.deployments.items()
        told = orjson.dumps([[*each, *counter.numbers()] for each, counter in counters])
        connection.execute("replace into counted values (?, ?, ?)", (snapshot.slot, snapshot.born, told))
