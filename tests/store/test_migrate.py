import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.errors import StartupError, StateUnreadable
from service.store.database import Location
from service.store.migrate import MIGRATIONS, STEPS, check_whole, upgrade_tables
from service.store.store import Delta, Store
from service.store.tables import metadata
from tests.store.older import connected, make_old, migrate

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

OPENING = """
import sys
from pathlib import Path
from service.store.migrate import upgrade_tables
from service.store.store import Delta, Store

for _ in range(2):  # new, then as it is
    upgrade_tables(Path(sys.argv[1]))
    Store(Path(sys.argv[1])).close()
print("alembic" in sys.modules)
"""


def tables_of(location: Location) -> dict[str, Any]:
    """All that a database says of its tables."""
    with connected(location) as connection:
        seen = inspect(connection)
        return {
            name: (
                [
                    (each["name"], str(each["type"]), each["nullable"])
                    for each in by_name(seen.get_columns(name))
                ],
                seen.get_pk_constraint(name)["constrained_columns"],
                by_name(seen.get_indexes(name)),
            )
            for name in seen.get_table_names()
        }


def by_name(found: list[Any]) -> list[Any]:
    return sorted(found, key=lambda each: str(each["name"]))


def step_of(location: Location) -> list[str]:
    with connected(location) as connection:
        return list(connection.scalars(text("SELECT version_num FROM alembic_version")))


def test_the_steps_are_those_that_the_code_knows() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    scripts = ScriptDirectory.from_config(config)

    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == STEPS


@pytest.mark.parametrize("migrated", [False, True], ids=["made at once", "step by step"])
def test_the_tables_are_exactly_those_of_the_code(location: Location, migrated: bool) -> None:
    if migrated:
        migrate(location, "head")
    else:
        Store(location).close()

    with connected(location) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert step_of(location) == [STEPS[-1]]


def test_steps_lead_to_the_same_tables_as_making_them_at_once(
    location: Location,
) -> None:
    Store(location).close()
    made = tables_of(location)

    with connected(location) as connection:
        for name in made:
            connection.execute(text(f"DROP TABLE {name}"))
    migrate(location, "head")

    assert tables_of(location) == made


@pytest.mark.parametrize("stamped", [True, False], ids=["at the first step", "before there were steps"])
def test_an_older_database_keeps_what_the_endpoints_file_does_not_say(
    location: Location, stamped: bool
) -> None:
    make_old(location, stamped=stamped)

    upgrade_tables(location)

    with closing(Store(location)) as store:
        assert store.changes_since(0) == Delta(7, True, facts={"default_endpoint": "iris"})
        assert store.changes_since(6).complete
        assert [gateway.member for gateway in store.gateways()] == ["1"]
        with store.change() as change:
            change.put(Resource(Kind.MODEL, "m", {}, NOON, NOON))
        assert store.changes_since(7).changed == (Resource(Kind.MODEL, "m", {}, NOON, NOON),)


def test_a_step_that_fails_leaves_the_database_as_it_was(location: Location) -> None:
    make_old(location)
    with connected(location) as connection:
        connection.execute(text("CREATE TABLE removals (mine INTEGER)"))
    before = tables_of(location)

    with pytest.raises(StartupError, match="removals"):
        upgrade_tables(location)

    assert tables_of(location) == before
    assert step_of(location) == [STEPS[0]]


def test_only_the_start_of_the_family_upgrades(location: Location) -> None:
    make_old(location)

    with pytest.raises(
        StartupError, match=r"older sagebird \(step 0001.*`sagebird serve` brings it up to date"
    ):
        Store(location)

    assert step_of(location) == [STEPS[0]]


def test_a_newer_database_is_left_alone(location: Location) -> None:
    Store(location).close()
    with connected(location) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    upgrade_tables(location)
    with pytest.raises(StartupError, match=r"newer sagebird \(step 9999, this one knows"):
        Store(location)


def test_alembic_is_only_imported_to_upgrade(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", OPENING, str(tmp_path / "state.db")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert said.stdout == "False\n"


@pytest.mark.parametrize(
    "content", [b"no database", b"SQLite format 3\0" + bytes(2000)], ids=["text", "zeros"]
)
def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)

    for open_it in (upgrade_tables, Store):
        with pytest.raises(StateUnreadable) as caught:
            open_it(path)
        assert caught.value.message == (
            f"The database {path} cannot be opened (SAGEBIRD_DATA): file is not a database."
        )
    assert path.read_bytes() == content


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store(path).close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)

    with pytest.raises(StateUnreadable, match="cannot be opened"):
        Store(path)


def test_a_database_that_cannot_be_reached_is_not_damaged(tmp_path: Path) -> None:
    """It may come back, and who keeps the processes alive goes on trying."""
    (tmp_path / "state.db").mkdir()

    with pytest.raises(StartupError) as caught:
        Store(tmp_path / "state.db")

    assert not isinstance(caught.value, StateUnreadable)


def _scattered(path: Path, piece: bytes) -> None:
    """Write a piece over every third page but the first."""
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096, 3):
            file.seek(page * 4096)
            file.write(piece)


def _changed(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: _scattered(path, b"Z" * 4096),
        lambda path: _scattered(path, bytes(4096)),
        lambda path: path.write_bytes(path.read_bytes()[:10_000]),
        lambda path: path.write_bytes(b"no database at all, but longer than its header would be" * 99),
        _as_folder,
        lambda path: _changed(path, "UPDATE facts SET value = 'no JSON'"),
        lambda path: _changed(path, "UPDATE resources SET document = '[1]'"),
        lambda path: _changed(path, "UPDATE resources SET kind = 'none of ours'"),
        lambda path: _changed(path, "DELETE FROM revisions"),
        lambda path: _changed(path, "DROP TABLE tasks"),
        lambda path: _changed(path, "ALTER TABLE tasks DROP COLUMN stopping"),
    ],
    ids=[
        *("junk", "zeros", "cut off", "another file", "a folder", "no JSON", "no object", "an unknown kind"),
        *("no revision", "a table less", "a column less"),
    ],
)
def test_damage_of_every_kind_shows_at_the_start_in_one_sentence_with_the_file(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "state.db"
    with closing(Store(path)) as store, store.change() as change:
        change.put_fact("any", "value")
        change.put(Resource(Kind.MODEL, "m", {}, NOON, NOON))
    damage(path)

    with pytest.raises(StartupError) as caught:
        check_whole(path)
    assert f"The database {path} cannot be opened (SAGEBIRD_DATA): " in caught.value.message
    assert "\n" not in caught.value.message


def test_a_sound_database_and_one_that_is_not_there_yet_pass(tmp_path: Path) -> None:
    Store(tmp_path / "state.db").close()

    check_whole(tmp_path / "state.db")
    check_whole(tmp_path / "none" / "state.db")


def test_a_database_that_is_held_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        with pytest.raises(StartupError, match="database is locked"):
            Store(path)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://me:secret@127.0.0.1:1/state", "SAGEBIRD_DATABASE"),
        ("postgres://me@127.0.0.1:1/state?password=secret", "SAGEBIRD_DATABASE"),
        ("mysql://me:secret@127.0.0.1/state", "kind mysql: only postgresql is supported"),
        ("state.db", "SAGEBIRD_DATABASE is no URL"),
        ("postgresql://127.0.0.1:secret/state", "SAGEBIRD_DATABASE is no URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(url: str, sentence: str) -> None:
    with pytest.raises(StartupError) as caught:
        Store(url)

    assert sentence in caught.value.message
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message
