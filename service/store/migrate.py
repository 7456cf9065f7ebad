"""Brings the tables of a database to the form that this version works with, or says why it cannot.

A new database gets its tables as they are now, and says so in the table where Alembic looks. An older one is
led here step by step by the family's start, before anything else opens it. Only that imports Alembic.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    inspect,
    literal,
    or_,
    select,
)
from sqlalchemy.exc import DBAPIError

from service.domain.kinds import Kind
from service.errors import StartupError, StateDamaged, StateUnreadable
from service.store.database import (
    Location,
    begin_read,
    begin_rebuild,
    describe,
    is_damage,
    open_engine,
)
from service.store.tables import metadata, resources, revisions

STEPS = ("0001", "0002", "0003", "0004")
"""The steps below `migrations/versions`, oldest first; the last leads to the tables of tables.py."""

MIGRATIONS = Path(__file__).with_name("migrations")

_FIRST, _HEAD = STEPS[0], STEPS[-1]
_step = Table(  # as Alembic itself makes it
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def check_tables(engine: Engine, location: Location) -> None:
    """See that the tables are those of this version; an empty database gets them.

    Raises:
        StartupError: they are older or newer, or the database cannot be read.
    """
    with _said_plainly(location):
        with begin_read(engine) as connection:
            step = _step_of(connection)
        if step is None:
            with begin_rebuild(engine) as connection:
                step = _step_of(connection)  # another process may have been faster
                if step is None:
                    step = _make_tables(connection)
    if step in STEPS[:-1]:
        raise StartupError(
            f"The database {describe(location)} is of an older sagebird (step {step}, this one works with "
            f"{_HEAD}): `sagebird serve` brings it up to date."
        )
    if step != _HEAD:
        raise StartupError(
            f"The database {describe(location)} was written by a newer sagebird (step {step}, this one knows "
            f"{_HEAD}): install that version, or keep the state elsewhere (SAGEBIRD_DATA, SAGEBIRD_DATABASE)."
        )


def check_whole(location: Location) -> None:
    """Read a SQLite database through once: what is damaged shows now, not in the middle of a call.

    Raises:
        StartupError: pages are not what they should be, or a row of JSON is none.
    """
    if not isinstance(location, Path):
        return
    engine = open_engine(location)
    try:
        with _said_plainly(location), begin_read(engine) as connection:
            found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
            if found != "ok":
                raise StateDamaged(found.strip().splitlines()[-1])
            if _step_of(connection) == _HEAD:
                _check_rows(connection)
    finally:
        engine.dispose()


def upgrade_tables(location: Location) -> None:
    """Lead an older database to the tables of this version, all the way or not at all.

    Raises:
        StartupError: it cannot be read.
    """
    engine = open_engine(location)
    try:
        with _said_plainly(location):
            with begin_read(engine) as connection:
                step = _step_of(connection)
            if step in STEPS[:-1]:
                with begin_rebuild(engine) as connection:
                    _upgrade(connection)
    finally:
        engine.dispose()


def _check_rows(connection: Connection) -> None:
    """See that every table is there, and that the rows which all processes begin with can be read."""
    for table in metadata.tables.values():
        connection.execute(select(table).limit(0))
        for column in table.columns:
            if isinstance(column.type, JSON):
                _refuse_any(connection, table, func.json_valid(column) == 0)
    objects = [func.json_type(resources.c[name]) != "object" for name in ("document", "state", "tags")]
    _refuse_any(connection, resources, or_(*objects))
    _refuse_any(connection, resources, resources.c.kind.not_in([kind.value for kind in Kind]))
    if connection.scalar(select(func.count()).select_from(revisions)) != 1:
        raise StateDamaged("the table revisions has not one row")


def _refuse_any(connection: Connection, table: Table, wrong: ColumnElement[bool]) -> None:
    if connection.execute(select(literal(1)).select_from(table).where(wrong).limit(1)).first() is not None:
        raise StateDamaged(f"a row of {table.name} is none of ours")


def _step_of(connection: Connection) -> str | None:
    """The step that a database is at, None for one without tables."""
    tables = inspect(connection).get_table_names()
    if _step.name in tables:
        return connection.scalar(select(_step.c.version_num))
    return _FIRST if metadata.tables["resources"].name in tables else None  # made before there were steps


def _make_tables(connection: Connection) -> str:
    metadata.create_all(connection)
    connection.execute(insert(revisions).values(id=1, revision=1, forgotten=0))
    _set_step(connection, _HEAD)
    return _HEAD


def _set_step(connection: Connection, step: str) -> None:
    _step.create(connection, checkfirst=True)
    connection.execute(insert(_step).values(version_num=step))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    if not inspect(connection).has_table(_step.name):
        _set_step(connection, _FIRST)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _said_plainly(location: Location) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, StateDamaged) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = str(cause).strip().splitlines()[0].rstrip(".")
        setting = "SAGEBIRD_DATA" if isinstance(location, Path) else "SAGEBIRD_DATABASE"
        fault = StateUnreadable if is_damage(cause) else StartupError
        raise fault(f"The database {describe(location)} cannot be opened ({setting}): {reason}.") from None
