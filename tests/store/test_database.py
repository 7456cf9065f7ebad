import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.store.database import begin_write, open_engine
from service.store.store import Store


@pytest.mark.parametrize("name", ["a?mode=memory&x=1", "100%20", "a#b", "näme", ":memory:"])
def test_the_data_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "deeper" / "state.db"

    store = Store(path)
    store.close()

    assert path.is_file()


def test_a_commit_is_on_disk_before_it_returns_unless_it_may_be_lost(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "state.db")

    for durable, synchronous in ((True, 2), (False, 1), (True, 2)):
        with begin_write(engine, durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
    engine.dispose()


def test_a_writer_holds_the_lock_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with (
        closing(Store(path)) as store,
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
    ):
        with store.change(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

        other.execute("BEGIN IMMEDIATE")
