"""How experiments have gone, as rows beside the outcomes: one row of each endpoint."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection

STATEMENT: Final = (
    "CREATE TABLE IF NOT EXISTS timelines"
    " (endpoint TEXT PRIMARY KEY, about TEXT NOT NULL, marks TEXT NOT NULL)"
)


def marks_of(connection: Connection, endpoint: str, about: str) -> list[Mapping[str, Any]]:
    """The marks of an endpoint, [] if those that are kept are about something else."""
    found = connection.exec_driver_sql(
        "SELECT marks FROM timelines WHERE endpoint = ? AND about = ?", (endpoint, about)
    ).first()
    return [] if found is None else list(orjson.loads(found[0]))


def keep_marks(connection: Connection, endpoint: str, about: str, marks: Sequence[Mapping[str, Any]]) -> None:
    """Have an endpoint's marks be these."""
    connection.exec_driver_sql(
        "INSERT OR REPLACE INTO timelines VALUES (?, ?, ?)", (endpoint, about, orjson.dumps(marks).decode())
    )
