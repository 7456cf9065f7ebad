"""Documents by service, kind and name, with tags; and what happened to them. In the caller's transaction."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS documents (service TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " document TEXT NOT NULL, tags TEXT NOT NULL, created_s REAL NOT NULL,"
    " PRIMARY KEY (service, kind, name)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, service TEXT NOT NULL, kind TEXT NOT NULL,"
    " name TEXT NOT NULL, at_s REAL NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS events_by_name ON events (service, kind, name, at_s)",
    "CREATE INDEX IF NOT EXISTS events_by_age ON events (at_s)",
)

_READ = "SELECT service, kind, name, document, tags, created_s FROM documents WHERE service = ? AND kind = ?"
_KEPT_S = 14 * 86_400.0  # Source: CloudWatch's history of alarms
_MOST_EVENTS = 200
_EVENTS = "SELECT name, at_s, document FROM events WHERE service = ? AND kind = ?"


@dataclass(frozen=True, slots=True)
class KeptDocument:
    """One document: `document` is fit for JSON."""

    service: str
    kind: str
    name: str
    document: dict[str, Any]
    created_s: float
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentEvent:
    """What happened to one of them."""

    name: str
    at_s: float
    document: dict[str, Any]


def find_document(connection: Connection, service: str, kind: str, name: str) -> KeptDocument | None:
    """The document of that name."""
    row = connection.exec_driver_sql(f"{_READ} AND name = ?", (service, kind, name)).first()
    return None if row is None else _document(row)


def all_documents(connection: Connection, service: str, kind: str) -> list[KeptDocument]:
    """All of a kind, by name."""
    return [_document(row) for row in connection.exec_driver_sql(f"{_READ} ORDER BY name", (service, kind))]


def put_document(connection: Connection, kept: KeptDocument) -> None:
    """Keep one, in place of the one of its name."""
    connection.exec_driver_sql(
        "REPLACE INTO documents (service, kind, name, document, tags, created_s) VALUES (?, ?, ?, ?, ?, ?)",
        (kept.service, kept.kind, kept.name, _text(kept.document), _text(kept.tags), kept.created_s),
    )


def remove_document(connection: Connection, service: str, kind: str, name: str) -> bool:
    """Remove one; False if there was none."""
    removed = "DELETE FROM documents WHERE service = ? AND kind = ? AND name = ?"
    return connection.exec_driver_sql(removed, (service, kind, name)).rowcount > 0


def note_event(connection: Connection, service: str, kind: str, event: DocumentEvent) -> None:
    """Remember what happened; what is too old, or too much of one name, is let go of."""
    of_name = (service, kind, event.name)
    execute = connection.exec_driver_sql
    execute(
        "INSERT INTO events (service, kind, name, at_s, document) VALUES (?, ?, ?, ?, ?)",
        (*of_name, event.at_s, _text(event.document)),
    )
    execute("DELETE FROM events WHERE at_s < ?", (event.at_s - _KEPT_S,))
    execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE service = ? AND kind = ? AND name = ?"
        " ORDER BY id DESC LIMIT -1 OFFSET ?)",
        (*of_name, _MOST_EVENTS),
    )


def events_of(
    connection: Connection, service: str, kind: str, name: str | None = None
) -> list[DocumentEvent]:
    """What happened, of one name or of all, the newest last."""
    of_name = "" if name is None else " AND name = ?"
    given = (service, kind) if name is None else (service, kind, name)
    rows = connection.exec_driver_sql(f"{_EVENTS}{of_name} ORDER BY id", given)
    return [DocumentEvent(row[0], row[1], orjson.loads(row[2])) for row in rows]


def _document(row: Any) -> KeptDocument:
    return KeptDocument(row[0], row[1], row[2], orjson.loads(row[3]), row[5], orjson.loads(row[4]))


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
