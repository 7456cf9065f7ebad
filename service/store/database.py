"""Opens the database, SQLite or Postgres: one writer at a time, no waiting readers, nothing done is lost."""

import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import SagebirdError, StartupError, StateDamaged, Unavailable
from service.store.tables import revisions

Location = Path | str
"""Where a database is: the file of a SQLite one, or the URL of a Postgres one."""

_WAIT_S = 5
_REBUILD_LOCK = 7_243_224_733  # any number that no other program is likely to lock
_LEAST_FREE_BYTES = 65_536  # SQLite makes its index of the log in pieces of 32 KiB
_AILING = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
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
def said_plainly(engine: Engine) -> Iterator[None]:
    """Have a database that cannot be used say so, in a sentence.

    Raises:
        Unavailable: too many want it, it is away, or its disk is full: the same transaction may work later.
        StateDamaged: what it holds cannot be read.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise Unavailable("The database has too many callers at once: try again.") from error
    except _NoJson as error:
        raise StateDamaged(f"The database {engine.url.database} is damaged: a row holds no JSON.") from error
    except DatabaseError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise _sqlite_fault(error.orig, Path(str(engine.url.database))) or error from error
        if not isinstance(error, OperationalError):
            raise
        # Postgres's driver counts only what may pass among operational errors.
        raise Unavailable("The database is busy or away: try again.") from error


def _sqlite_fault(error: sqlite3.Error, file: Path) -> SagebirdError | None:
    """What a fault of SQLite means; None if it is one of our own statement."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable("The database is busy or away: try again.")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(file.parent)):
        return Unavailable(
            f"The data folder {file.parent} is full: nothing can be changed until it has room."
        )
    if code in _AILING:
        return Unavailable(f"The database {file} cannot be used: {error}.")
    if is_damage(error):
        return StateDamaged(f"The database {file} is damaged: {error}.")
    return None


def is_damage(error: BaseException | None) -> bool:
    """Whether a database is damaged, or none: nobody can read it, now or later."""
    if isinstance(error, StateDamaged):
        return True
    if not isinstance(error, sqlite3.Error):
        return False
    # Python itself finds texts that are not UTF-8, and gives them no code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in _DAMAGED or "Could not decode" in str(error)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        return False


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
        pass
    try:
        return json.loads(text)
    except ValueError as error:
        raise _NoJson from error


class _NoJson(Exception):
    """A column of JSON holds something else."""
