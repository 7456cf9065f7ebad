"""The database: its tables, and how SQLite is opened so that nothing acknowledged is lost."""

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
)

metadata = MetaData()

resources = Table(
    "resources",
    metadata,
    Column("kind", String(40), primary_key=True),
    Column("name", String(120), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("status", String(40), nullable=False),
    Column("failure_reason", String(1024), nullable=False),
    Column("state", JSON, nullable=False),
    Column("declared", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("modified_at", Float, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", JSON, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("pid", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Column("reports", JSON, nullable=False),
    Column("models", JSON, nullable=False),
)


def open_database(path: Path) -> Engine:
    """Open (and make) the SQLite database at `path`: write-ahead log, every commit on disk before it returns.

    Readers never wait for the one writer; a second writer waits up to five seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    url = URL.create(
        "sqlite", database=str(path)
    )  # a path may hold what means something in the text of a URL
    engine = create_engine(url, connect_args={"timeout": 5.0})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    with begin_write(engine) as connection:
        metadata.create_all(connection)
    return engine


def begin_write(engine: Engine) -> AbstractContextManager[Connection]:
    """Open a transaction that holds the write lock from its start; an exception undoes all of it."""
    return engine.execution_options(writes=True).begin()


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Take the write lock at the start of a change: a lock taken midway cannot wait its turn in SQLite."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
