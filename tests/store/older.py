"""Databases of former versions, made by the steps that led to them."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from service.store.database import Location, begin_rebuild, open_engine
from service.store.migrate import MIGRATIONS, STEPS

_ROWS = (
    "INSERT INTO resources (kind, name, document, status, failure_reason, state, declared, created_at,"
    " modified_at) VALUES ('model', 'm', '{\"a\": 1}', 'Failed', 'it said \"no\"', '{}', '1', 1.5, 2.5)",
    "INSERT INTO facts (name, value) VALUES ('default_endpoint', '\"iris\"')",
    "INSERT INTO revisions (id, revision) VALUES (1, 7)",
    "INSERT INTO gateways (pid, revision, reports, models) VALUES (1, 7, '[]', '[]')",
)


@contextmanager
def connected(location: Location) -> Iterator[Connection]:
    engine = open_engine(location)
    try:
        with begin_rebuild(engine) as connection:
            yield connection
    finally:
        engine.dispose()


def migrate(location: Location, step: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with connected(location) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, step)


def make_old(location: Location, *, stamped: bool = True) -> None:
    """A database of the first step, with something in it."""
    migrate(location, STEPS[0])
    with connected(location) as connection:
        for statement in _ROWS:
            connection.execute(text(statement))
        if not stamped:
            connection.execute(text("DROP TABLE alembic_version"))
