"""How many outcomes there may be: names of a run, and outcomes of a prediction; what is beyond is refused.

Each name has its sums for each arm, for as long as the endpoint serves these models, and each experiment
tells of all of them: whoever may report must not be able to make that long.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from service.errors import ValidationFault
from service.experiments.reports import LABEL, Reported
from service.store.outcome_tables import Recorded, newest_run

MOST_NAMES = 50
"""How many names of outcomes a run has at most, beside the label."""

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
        for run, names in _by_run(connection, endpoint, new, known).items():
            before = self._names_of(connection, run)
            number = len(names | before)
            if number > MOST_NAMES and not names <= before:
                raise ValidationFault(
                    f"An experiment has {MOST_NAMES} names of outcomes at most: with "
                    f"{min(names - before)} it would have {number}."
                )

    def beyond(
        self, connection: Connection, reports: Sequence[Reported], known: Mapping[str, Recorded]
    ) -> set[Reported]:
        """Those of outcomes that waited for their predictions for whose names there is no place any more."""
        found: set[Reported] = set()
        for report in reports:
            recorded = known[report.inference_id]
            if report.name == LABEL or not recorded.drawn:
                continue
            names = self._names_of(connection, recorded.run)
            if report.name not in names and len(names) >= MOST_NAMES:
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
