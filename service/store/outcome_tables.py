"""The tables of outcomes, and what is read and written of them in few statements for many rows.

They are no part of the state: the file may be moved away, and other ones are made. What is looked up by a
list is CROSS JOINed to it: SQLite, which knows neither size, then goes through the list and not the table.
Whoever is asked about very many is given the pieces of the work.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from service.experiments.reports import LABEL, Reported
from service.pieces import Pieces

FORMAT = 1

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL,"
    " generation INTEGER NOT NULL, begun_s REAL NOT NULL, task TEXT, UNIQUE (endpoint, generation))",
    "CREATE TABLE IF NOT EXISTS arms (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, weights TEXT NOT NULL,"
    " variant TEXT NOT NULL, drawn INTEGER NOT NULL, calls INTEGER NOT NULL, users INTEGER NOT NULL,"
    " UNIQUE (run, weights, variant, drawn))",
    "CREATE TABLE IF NOT EXISTS predictions (endpoint TEXT NOT NULL, inference_id TEXT NOT NULL,"
    " arm INTEGER NOT NULL, user INTEGER, at_s REAL NOT NULL, answer TEXT,"
    " PRIMARY KEY (endpoint, inference_id)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS predictions_by_age ON predictions (at_s)",
    "CREATE TABLE IF NOT EXISTS outcomes (endpoint TEXT NOT NULL, inference_id TEXT NOT NULL,"
    " name TEXT NOT NULL, value TEXT NOT NULL, at_s REAL, taken_s REAL NOT NULL, arm INTEGER,"
    " PRIMARY KEY (endpoint, inference_id, name)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS outcomes_by_age ON outcomes (taken_s)",
    "CREATE INDEX IF NOT EXISTS outcomes_waiting ON outcomes (endpoint, taken_s) WHERE arm IS NULL",
    "CREATE TABLE IF NOT EXISTS users (run INTEGER NOT NULL, user INTEGER NOT NULL,"
    " PRIMARY KEY (run, user)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS units (run INTEGER NOT NULL, name TEXT NOT NULL, user INTEGER NOT NULL,"
    " variant TEXT NOT NULL, arm INTEGER NOT NULL, count INTEGER NOT NULL, total REAL NOT NULL,"
    " PRIMARY KEY (run, name, user, variant)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS sums (arm INTEGER NOT NULL, name TEXT NOT NULL, outcomes INTEGER NOT NULL,"
    " odd INTEGER NOT NULL, count INTEGER NOT NULL, total REAL NOT NULL, squares REAL NOT NULL,"
    " PRIMARY KEY (arm, name)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS shifts (run INTEGER NOT NULL, name TEXT NOT NULL, shift REAL NOT NULL,"
    " PRIMARY KEY (run, name)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS tallies (endpoint TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,"
    " PRIMARY KEY (endpoint, name)) WITHOUT ROWID",
)


class Arm(NamedTuple):
    """A variant of an endpoint's fleet while the weights are these; `drawn`: they led calls there."""

    endpoint: str
    generation: int
    weights: tuple[tuple[str, float], ...]
    variant: str
    drawn: bool = True


class Receipt(NamedTuple):
    """What became of reported outcomes: met their prediction, wait for it, or came before.

    Of those that came before some say something else now: the first word counts.
    """

    counted: int = 0
    waiting: int = 0
    repeated: int = 0
    contradicting: int = 0


class Predicted(NamedTuple):
    """One prediction; the text of its answer is None where that is too long or no text."""

    arm: Arm
    inference_id: str
    user: str | None
    at_s: float
    answer: str | None


class Recorded(NamedTuple):
    """What is kept of a prediction, with its arm's run and variant, and whether weights led there."""

    arm: int
    run: int
    variant: str
    drawn: bool
    user: int | None
    answer: str | None


def hashed(user: str) -> int:
    """A user as tables have him: nobody learns from it who he is, unless he guesses."""
    digest = blake2b(user.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def make_arm(connection: Connection, arm: Arm, at_s: float) -> tuple[int, int]:
    """The ids of an arm and of its run, which are made where there are none."""
    execute = connection.exec_driver_sql
    run = (arm.endpoint, arm.generation)
    execute("INSERT OR IGNORE INTO runs (endpoint, generation, begun_s) VALUES (?, ?, ?)", (*run, at_s))
    run_id = execute("SELECT id FROM runs WHERE endpoint = ? AND generation = ?", run).scalar_one()
    row = (run_id, orjson.dumps(arm.weights).decode(), arm.variant, arm.drawn)
    execute(
        "INSERT OR IGNORE INTO arms (run, weights, variant, drawn, calls, users) VALUES (?, ?, ?, ?, 0, 0)",
        row,
    )
    found = execute("SELECT id FROM arms WHERE run = ? AND weights = ? AND variant = ? AND drawn = ?", row)
    return found.scalar_one(), run_id


def newest_run(connection: Connection, endpoint: str) -> int | None:
    """The id of the run that an endpoint has now; None before its first prediction."""
    found = connection.exec_driver_sql(
        "SELECT id FROM runs WHERE endpoint = ? ORDER BY id DESC LIMIT 1", (endpoint,)
    ).first()
    return None if found is None else found[0]


def forget_outcomes(connection: Connection, endpoint: str, reports: Collection[Reported]) -> None:
    """Take outcomes away as if nobody had reported them. They waited, and are in no sums."""
    if reports:
        connection.exec_driver_sql(
            "DELETE FROM outcomes WHERE endpoint = ? AND inference_id = ? AND name = ?",
            [(endpoint, report.inference_id, report.name) for report in reports],
        )


def tally(connection: Connection, endpoint: str, numbers: Mapping[str, int]) -> None:
    """Add to what is counted of an endpoint."""
    rows = [(endpoint, name, number) for name, number in numbers.items() if number]
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO tallies VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET number = number + excluded.number",
            rows,
        )


def tallies_of(connection: Connection, endpoint: str) -> dict[str, int]:
    """What is counted of an endpoint, by name."""
    found = connection.exec_driver_sql("SELECT name, number FROM tallies WHERE endpoint = ?", (endpoint,))
    return dict(tuple(row) for row in found)


def ids_of_predictions(connection: Connection, endpoint: str, ids: Sequence[str]) -> set[str]:
    """Those of these ids that an endpoint's predictions have."""
    found = connection.exec_driver_sql(
        "SELECT p.inference_id FROM json_each(?) AS j CROSS JOIN predictions AS p"
        " ON p.endpoint = ? AND p.inference_id = j.value",
        (_list(ids), endpoint),
    )
    return {row[0] for row in found.all()}


def known_predictions(
    connection: Connection, endpoint: str, ids: Sequence[str], pieces: Pieces
) -> dict[str, Recorded]:
    """Those predictions of an endpoint that are kept, by their ids."""
    known: dict[str, Recorded] = {}
    for piece in pieces.of(dict.fromkeys(ids)):
        found = connection.exec_driver_sql(
            "SELECT p.inference_id, p.arm, a.run, a.variant, a.drawn, p.user, p.answer"
            " FROM json_each(?) AS j"
            " CROSS JOIN predictions AS p ON p.endpoint = ? AND p.inference_id = j.value"
            " CROSS JOIN arms AS a ON a.id = p.arm",
            (_list(piece), endpoint),
        )
        known.update((row[0], Recorded(*row[1:])) for row in found.all())
    return known


def known_outcomes(
    connection: Connection, endpoint: str, ids: Sequence[str], pieces: Pieces
) -> dict[tuple[str, str], Any]:
    """What was said before of these predictions, by their ids and names."""
    known: dict[tuple[str, str], Any] = {}
    for piece in pieces.of(dict.fromkeys(ids)):
        found = connection.exec_driver_sql(
            "SELECT o.inference_id, o.name, o.value FROM json_each(?) AS j"
            " CROSS JOIN outcomes AS o ON o.endpoint = ? AND o.inference_id = j.value",
            (_list(piece), endpoint),
        )
        known.update(((row[0], row[1]), orjson.loads(row[2])) for row in found.all())
    return known


def keep_outcomes(connection: Connection, rows: Sequence[tuple[Any, ...]], pieces: Pieces) -> None:
    """Write rows of outcomes that are new."""
    for piece in pieces.of(rows):
        connection.exec_driver_sql("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)", piece)


def waiting_outcomes(connection: Connection, endpoint: str, ids: Sequence[str]) -> list[Reported]:
    """Outcomes of these predictions that came before them."""
    found = connection.exec_driver_sql(
        "SELECT o.inference_id, o.name, o.value FROM json_each(?) AS j"
        " CROSS JOIN outcomes AS o ON o.endpoint = ? AND o.inference_id = j.value WHERE o.arm IS NULL",
        (_list(ids), endpoint),
    )
    return [
        Reported(inference_id, name, orjson.loads(value), None) for inference_id, name, value in found.all()
    ]


def labelled(connection: Connection, run: int, most: int) -> list[tuple[Recorded, str]]:
    """Predictions of a run with their labels, the newest, as many as `most`; all of them below 0."""
    found = connection.exec_driver_sql(
        "SELECT p.arm, a.run, a.variant, a.drawn, p.user, p.answer, o.value FROM arms AS a"
        " JOIN predictions AS p ON p.arm = a.id JOIN outcomes AS o"
        " ON o.endpoint = p.endpoint AND o.inference_id = p.inference_id AND o.name = ?"
        " WHERE a.run = ? AND o.arm IS NOT NULL ORDER BY o.taken_s DESC LIMIT ?",
        (LABEL, run, most),
    )
    return [(Recorded(*row[:6]), orjson.loads(row[6])) for row in found]


def labelled_since(connection: Connection, run: int, since_s: float, most: int) -> list[tuple[Recorded, str]]:
    """Predictions of a run since some time with their labels, as many as `most`, the newest."""
    found = connection.exec_driver_sql(
        "SELECT p.arm, a.run, a.variant, a.drawn, p.user, p.answer, o.value FROM predictions AS p"
        " CROSS JOIN arms AS a ON a.id = p.arm AND a.run = ? CROSS JOIN outcomes AS o"
        " ON o.endpoint = p.endpoint AND o.inference_id = p.inference_id AND o.name = ?"
        " WHERE p.at_s >= ? AND o.arm IS NOT NULL ORDER BY p.at_s DESC LIMIT ?",
        (run, LABEL, since_s, most),
    )
    return [(Recorded(*row[:6]), orjson.loads(row[6])) for row in found]


def count_picks(
    connection: Connection, calls: Mapping[int, int], users: Mapping[tuple[int, int], int]
) -> None:
    """Count calls of nobody by arm, and users that a run has not seen before, by the arm that has them."""
    new = [key for key in users if not _is_known(connection, *key)]
    arms = {arm: [number, 0] for arm, number in calls.items()}
    for key in new:
        arms.setdefault(users[key], [0, 0])[1] += 1
    if new:
        connection.exec_driver_sql("INSERT INTO users VALUES (?, ?)", new)
    if arms:
        connection.exec_driver_sql(
            "UPDATE arms SET calls = calls + ?, users = users + ? WHERE id = ?",
            [(*numbers, arm) for arm, numbers in arms.items()],
        )


def _is_known(connection: Connection, run: int, user: int) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM users WHERE run = ? AND user = ?", (run, user))
    return found.first() is not None


def _list(values: Sequence[str]) -> str:
    return orjson.dumps([*dict.fromkeys(values)]).decode()
