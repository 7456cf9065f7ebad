"""The databases that every test of the store's contract runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.database import Location
from service.store.store import Store
from tests.store.postgres import new_database, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a Postgres server."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, memory_path: Path) -> Iterator[Location]:
    """Where an empty database is, one of each kind."""
    if request.param == "sqlite":
        yield memory_path / "state.db"
    else:
        with new_database(request.getfixturevalue("postgres")) as url:
            yield url


@pytest.fixture
def store(location: Location) -> Iterator[Store]:
    """A store over an empty database."""
    opened = Store(location)
    yield opened
    opened.close()
