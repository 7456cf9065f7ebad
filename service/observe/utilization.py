"""What variants have used of the machine, minute by minute: kept over restarts, coarser as it gets older.

In the file of the series of requests, in a table of its own: these numbers are there without requests, too.
Not in here: how it is found out what a variant uses.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from service.domain.cloudwatch.statistics import Summary

_MINUTE_S: Final = 60
# As of requests: datapoints of so many seconds, until they are so old.
_TIERS: Final = ((_MINUTE_S, 6 * 3600), (300, 3 * 86_400), (3600, inf))
_BUSY_S: Final = 5.0
_KINDS: Final = ("cpu", "memory", "disk")
_PARTS: Final = ("total", "least", "greatest")
_COLUMNS: Final = ", ".join(f"{kind}_{part}" for kind in _KINDS for part in _PARTS)
_TABLE: Final = (
    "create table if not exists utilization (endpoint text, variant text, begin_s integer, period_s integer,"
    f" number integer, {_COLUMNS.replace(',', ' real,')} real,"
    " primary key (endpoint, variant, begin_s, period_s)) without rowid"
)
_INDEX: Final = "create index if not exists utilization_by_age on utilization (period_s, begin_s)"
_KNOWN: Final = "select 1 from sqlite_master where name = 'utilization'"
_JOIN: Final = " on conflict do update set number = number + excluded.number, " + ", ".join(
    f"{kind}_total = {kind}_total + excluded.{kind}_total,"
    f" {kind}_least = min({kind}_least, excluded.{kind}_least),"
    f" {kind}_greatest = max({kind}_greatest, excluded.{kind}_greatest)"
    for kind in _KINDS
)
_VALUES: Final = ", ?" * (len(_KINDS) * len(_PARTS))
_PUT: Final = f"insert into utilization values (?, ?, ?, ?, 1{_VALUES}){_JOIN}"  # noqa: S608 - ours
_LENGTHEN: Final = (
    f"insert into utilization select endpoint, variant, begin_s / ?1 * ?1, ?1, number, {_COLUMNS}"  # noqa: S608 - ours
    f" from utilization where period_s = ?2 and begin_s < ?3{_JOIN}"
)
_FORGET: Final = "delete from utilization where period_s = ? and begin_s < ?"
_READ: Final = (
    f"select begin_s, number, {_COLUMNS} from utilization where endpoint = ? and variant = ?"  # noqa: S608 - ours
    " and begin_s + period_s > ? order by begin_s"
)
_PAIRS: Final = "select distinct endpoint, variant from utilization where begin_s + period_s > ?"


class Utilization(NamedTuple):
    """What a variant uses at one moment, in per cent: of one CPU, of the memory, and of the disk."""

    endpoint: str
    variant: str
    cpu: float
    memory: float
    disk: float


@dataclass(frozen=True, slots=True)
class UtilizationPoint:
    """What was seen of one variant in the time from `begin_s` (since 1970) on, in per cent."""

    begin_s: int
    cpu: Summary
    memory: Summary
    disk: Summary


class UtilizationSeries:
    """What variants have used, in `file`, which need not be there yet."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, endpoint: str, variant: str, since_s: float) -> list[UtilizationPoint]:
        """What was seen of one variant in times that end after `since_s`. Raises sqlite3.Error."""
        return [_point(row) for row in self._rows(_READ, (endpoint, variant, since_s))]

    def pairs(self, since_s: float) -> set[tuple[str, str]]:
        """The endpoints and variants of which anything was seen since then. Raises sqlite3.Error."""
        return {(str(endpoint), str(variant)) for endpoint, variant in self._rows(_PAIRS, (since_s,))}

    def _rows(self, asked: str, given: tuple[str | float, ...]) -> list[tuple[str | float, ...]]:
        if not self._file.exists():
            return []
        with _opened(self._file) as connection:
            if connection.execute(_KNOWN).fetchone() is None:
                return []
            return connection.execute(asked, given).fetchall()


class UtilizationKeeping:
    """Writes down what is seen, in one process at a time, for `keep_s` seconds."""

    def __init__(self, file: Path, keep_s: float) -> None:
        self._file = file
        self._keep_s = keep_s
        self._cleared_s = 0

    def add(self, seen: Iterable[Utilization], now_s: float) -> None:
        """Have this minute hold what was seen, beside what it holds already. Raises sqlite3.Error."""
        begin_s = int(now_s) // _MINUTE_S * _MINUTE_S
        with _opened(self._file) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute("begin immediate")
            connection.execute(_TABLE)
            connection.execute(_INDEX)
            connection.executemany(_PUT, (_row(each, begin_s) for each in seen))
            if begin_s != self._cleared_s:
                self._clear(connection, begin_s)
            connection.execute("commit")
        self._cleared_s = begin_s

    def _clear(self, connection: sqlite3.Connection, now_s: int) -> None:
        for (period_s, most_s), (longer_s, _) in pairwise(_TIERS):
            until_s = int(now_s - most_s) // longer_s * longer_s
            connection.execute(_LENGTHEN, (longer_s, period_s, until_s))
            connection.execute(_FORGET, (period_s, until_s))
        for period_s, _ in _TIERS:
            connection.execute(_FORGET, (period_s, now_s - self._keep_s))


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection; what is not committed when it ends was never written."""
    with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as connection:
        yield connection


def _row(seen: Utilization, begin_s: int) -> tuple[str | float, ...]:
    values = (value for value in (seen.cpu, seen.memory, seen.disk) for _ in _PARTS)
    return (seen.endpoint, seen.variant, begin_s, _MINUTE_S, *values)


def _point(row: tuple[str | float, ...]) -> UtilizationPoint:
    begin_s, number, *values = map(float, row)
    summaries = (
        # Percentiles are as if the values were evenly spread between the least and the greatest.
        Summary(number, total, least, greatest, {(least, greatest): number})
        for total, least, greatest in zip(values[::3], values[1::3], values[2::3], strict=True)
    )
    return UtilizationPoint(int(begin_s), *summaries)
