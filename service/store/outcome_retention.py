"""How much is kept of predictions and outcomes, and what goes first where that is too much.

Outcomes of predictions that nobody knows may be made up by whoever may report: so where there are too many,
those that wait go before those that are counted, of the endpoint that has most of them.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from service.errors import Unavailable
from service.store.outcome_tables import tally

CHUNK: Final = 10_000
"""How many rows of a table are let go of at a time."""

_SLACK: Final = 0.1  # beyond what is kept: it is let go of in a while
_WAITING: Final = 0.1  # of all that are kept, which those of one endpoint may be where there are too many
_FULL = "More outcomes are reported than can be kept at once: try again."


class Retention:
    """The bounds of a file of outcomes. Outcomes are counted once, and then kept count of."""

    def __init__(self, window_s: float, most: int) -> None:
        """Rows are kept for `window_s` seconds, and `most` of each table."""
        self._window_s = window_s
        self._most = most
        self._rows: int | None = None  # of outcomes; None: they have to be counted

    def forget(self) -> None:
        """Count anew: a transaction failed."""
        self._rows = None

    def is_over(self) -> bool:
        """Whether there are more outcomes than are kept."""
        return self._rows is not None and self._rows > self._most

    def add(self, connection: Connection, number: int) -> None:
        """Count outcomes that are about to be written. Raises Unavailable: others have to go first."""
        rows = self._count(connection) + number
        if number and rows > self._most + max(CHUNK, int(self._most * _SLACK)):
            raise Unavailable(_FULL)
        self._rows = rows

    def clear(self, connection: Connection, now_s: float) -> bool:
        """Let go of what is too old or too much: of a lot, a part. True if there may be more."""
        before_s = now_s - self._window_s
        cleared = self._clear_predictions(connection, before_s)
        old = _outcomes(connection, "taken_s < ?", before_s, CHUNK)
        if not old:
            old = self._too_many(connection)
        self._let_go(connection, old)
        return max(cleared, len(old)) >= CHUNK

    def _clear_predictions(self, connection: Connection, before_s: float) -> int:
        execute = connection.exec_driver_sql
        too_many = execute("SELECT COUNT(*) FROM predictions").scalar_one() > self._most
        return execute(
            "DELETE FROM predictions WHERE (endpoint, inference_id) IN (SELECT endpoint, inference_id"
            " FROM predictions ORDER BY at_s LIMIT ?) AND (at_s < ? OR ?)",
            (CHUNK, before_s, too_many),
        ).rowcount

    def _too_many(self, connection: Connection) -> Sequence[Any]:
        """Some of the outcomes that are beyond what is kept."""
        number = min(self._count(connection) - self._most, CHUNK)
        if number <= 0:
            return []
        most = connection.exec_driver_sql(
            "SELECT endpoint, number FROM tallies WHERE name = 'waiting' ORDER BY number DESC LIMIT 1"
        ).first()
        if most is not None and most.number > self._most * _WAITING:
            return _outcomes(connection, "arm IS NULL AND endpoint = ?", most.endpoint, number)
        return _outcomes(connection, "taken_s > ?", 0, number)

    def _let_go(self, connection: Connection, rows: Sequence[Any]) -> None:
        """Forget outcomes, and their predictions: else what is reported once more would count once more."""
        if not rows:
            return
        execute = connection.exec_driver_sql
        gone = [tuple(row[:3]) for row in rows]
        execute("DELETE FROM outcomes WHERE endpoint = ? AND inference_id = ? AND name = ?", gone)
        execute(
            "DELETE FROM predictions WHERE endpoint = ? AND inference_id = ?", [each[:2] for each in gone]
        )
        for endpoint, number in Counter(row.endpoint for row in rows if row.arm is None).items():
            tally(connection, endpoint, {"unknown": number, "waiting": -number})
        self._rows = self._count(connection) - len(rows)

    def _count(self, connection: Connection) -> int:
        if self._rows is None:
            self._rows = int(connection.exec_driver_sql("SELECT COUNT(*) FROM outcomes").scalar_one())
        return self._rows


def _outcomes(connection: Connection, where: str, value: Any, number: int) -> Sequence[Any]:
    """The oldest outcomes of a kind."""
    return connection.exec_driver_sql(
        f"SELECT endpoint, inference_id, name, arm FROM outcomes WHERE {where} ORDER BY taken_s LIMIT ?",  # noqa: S608 - ours
        (value, number),
    ).all()
