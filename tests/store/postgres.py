"""A Postgres for tests: the one that SAGEBIRD_TEST_POSTGRES names, or our own where it is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url

_TIMEOUT_S = 120
_UNSAFE_BUT_QUICK = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c listen_addresses="


@contextmanager
def running_postgres() -> Iterator[str]:
    """The URL of a server on which databases may be made; the test is skipped where there is none."""
    named = os.environ.get("SAGEBIRD_TEST_POSTGRES")
    if named:
        yield named
        return
    programs = _programs()
    if programs is None:
        pytest.skip("no Postgres: SAGEBIRD_TEST_POSTGRES names none and none is installed")
    with tempfile.TemporaryDirectory(prefix="sagebird-postgres-") as name:
        yield from _serve(programs, Path(name))


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """The URL of an empty database on the server, dropped at the end."""
    name = f"sagebird_test_{uuid4().hex}"
    url = make_url(server).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}"')
        yield url.set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        engine.dispose()


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl, of the newest version; Debian keeps them off the PATH."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = sorted(debian, key=lambda path: int("0" + "".join(filter(str.isdigit, path.parts[-3]))))
    on_path = shutil.which("initdb")
    candidates = [*found, *([Path(on_path).resolve()] if on_path else [])]
    return candidates[-1].parent if candidates else None


def _serve(programs: Path, folder: Path) -> Iterator[str]:
    data, owner = folder / "data", _owner()

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, "-D", data, *arguments],
            cwd=folder,
            user=owner,
            extra_groups=None if owner is None else [],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=_TIMEOUT_S,
        )
        assert done.returncode == 0, Path(log.name).read_text()

    with (folder / "log").open("w") as log:
        if owner is not None:
            os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
        run(
            "initdb",
            "--no-sync",
            "--auth=trust",
            "--username=sagebird",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )
        run("pg_ctl", "-w", "-t", str(_TIMEOUT_S), "-o", f"{_UNSAFE_BUT_QUICK} -k '{folder}'", "start")
        try:
            yield f"postgresql://sagebird@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def _owner() -> str | None:
    """Who runs the server: root may not; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
