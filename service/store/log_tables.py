"""The tables of what models print, and which of it goes first.

They are no part of the state: the file may be moved away, and other ones are made.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

FORMAT: Final = 1

STATEMENTS: Final = (
    "CREATE TABLE IF NOT EXISTS log_groups (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " created_ms INTEGER NOT NULL, retention_days INTEGER, tags TEXT NOT NULL DEFAULT '{}',"
    " class TEXT NOT NULL DEFAULT 'STANDARD')",
    "CREATE TABLE IF NOT EXISTS log_streams (id INTEGER PRIMARY KEY, log_group INTEGER NOT NULL"
    " REFERENCES log_groups(id) ON DELETE CASCADE, name TEXT NOT NULL, created_ms INTEGER NOT NULL,"
    " first_ms INTEGER, last_ms INTEGER, taken_ms INTEGER, bytes INTEGER NOT NULL DEFAULT 0,"
    " UNIQUE (log_group, name))",
    # AUTOINCREMENT: the number of an event that is gone is not given to another one.
    "CREATE TABLE IF NOT EXISTS log_events (id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL"
    " REFERENCES log_streams(id) ON DELETE CASCADE, at_ms INTEGER NOT NULL, taken_ms INTEGER NOT NULL,"
    " message TEXT NOT NULL, request TEXT)",
    "CREATE INDEX IF NOT EXISTS log_events_in_order ON log_events (stream, at_ms, id)",
    "CREATE INDEX IF NOT EXISTS log_events_of_request ON log_events (request) WHERE request IS NOT NULL",
)

EVENT_BYTES: Final = 26
"""What an event counts beside its message. Source: PutLogEvents, as of its limits."""

_MOST_AT_ONCE: Final = 1_000


def find_row(connection: Connection, statement: str, *values: Any) -> Mapping[str, Any] | None:
    """The first row of an answer."""
    found = connection.exec_driver_sql(statement, values).mappings().first()
    return None if found is None else dict(found)


def find_rows(connection: Connection, statement: str, *values: Any) -> list[Mapping[str, Any]]:
    """All rows of an answer."""
    return [dict(row) for row in connection.exec_driver_sql(statement, values).mappings()]


def used_bytes(connection: Connection) -> int:
    """What the tables take of their file; what is free in it will be used before it grows."""
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    return int(pages - free) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def drop_expired(connection: Connection, now_ms: int) -> int:
    """Let go of some events that are older than their group keeps them; how many these were."""
    return _drop(
        connection,
        "SELECT e.id, e.stream, length(CAST(e.message AS BLOB)) + ? AS bytes FROM log_events e"
        " JOIN log_streams s ON s.id = e.stream JOIN log_groups g ON g.id = s.log_group"
        " WHERE g.retention_days IS NOT NULL AND e.at_ms < ? - g.retention_days * 86400000 LIMIT ?",
        (EVENT_BYTES, now_ms, _MOST_AT_ONCE),
    )


def drop_oldest(connection: Connection) -> int:
    """Let go of the oldest events of the group that has most: none go for those of somebody louder."""
    largest = connection.exec_driver_sql(
        "SELECT log_group FROM log_streams GROUP BY log_group ORDER BY SUM(bytes) DESC LIMIT 1"
    ).scalar()
    return _drop(
        connection,
        "SELECT e.id, e.stream, length(CAST(e.message AS BLOB)) + ? AS bytes FROM log_events e"
        " WHERE e.stream IN (SELECT id FROM log_streams WHERE log_group = ?) ORDER BY e.id LIMIT ?",
        (EVENT_BYTES, largest, _MOST_AT_ONCE),
    )


def _drop(connection: Connection, statement: str, values: tuple[Any, ...]) -> int:
    gone = connection.exec_driver_sql(statement, values).all()
    if not gone:
        return 0
    lost: dict[int, int] = {}
    for _, stream, size in gone:
        lost[stream] = lost.get(stream, 0) + size
    connection.exec_driver_sql("DELETE FROM log_events WHERE id = ?", [(row[0],) for row in gone])
    connection.exec_driver_sql(
        "UPDATE log_streams SET bytes = max(0, bytes - ?) WHERE id = ?",
        [(size, stream) for stream, size in lost.items()],
    )
    return len(gone)
