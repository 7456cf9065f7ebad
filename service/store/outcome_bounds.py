"""How many outcomes there may be: names of a run, and outcomes of a prediction; what is beyond is refused.

Each name has its sums for each arm, for as long as the endpoint serves these models, and each experiment
tells of all of them: whoever may report must not be able to make that long. Nor to use up what others need:
of a key that may not manage there are few new names, and of all such keys not all that there may be.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from service.errors import ValidationFault
from service.experiments.reports import LABEL, Reported
from service.store.outcome_tables import Recorded, newest_run

MOST_NAMES = 50
"""How many names of outcomes a run has at most, beside the label."""

MOST_NAMES_OF_KEYS = 40
"""How many of these keys that may not manage may bring in: whoever manages has the others."""

MOST_NAMES_OF_KEY = 10
"""How many of those one key may bring in."""

NAMERS = (
    "CREATE TABLE IF NOT EXISTS namers (endpoint TEXT NOT NULL, run INTEGER NOT NULL, name TEXT NOT NULL,"
    " reporter TEXT NOT NULL, PRIMARY KEY (endpoint, run, name)) WITHOUT ROWID"
)
"""The table of names that such keys brought in, and which; before the first prediction for run 0."""

MOST_OUTCOMES = 20
"""How many outcomes a prediction has at most."""


class OutcomeBounds:
    """The names that runs have, each read once."""

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}

    def forget(self) -> None:
        """Read all anew: a transaction failed."""
        self._names.clear()

    def check(
        self,
        connection: Connection,
        endpoint: str,
        said: Collection[tuple[str, str]],
        new: Sequence[Reported],
        known: Mapping[str, Recorded],
    ) -> None:
        """Look at new outcomes before any is written; `said` are ids and names of old and new ones.

        One whose prediction is not known yet counts for the newest run.

        Raises:
            ValidationFault: they are too many.
        """
        numbers = Counter(inference_id for inference_id, _ in said)
        for report in new:
            if numbers[report.inference_id] > MOST_OUTCOMES:
                raise ValidationFault(
                    f"A prediction has {MOST_OUTCOMES} outcomes at most: that would be "
                    f"{numbers[report.inference_id]} of {report.inference_id[:64]!r}."
                )
        fresh: list[tuple[int, str]] = []
        for run, names in _by_run(connection, endpoint, new, known).items():
            before = self._names_of(connection, run)
            number = len(names | before)
            if number > MOST_NAMES and not names <= before:
                raise ValidationFault(
                    f"An experiment has {MOST_NAMES} names of outcomes at most: with "
                    f"{min(names - before)} it would have {number}."
                )
            fresh += [(run or 0, name) for name in names - before]
        if fresh and new[0].reporter:
            _take_names(connection, endpoint, new[0].reporter, fresh)

    def beyond(
        self,
        connection: Connection,
        endpoint: str,
        reports: Sequence[Reported],
        known: Mapping[str, Recorded],
    ) -> set[Reported]:
        """Those of outcomes that waited for their predictions for whose names there is no place any more."""
        found: set[Reported] = set()
        namers = _namers(connection, endpoint) if reports else {}
        for report in reports:
            recorded = known[report.inference_id]
            if report.name == LABEL or not recorded.drawn:
                continue
            names = self._names_of(connection, recorded.run)
            if report.name not in names and not _has_place(report.name, names, namers):
                found.add(report)
            else:
                names.add(report.name)
        return found

    def note(self, run: int, name: str) -> None:
        """Know a name that a run has now."""
        if run in self._names and name != LABEL:
            self._names[run].add(name)

    def _names_of(self, connection: Connection, run: int | None) -> set[str]:
        if run is None:
            return set()
        names = self._names.get(run)
        if names is None:
            found = connection.exec_driver_sql(
                "SELECT DISTINCT s.name FROM arms AS a JOIN sums AS s ON s.arm = a.id"
                " WHERE a.run = ? AND s.name <> ?",
                (run, LABEL),
            )
            names = self._names[run] = {row[0] for row in found}
        return names


def _take_names(
    connection: Connection, endpoint: str, reporter: str, fresh: Sequence[tuple[int, str]]
) -> None:
    """Note which key brings in names that are new. Raises ValidationFault: they are too many."""
    for run in {run for run, _ in fresh}:
        held = _namers(connection, endpoint, run)
        new = {name for of_run, name in fresh if of_run == run} - held.keys()
        own = sum(each == reporter for each in held.values()) + len(new)
        if new and own > MOST_NAMES_OF_KEY:
            raise ValidationFault(
                f"A key that may not manage brings in {MOST_NAMES_OF_KEY} names of outcomes at most: with "
                f"{min(new)} it would have {own}. Report it once with one that may."
            )
        if new and len(held) + len(new) > MOST_NAMES_OF_KEYS:
            raise ValidationFault(
                f"Keys that may not manage bring in {MOST_NAMES_OF_KEYS} names of outcomes at most: report "
                f"{min(new)} once with one that may."
            )
        if new:
            rows = [(endpoint, run, name, reporter) for name in new]
            connection.exec_driver_sql("INSERT INTO namers VALUES (?, ?, ?, ?)", rows)
    newest = max(run for run, _ in fresh)
    connection.exec_driver_sql(
        "DELETE FROM namers WHERE endpoint = ? AND run < ? AND run > 0", (endpoint, newest)
    )


def _namers(connection: Connection, endpoint: str, run: int | None = None) -> dict[str, str]:
    """Which keys brought names in, of one run or whenever."""
    found = connection.exec_driver_sql(
        "SELECT name, reporter FROM namers WHERE endpoint = ? AND run = coalesce(?, run) ORDER BY run",
        (endpoint, run),
    )
    return dict(tuple(row) for row in found)


def _has_place(name: str, names: Collection[str], namers: Mapping[str, str]) -> bool:
    """Whether a run that has these names may have another one, which waited for its prediction."""
    if name not in namers:
        return len(names) < MOST_NAMES
    by_keys = [namers[each] for each in names if each in namers]
    own = by_keys.count(namers[name])
    return own < MOST_NAMES_OF_KEY and len(by_keys) < MOST_NAMES_OF_KEYS and len(names) < MOST_NAMES


def _by_run(
    connection: Connection, endpoint: str, new: Sequence[Reported], known: Mapping[str, Recorded]
) -> dict[int | None, set[str]]:
    """The names of outcomes that are, or may come to be, among the sums of runs."""
    found: dict[int | None, set[str]] = {}
    waiting: set[str] = set()
    for report in new:
        recorded = known.get(report.inference_id)
        if report.name == LABEL:
            continue
        if recorded is None:
            waiting.add(report.name)
        elif recorded.drawn:
            found.setdefault(recorded.run, set()).add(report.name)
    if waiting:
        found.setdefault(newest_run(connection, endpoint), set()).update(waiting)
    return found
