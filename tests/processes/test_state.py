"""The database that the family keeps its state in: another one, an old one, one that is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.store import Store
from tests.conftest import StartServer
from tests.harness.gateways import CSV, declare, make_model, variants
from tests.store.older import make_old
from tests.store.postgres import new_database, running_postgres


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    make_model(folder / "a", 1)
    declare(folder, variants("e", a=1))
    return folder


@pytest.fixture
def postgres() -> Iterator[str]:
    with running_postgres() as server, new_database(server) as url:
        yield url


def test_the_state_can_be_in_postgres(start_server: StartServer, models: Path, postgres: str) -> None:
    for _ in range(2):  # made, then found again
        server = start_server(models, database=postgres)
        assert server.invoke("e", "1", **CSV).text == "[1.0]"
        assert server.stop() == 0
        assert not (server.data / "state.db").exists()
        assert postgres not in server.log.read_text()


def test_an_older_database_is_brought_up_to_date(
    start_server: StartServer, models: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    make_old(data / "state.db", stamped=False)

    server = start_server(models, data)

    assert server.invoke("e", "1", **CSV).text == "[1.0]"
    assert server.stop() == 0
    store = Store(data / "state.db")
    assert store.fact("registered_models") is None
    assert store.revision() > 7
    store.close()


def test_a_file_that_is_no_database_ends_the_start_with_one_sentence(
    start_server: StartServer, models: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "state.db").write_text("not a database, but somebody's own words")

    server = start_server(models, data, wait=False)

    assert server.process.wait(60) == 3
    sentences = server.log.read_text().splitlines()
    assert len(sentences) == 1
    assert sentences[0].endswith("cannot be opened (SAGEBIRD_DATA): file is not a database.")
    assert (data / "state.db").read_text() == "not a database, but somebody's own words"
