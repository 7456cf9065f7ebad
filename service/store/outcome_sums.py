"""Sums of outcomes by arm and name, in which each user counts once, as the mean of his outcomes.

Calls of one user are no independent draws where he always has the same variant, so intervals would be too
narrow if each counted. A call of nobody counts for itself. All sums of a run and a name are from one shift,
which its first outcome decides.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import Connection

from service.experiments.sums import Sums, shift_for
from service.store.outcome_tables import Recorded


class Earned(NamedTuple):
    """The outcome of one prediction: its arm, the arm's run and variant, whose it was, and what it is."""

    arm: int
    run: int
    variant: str
    user: int | None
    name: str
    value: float

    @classmethod
    def of(cls, found: Recorded, name: str, value: float) -> "Earned":
        """The outcome of a prediction that is kept."""
        return cls(found.arm, found.run, found.variant, found.user, name, value)


class _Step:
    """What is added to the sums of an arm: outcomes, those of them that are neither 0 nor 1, and sums."""

    __slots__ = ("count", "odd", "outcomes", "squares", "total")

    def __init__(self) -> None:
        self.outcomes = self.odd = self.count = 0
        self.total = self.squares = 0.0


class SumBook:
    """The sums, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, earned: Sequence[Earned]) -> None:
        """Add outcomes that were not added before."""
        steps: dict[tuple[int, str], _Step] = {}
        units = self._units([each for each in earned if each.user is not None])
        shifts = self._shifts({(each.run, each.name): each.value for each in reversed(earned)})
        for arm, run, variant, user, name, value in earned:
            shift = shifts[run, name]
            count, total = 1, value - shift
            squares = total * total
            if user is not None:
                key = (run, name, user, variant)
                arm, before, earlier = units.get(key, (arm, 0, 0.0))
                units[key] = arm, before + 1, earlier + value
                count, total, squares = _moved(before, earlier, earlier + value, shift)
            step = steps.get((arm, name))
            if step is None:
                step = steps[arm, name] = _Step()
            step.outcomes += 1
            step.odd += value not in (0.0, 1.0)
            step.count += count
            step.total += total
            step.squares += squares
        self._write(steps, units)

    def forget(self, run: int, name: str) -> None:
        """Take away all that was added under a name."""
        self._connection.exec_driver_sql(
            "DELETE FROM sums WHERE name = ? AND arm IN (SELECT id FROM arms WHERE run = ?)", (name, run)
        )
        for statement in (
            "DELETE FROM units WHERE run = ? AND name = ?",
            "DELETE FROM shifts WHERE run = ? AND name = ?",
        ):
            self._connection.exec_driver_sql(statement, (run, name))

    def of_arm(self, arm: int) -> dict[str, Sums]:
        """The sums of an arm by name."""
        found = self._connection.exec_driver_sql(
            "SELECT s.name, s.count, s.total, s.squares, COALESCE(h.shift, 0.0) FROM sums AS s"
            " JOIN arms AS a ON a.id = s.arm LEFT JOIN shifts AS h ON h.run = a.run AND h.name = s.name"
            " WHERE s.arm = ?",
            (arm,),
        )
        return {name: Sums(*figures) for name, *figures in found}

    def outcomes(self, run: int) -> dict[str, tuple[int, bool]]:
        """How many outcomes a run has by name, and whether all of them are 0 or 1."""
        found = self._connection.exec_driver_sql(
            "SELECT s.name, SUM(s.outcomes), SUM(s.odd) FROM arms AS a JOIN sums AS s ON s.arm = a.id"
            " WHERE a.run = ? GROUP BY s.name",
            (run,),
        )
        return {name: (count, not odd) for name, count, odd in found}

    def _shifts(self, firsts: Mapping[tuple[int, str], float]) -> dict[tuple[int, str], float]:
        """The shift of each run and name; of what has no sums yet it is that of the first outcome."""
        execute = self._connection.exec_driver_sql
        shifts: dict[tuple[int, str], float] = {}
        for key, first in firsts.items():
            found = execute("SELECT shift FROM shifts WHERE run = ? AND name = ?", key).first()
            if found is None:
                shifts[key] = 0.0 if self._has_sums(key) else shift_for(first)
                execute("INSERT INTO shifts VALUES (?, ?, ?)", (*key, shifts[key]))
            else:
                shifts[key] = found.shift
        return shifts

    def _has_sums(self, key: tuple[int, str]) -> bool:
        """Whether something was summed up before there were shifts."""
        found = self._connection.exec_driver_sql(
            "SELECT 1 FROM arms AS a JOIN sums AS s ON s.arm = a.id WHERE a.run = ? AND s.name = ? LIMIT 1",
            key,
        )
        return found.first() is not None

    def _units(self, earned: Sequence[Earned]) -> dict[tuple[int, str, int, str], tuple[int, int, float]]:
        """What is known of these users: the arm that has them, how many outcomes, and their total."""
        keys = {(each.run, each.name, each.user, each.variant) for each in earned}
        if not keys:
            return {}
        found = self._connection.exec_driver_sql(
            "SELECT u.run, u.name, u.user, u.variant, u.arm, u.count, u.total FROM json_each(?) AS j"
            " CROSS JOIN units AS u ON u.run = json_extract(j.value, '$[0]')"
            " AND u.name = json_extract(j.value, '$[1]') AND u.user = json_extract(j.value, '$[2]')"
            " AND u.variant = json_extract(j.value, '$[3]')",
            (orjson.dumps([*keys]).decode(),),
        )
        return {
            (run, name, user, variant): (arm, n, total) for run, name, user, variant, arm, n, total in found
        }

    def _write(
        self,
        steps: Mapping[tuple[int, str], _Step],
        units: Mapping[tuple[int, str, int, str], tuple[int, int, float]],
    ) -> None:
        if units:
            self._connection.exec_driver_sql(
                "INSERT INTO units VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET count = excluded.count, total = excluded.total",
                [(*key, *value) for key, value in units.items()],
            )
        if steps:
            self._connection.exec_driver_sql(
                "INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " outcomes = outcomes + excluded.outcomes, odd = odd + excluded.odd,"
                " count = count + excluded.count, total = total + excluded.total,"
                " squares = squares + excluded.squares",
                [
                    (*key, step.outcomes, step.odd, step.count, step.total, step.squares)
                    for key, step in steps.items()
                ],
            )


def _moved(count: int, before: float, after: float, shift: float) -> tuple[int, float, float]:
    """What becomes of a count, a sum and squares when a user's mean moves by one outcome more."""
    new = after / (count + 1) - shift
    if not count:
        return 1, new, new * new
    old = before / count - shift
    return 0, new - old, new * new - old * old
