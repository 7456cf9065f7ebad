"""Values of metrics that clients have told, summed by the second or the minute. In the caller's transaction.

What is older becomes part of longer times, and goes at last; there are never more than so many metrics and so
many rows.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection

from service.domain.cloudwatch.statistics import Sample, Summary
from service.errors import ServiceFault

MOST_METRICS: Final = 10_000
_MOST_ROWS: Final = 1_000_000
# Seconds of a row, until it is so old. Source: CloudWatch's retention of metrics.
_TIERS: Final = ((1, 3 * 3600), (60, 15 * 86_400), (300, 63 * 86_400), (3600, inf))

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS metrics (id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL,"
    " dimensions TEXT NOT NULL, told_s INTEGER NOT NULL, UNIQUE (namespace, name, dimensions))",
    "CREATE TABLE IF NOT EXISTS samples (metric INTEGER NOT NULL, begin_s INTEGER NOT NULL,"
    " period_s INTEGER NOT NULL, unit TEXT NOT NULL, number REAL NOT NULL, total REAL NOT NULL,"
    " least REAL NOT NULL, greatest REAL NOT NULL, spans TEXT NOT NULL,"
    " PRIMARY KEY (metric, begin_s, period_s, unit)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS samples_by_age ON samples (period_s, begin_s)",
)

_PUT: Final = (
    "REPLACE INTO samples (metric, begin_s, period_s, unit, number, total, least, greatest, spans)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_READ: Final = "SELECT metric, begin_s, period_s, unit, number, total, least, greatest, spans FROM samples"
_ONE: Final = f"{_READ} WHERE metric = ? AND begin_s = ? AND period_s = ? AND unit = ?"
_OLD: Final = f"{_READ} WHERE period_s = ? AND begin_s < ?"
_OF_ONE: Final = (
    f"{_READ} JOIN metrics ON metrics.id = samples.metric WHERE namespace = ? AND name = ? AND dimensions = ?"
    " AND begin_s >= ? AND begin_s < ? ORDER BY begin_s"
)
_OF_METRIC: Final = "SELECT id FROM metrics WHERE namespace = ? AND name = ? AND dimensions = ?"

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


class Metric(NamedTuple):
    """What a metric is known by."""

    namespace: str
    name: str
    dimensions: Dimensions = ()


class ToldSample(NamedTuple):
    """A sample of a metric, by the second or by the minute."""

    metric: Metric
    sample: Sample
    period_s: int


def put_samples(connection: Connection, told: Sequence[ToldSample], now_s: float) -> None:
    """Add samples to what is known. Raises ServiceFault: there are as many metrics as are kept."""
    for metric, sample, period_s in told:
        number = _metric_id(connection, metric, now_s)
        begin_s = sample.begin_s // period_s * period_s
        _add(connection, (number, begin_s, period_s, sample.unit), sample.summary)


def read_samples(connection: Connection, metric: Metric, since_s: float, until_s: float) -> Iterator[Sample]:
    """What was told of a metric, of times that begin from one moment up to before another."""
    given = (metric.namespace, metric.name, _text(metric.dimensions), since_s, until_s)
    for row in connection.exec_driver_sql(_OF_ONE, given):
        yield Sample(row[1], row[3], _summary(row))


def known_metrics(connection: Connection, told_since_s: float) -> list[Metric]:
    """The metrics of which something was told since then."""
    rows = connection.exec_driver_sql(
        "SELECT namespace, name, dimensions FROM metrics WHERE told_s >= ?", (told_since_s,)
    )
    return [Metric(row[0], row[1], tuple(map(tuple, orjson.loads(row[2])))) for row in rows]


def clear_samples(connection: Connection, now_s: float, keep_s: float) -> None:
    """Make what is old part of longer times, and let go of what is too old, or too much."""
    execute = connection.exec_driver_sql
    for (period_s, most_s), (longer_s, _) in pairwise(_TIERS):
        old = (period_s, int(now_s - most_s) // longer_s * longer_s)
        for row in execute(_OLD, old).all():
            _add(connection, (row[0], row[1] // longer_s * longer_s, longer_s, row[3]), _summary(row))
        execute("DELETE FROM samples WHERE period_s = ? AND begin_s < ?", old)
    for period_s, _ in _TIERS:
        execute("DELETE FROM samples WHERE period_s = ? AND begin_s < ?", (period_s, now_s - keep_s))
    beyond = execute("SELECT count(*) FROM samples").scalar_one() - _MOST_ROWS
    if beyond > 0:
        execute(
            "DELETE FROM samples WHERE (metric, begin_s, period_s, unit) IN"
            " (SELECT metric, begin_s, period_s, unit FROM samples ORDER BY begin_s LIMIT ?)",
            (beyond,),
        )
    execute(
        "DELETE FROM metrics WHERE told_s < ? AND id NOT IN (SELECT metric FROM samples)", (now_s - keep_s,)
    )


def _metric_id(connection: Connection, metric: Metric, now_s: float) -> int:
    key = (metric.namespace, metric.name, _text(metric.dimensions))
    found = connection.exec_driver_sql(_OF_METRIC, key).scalar()
    if found is not None:
        connection.exec_driver_sql("UPDATE metrics SET told_s = ? WHERE id = ?", (int(now_s), found))
        return int(found)
    if connection.exec_driver_sql("SELECT count(*) FROM metrics").scalar_one() >= MOST_METRICS:
        raise ServiceFault("LimitExceeded", f"No more than {MOST_METRICS} metrics are kept.")
    connection.exec_driver_sql(
        "INSERT INTO metrics (namespace, name, dimensions, told_s) VALUES (?, ?, ?, ?)", (*key, int(now_s))
    )
    return int(connection.exec_driver_sql(_OF_METRIC, key).scalar_one())


def _add(connection: Connection, key: tuple[int, int, int, str], summary: Summary) -> None:
    row = connection.exec_driver_sql(_ONE, key).first()
    if row is not None:
        summary = _summary(row).plus(summary)
    spans = [[*span, count] for span, count in summary.spans.items()]
    connection.exec_driver_sql(
        _PUT, (*key, summary.count, summary.total, summary.least, summary.greatest, _text(spans))
    )


def _summary(row: Any) -> Summary:
    spans = {(low, high): count for low, high, count in orjson.loads(row[8])}
    return Summary(row[4], row[5], row[6], row[7], spans)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
