"""What models and jobs print, as groups, streams and events: a SQLite file of its own, for many processes.

A line is there for all who read as soon as its transaction is over, and outlives whoever wrote it; what a
power cut may take are the last seconds.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, Engine

from service.domain.log_patterns import LogPattern
from service.errors import StartupError
from service.store.database import begin_read, begin_write, open_engine, said_plainly
from service.store.log_tables import (
    EVENT_BYTES,
    FORMAT,
    STATEMENTS,
    drop_expired,
    drop_oldest,
    find_row,
    find_rows,
    used_bytes,
)

_GROUPS: Final = (
    "SELECT g.*, (SELECT COALESCE(SUM(bytes), 0) FROM log_streams WHERE log_group = g.id) AS size"
    " FROM log_groups g"
)
_EVENTS: Final = (
    "SELECT e.id, s.name AS stream, e.at_ms, e.taken_ms, e.message FROM log_events e"
    " JOIN log_streams s ON s.id = e.stream"
)
_MOST_ROUNDS: Final = 100  # of clearing at once


class LogLine(NamedTuple):
    """A line on its way into a stream; `request` is the id of the call that it was printed for, or ""."""

    group: str
    stream: str
    at_ms: int
    message: str
    request: str = ""


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A group. Its events are kept for `retention_days`, None: as long as there is room."""

    id: int
    name: str
    created_ms: int
    retention_days: int | None
    tags: Mapping[str, str]
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LogStream:
    """A stream, with the times of its first and last event; None while it has none."""

    id: int
    name: str
    created_ms: int
    first_ms: int | None
    last_ms: int | None
    taken_ms: int | None


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of a stream. Events are in the order of their time and, of one time, in which they came."""

    id: int
    stream: str
    at_ms: int
    taken_ms: int
    message: str

    @property
    def place(self) -> tuple[int, int]:
        """Where it is in that order."""
        return self.at_ms, self.id


class EventQuery(NamedTuple):
    """Which events: of these streams, from `start_ms` up to before `end_ms`, beyond the place `after`.

    Or before the place `before`, the last ones then. At most so many.
    """

    streams: Sequence[int]
    most: int
    start_ms: int | None = None
    end_ms: int | None = None
    after: tuple[int, int] | None = None
    before: tuple[int, int] | None = None
    last: bool = False
    pattern: LogPattern = LogPattern()


class LogStore:
    """All of it. For any number of threads and processes."""

    def __init__(self, file: Path) -> None:
        """Nothing is opened yet."""
        self._file = file
        self._opened: Engine | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Give all connections back."""
        if self._opened is not None:
            self._opened.dispose()
            self._opened = None

    # ---- writing

    def write(self, lines: Sequence[LogLine]) -> None:
        """Put lines into their streams, which are made where there are none."""
        with self._change() as connection:
            streams: dict[tuple[str, str], int] = {}
            for line in lines:
                place = line[:2]
                if place not in streams:
                    streams[place] = _made_stream(connection, *place)
            _put(connection, [(streams[line[:2]], line) for line in lines])

    def put_events(self, stream: LogStream, events: Sequence[tuple[int, str]]) -> None:
        """Put events, each a time in ms and a message, into a stream that is there."""
        with self._change() as connection:
            _put(connection, [(stream.id, LogLine("", "", *event)) for event in events])

    def make_group(self, name: str, tags: Mapping[str, str], kind: str = "STANDARD") -> bool:
        """Make a group; False if there is one of that name."""
        with self._change() as connection:
            made = connection.exec_driver_sql(
                "INSERT OR IGNORE INTO log_groups (name, created_ms, tags, class) VALUES (?, ?, ?, ?)",
                (name, _now_ms(), orjson.dumps(dict(tags)).decode(), kind),
            )
            return made.rowcount > 0

    def make_stream(self, group: LogGroup, name: str) -> bool:
        """Make a stream; False if its group has one of that name."""
        with self._change() as connection:
            made = connection.exec_driver_sql(
                "INSERT OR IGNORE INTO log_streams (log_group, name, created_ms) VALUES (?, ?, ?)",
                (group.id, name, _now_ms()),
            )
            return made.rowcount > 0

    def delete_group(self, group: LogGroup) -> None:
        """Remove a group with all that is in it."""
        self._execute("DELETE FROM log_groups WHERE id = ?", group.id)

    def delete_stream(self, stream: LogStream) -> None:
        """Remove a stream with all that is in it."""
        self._execute("DELETE FROM log_streams WHERE id = ?", stream.id)

    def keep_for(self, group: LogGroup, days: int | None) -> None:
        """Keep a group's events for so many days, None: as long as there is room."""
        self._execute("UPDATE log_groups SET retention_days = ? WHERE id = ?", days, group.id)

    def tag(self, group: LogGroup, tags: Mapping[str, str]) -> None:
        """Give a group these tags, and no others."""
        text = orjson.dumps(dict(tags)).decode()
        self._execute("UPDATE log_groups SET tags = ? WHERE id = ?", text, group.id)

    def clear(self, most_bytes: int) -> None:
        """Let go of what is too old, and of the oldest of those who have most while there is too much."""
        if not self._file.exists():
            return
        for _ in range(_MOST_ROUNDS):
            with self._change() as connection:
                gone = drop_expired(connection, _now_ms())
                if used_bytes(connection) > most_bytes:
                    gone += drop_oldest(connection)
            if not gone:
                return

    # ---- reading

    def group(self, name: str) -> LogGroup | None:
        """A group by its name."""
        with self._read() as connection:
            row = find_row(connection, _GROUPS + " WHERE g.name = ?", name)
        return None if row is None else _group(row)

    def groups(self, prefix: str = "", *, part: str = "", after: str = "", most: int = 50) -> list[LogGroup]:
        """Groups in the order of their names, whose names begin so, hold that and come `after` that one."""
        with self._read() as connection:
            rows = find_rows(
                connection,
                _GROUPS + " WHERE substr(g.name, 1, length(?1)) = ?1 AND instr(lower(g.name), lower(?2)) > 0"
                " AND g.name > ?3 ORDER BY g.name LIMIT ?4",
                *(prefix, part, after, most),
            )
        return [_group(row) for row in rows]

    def stream(self, group: LogGroup, name: str) -> LogStream | None:
        """A stream by its name."""
        with self._read() as connection:
            row = find_row(
                connection, "SELECT * FROM log_streams WHERE log_group = ? AND name = ?", group.id, name
            )
        return None if row is None else _stream(row)

    def streams(self, group: LogGroup, prefix: str = "") -> list[LogStream]:
        """A group's streams whose names begin so, in the order of their names."""
        with self._read() as connection:
            rows = find_rows(
                connection,
                "SELECT * FROM log_streams WHERE log_group = ? AND substr(name, 1, length(?2)) = ?2"
                " ORDER BY name",
                *(group.id, prefix),
            )
        return [_stream(row) for row in rows]

    def events(self, query: EventQuery) -> list[LogEvent]:
        """Events in their order."""
        where, values = _conditions(query)
        order = "DESC" if query.last else "ASC"
        with self._read() as connection:
            rows = find_rows(
                connection,
                f"{_EVENTS} WHERE {where} ORDER BY e.at_ms {order}, e.id {order} LIMIT ?",
                *(*values, query.most),
            )
        found = [LogEvent(**row) for row in rows]
        return found[::-1] if query.last else found

    # ---- the file

    def _execute(self, statement: str, *values: Any) -> None:
        with self._change() as connection:
            connection.exec_driver_sql(statement, values)

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        engine = self._engine()
        with said_plainly(engine), begin_write(engine, durable=False) as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        engine = self._engine()
        with said_plainly(engine), begin_read(engine) as connection:
            yield connection

    def _engine(self) -> Engine:
        with self._opening:
            if self._opened is None:
                engine = open_engine(self._file)
                with said_plainly(engine), begin_write(engine, durable=False) as connection:
                    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                    if found not in (0, FORMAT):
                        raise StartupError(
                            f"{self._file} was written by another release of sagebird: move it away."
                        )
                    for statement in () if found else (*STATEMENTS, f"PRAGMA user_version = {FORMAT}"):
                        connection.exec_driver_sql(statement)
                self._opened = engine
            return self._opened


def _conditions(query: EventQuery) -> tuple[str, list[Any]]:
    marks = ", ".join("?" * len(query.streams))
    where, values = [f"e.stream IN ({marks})"], list[Any](query.streams)
    for condition, value in (("e.at_ms >= ?", query.start_ms), ("e.at_ms < ?", query.end_ms)):
        if value is not None:
            where.append(condition)
            values.append(value)
    for condition, place in (
        ("(e.at_ms, e.id) > (?, ?)", query.after),
        ("(e.at_ms, e.id) < (?, ?)", query.before),
    ):
        if place is not None:
            where.append(condition)
            values += place
    holds = "(instr(e.message, ?) > 0 OR e.request = ?)"
    wanted, some, unwanted = query.pattern
    where += [holds] * len(wanted)
    if some:
        where.append(f"({' OR '.join([holds] * len(some))})")
    where += [f"NOT COALESCE({holds}, 0)"] * len(unwanted)
    values += [term for terms in query.pattern for term in terms for _ in range(2)]
    return " AND ".join(where), values


def _made_stream(connection: Connection, group: str, stream: str) -> int:
    now_ms = _now_ms()
    connection.exec_driver_sql(
        "INSERT OR IGNORE INTO log_groups (name, created_ms) VALUES (?, ?)", (group, now_ms)
    )
    connection.exec_driver_sql(
        "INSERT OR IGNORE INTO log_streams (log_group, name, created_ms)"
        " SELECT id, ?, ? FROM log_groups WHERE name = ?",
        (stream, now_ms, group),
    )
    found = connection.exec_driver_sql(
        "SELECT s.id FROM log_streams s JOIN log_groups g ON g.id = s.log_group"
        " WHERE g.name = ? AND s.name = ?",
        (group, stream),
    )
    return int(found.scalar_one())


def _put(connection: Connection, lines: Sequence[tuple[int, LogLine]]) -> None:
    now_ms = _now_ms()
    connection.exec_driver_sql(
        "INSERT INTO log_events (stream, at_ms, taken_ms, message, request) VALUES (?, ?, ?, ?, ?)",
        [(stream, line.at_ms, now_ms, line.message, line.request or None) for stream, line in lines],
    )
    grown: dict[int, tuple[int, int, int]] = {}
    for stream, line in lines:
        first, last, size = grown.get(stream, (line.at_ms, line.at_ms, 0))
        size += len(line.message.encode("utf-8", "replace")) + EVENT_BYTES
        grown[stream] = min(first, line.at_ms), max(last, line.at_ms), size
    connection.exec_driver_sql(
        "UPDATE log_streams SET first_ms = min(COALESCE(first_ms, ?1), ?1),"
        " last_ms = max(COALESCE(last_ms, ?2), ?2), bytes = bytes + ?3, taken_ms = ?4 WHERE id = ?5",
        [(*sizes, now_ms, stream) for stream, sizes in grown.items()],
    )


def _group(row: Mapping[str, Any]) -> LogGroup:
    return LogGroup(
        row["id"],
        row["name"],
        row["created_ms"],
        row["retention_days"],
        orjson.loads(row["tags"]),
        row["class"],
        row["size"],
    )


def _stream(row: Mapping[str, Any]) -> LogStream:
    return LogStream(*(row[name] for name in ("id", "name", "created_ms", "first_ms", "last_ms", "taken_ms")))


def _now_ms() -> int:
    return int(time() * 1000)
