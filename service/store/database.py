"""Opens the database, SQLite or Postgres: one writer at a time, no waiting readers, nothing done is lost."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import StartupError, Unavailable
from service.store.tables import revisions

Location = Path | str
"""Where a database is: the file of a SQLite one, or the URL of a Postgres one."""

_WAIT_S = 5
_REBUILD_LOCK = 7_243_224_733  # any number that no other program is likely to lock
_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg")


def open_engine(location: Location) -> Engine:
    """An engine over the database at `location`; nothing is read yet.

    A second writer waits for the first one up to five seconds.

    Raises:
        StartupError: the URL is none, not one of Postgres, or its driver is not installed.
    """
    return _open_sqlite(location) if isinstance(location, Path) else _open_postgres(location)


def describe(location: Location) -> str:
    """The database's place for people, without its password."""
    if isinstance(location, Path):
        return str(location)
    return make_url(location).difference_update_query(["password"]).render_as_string()


@contextmanager
def said_busy() -> Iterator[None]:
    """Have what waited too long for its turn, or found no server, say so.

    Raises:
        Unavailable: the same transaction may work later.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("The database has too many callers at once: try again.") from error
    except OperationalError as error:
        if not _passes(error.orig):
            raise
        raise Unavailable("The database is busy or away: try again.") from error


def _passes(error: BaseException | None) -> bool:
    """Whether trying again may help. Postgres's driver counts nothing else among operational errors."""
    if not isinstance(error, sqlite3.Error):
        return True
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def begin_read(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one moment and changes nothing."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection:
        yield connection


@contextmanager
def begin_write(engine: Engine, *, durable: bool = True) -> Iterator[Connection]:
    """Open a transaction that holds the write lock from its start; an exception undoes all of it.

    It is on disk before it returns. What need not outlive a power cut can be spared that and, in Postgres,
    the lock: `durable` False.
    """
    with engine.execution_options(writes=True, durable=durable).begin() as connection:
        if engine.dialect.name == "postgresql":
            if durable:
                connection.execute(select(revisions.c.id).with_for_update())
            else:
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
        yield connection


@contextmanager
def begin_rebuild(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that may change the tables themselves and keeps all who want to do so apart."""
    with engine.execution_options(writes=True, durable=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_REBUILD_LOCK})")
        yield connection


def upsert(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Write a row, in place of the one with the same primary key if there is one."""
    insert: Any = sqlite.insert
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # its import takes long, and few need it

        insert = postgresql.insert
    keys = [column.name for column in table.primary_key]
    rest = {name: value for name, value in row.items() if name not in keys}
    connection.execute(insert(table).values(row).on_conflict_do_update(index_elements=keys, set_=rest))


def _open_sqlite(path: Path) -> Engine:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A path may hold what means something in the text of a URL.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, connect_args={"timeout": _WAIT_S}, json_deserializer=_read_json)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at the start of a change: a lock taken midway cannot wait its turn in SQLite."""
    options = connection.get_execution_options()
    if options.get("writes", False):
        connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options['durable'] else 'NORMAL'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def _open_postgres(text: str) -> Engine:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise StartupError("SAGEBIRD_DATABASE is no URL such as postgresql://user@host/name.") from None
    if url.drivername not in _POSTGRES:
        raise StartupError(
            f"SAGEBIRD_DATABASE names a database of kind {url.drivername}: only postgresql is supported, and "
            "SQLite in the data folder when it is empty."
        )
    # A Postgres that was started anew has broken the pool's connections: each is tried before it is used.
    arguments = {"connect_timeout": _WAIT_S, "options": f"-c lock_timeout={_WAIT_S}s"}
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=arguments,
            pool_pre_ping=True,
            json_deserializer=_read_json,
        )
    except ImportError:
        raise StartupError(
            "SAGEBIRD_DATABASE names a Postgres database, which needs a driver: pip install "
            "'sagebird[postgres]'."
        ) from None


def _read_json(text: str) -> Any:
    """Read JSON three times as quickly as Python's own reader, which still has to read half surrogates."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
