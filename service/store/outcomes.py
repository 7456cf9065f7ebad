"""Predictions, what became of them, and the sums of both: a SQLite file of its own, written by one process.

An outcome counts once, however often it is reported: its row and what it adds to the sums are written in one
transaction. One whose prediction is not known yet waits for it. What is too old goes, and the sums stay.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from sqlalchemy import Connection

from service.errors import SagebirdError, StartupError, Unavailable, ValidationFault
from service.experiments.answers import Task
from service.experiments.labels import Labels
from service.experiments.live_agreement import LiveAgreement
from service.experiments.reports import LABEL, Reported
from service.experiments.sums import Sums
from service.experiments.timeline import Mark, with_mark
from service.pieces import Pieces
from service.store.agreements import AGREEMENTS, add_agreements, agreement_of
from service.store.database import begin_read, begin_write, open_engine, said_plainly
from service.store.outcome_bounds import NAMERS, OutcomeBounds
from service.store.outcome_retention import Retention
from service.store.outcome_sums import Earned, SumBook
from service.store.outcome_tables import (
    FORMAT,
    STATEMENTS,
    Arm,
    Predicted,
    Receipt,
    Recorded,
    count_picks,
    forget_outcomes,
    hashed,
    ids_of_predictions,
    keep_outcomes,
    known_outcomes,
    known_predictions,
    labelled,
    labelled_since,
    make_arm,
    tallies_of,
    tally,
    waiting_outcomes,
)
from service.store.timelines import STATEMENT, keep_marks, marks_of

_MOST_LABELS = 100_000  # of which the quality is known after a start
_MOST_LATELY = 50_000


@dataclass(frozen=True, slots=True)
class ArmTally:
    """What is known of an arm: calls and users that weights led there, its outcomes' sums by name."""

    variant: str
    weights: Mapping[str, float]
    calls: int
    users: int
    sums: Mapping[str, Sums] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """An endpoint's fleet since its first prediction, and all that came of it.

    `outcomes` are how many there are by name, and whether all are 0 or 1.
    """

    generation: int
    begun_s: float
    arms: tuple[ArmTally, ...]
    outcomes: Mapping[str, tuple[int, bool]]
    labels: Labels


@dataclass(frozen=True, slots=True)
class Lately:
    """The labels of a fleet's predictions since some time: all of them, or the newest of very many."""

    generation: int
    labels: Labels
    count: int
    is_whole: bool


class OutcomeStore:
    """All of it. For one thread at a time of one process."""

    def __init__(self, file: Path, window_s: float, most: int) -> None:
        """Predictions are kept for `window_s` seconds, and at most so many; so are outcomes.

        Raises:
            StartupError: another release wrote the file.
        """
        self._engine = open_engine(file)
        self._retention = Retention(window_s, most)
        self._arms: dict[Arm, tuple[int, int]] = {}  # its id, and its run's
        self._labels: dict[int, Labels] = {}
        self._bounds = OutcomeBounds()
        with self._change() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found not in (0, FORMAT):
                raise StartupError(f"{file} was written by another release of sagebird: move it away.")
            for statement in (*STATEMENTS, STATEMENT, AGREEMENTS, NAMERS, f"PRAGMA user_version = {FORMAT}"):
                connection.exec_driver_sql(statement)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def take_predictions(
        self, predictions: Sequence[Predicted], dropped: Mapping[str, int] | None = None
    ) -> None:
        """Keep predictions, and count those that gateways could not keep, by endpoint."""
        by_endpoint: dict[str, list[Predicted]] = {}
        for each in predictions:
            by_endpoint.setdefault(each.arm.endpoint, []).append(each)
        with self._change(durable=False) as connection:
            for endpoint, some in by_endpoint.items():
                self._take_predictions(connection, endpoint, some)
            for endpoint, number in (dropped or {}).items():
                tally(connection, endpoint, {"dropped": number})

    def take_reports(
        self, asked: Sequence[tuple[str, Sequence[Reported]]], now_s: float
    ) -> list[Receipt | SagebirdError]:
        """Keep what is reported of endpoints; once this returns, it is kept whatever happens.

        Where there is a fault in the place of a receipt nothing of that report is kept.
        """
        found: list[Receipt | SagebirdError] = []
        with self._change() as connection:
            pieces = Pieces()  # of all: what others wait for is the transaction
            for endpoint, reports in asked:
                try:
                    found.append(self._take_reports(connection, endpoint, reports, now_s, pieces))
                except ValidationFault as fault:  # before anything of it was written
                    tally(connection, endpoint, {"refused": len(reports)})
                    found.append(fault)
                except Unavailable as full:  # likewise: others may still report what is there
                    found.append(full)
        return found

    def run(self, endpoint: str) -> Run | None:
        """What is known of an endpoint's newest fleet; None if nothing was recorded."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            found = connection.exec_driver_sql(
                "SELECT id, generation, begun_s FROM runs WHERE endpoint = ? ORDER BY id DESC LIMIT 1",
                (endpoint,),
            ).first()
            if found is None:
                return None
            number, generation, begun_s = found
            book = SumBook(connection)
            rows = connection.exec_driver_sql(
                "SELECT id, variant, weights, calls, users FROM arms WHERE run = ? AND drawn ORDER BY id",
                (number,),
            ).all()
            arms = tuple(
                ArmTally(variant, dict(orjson.loads(weights)), calls, users, book.of_arm(arm))
                for arm, variant, weights, calls, users in rows
            )
            labels = self._labels_of(connection, number)
            return Run(generation, begun_s, arms, book.outcomes(number), labels)

    def tallies(self, endpoint: str) -> dict[str, int]:
        """What is counted of an endpoint by name, whether or not a prediction was recorded."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            return tallies_of(connection, endpoint)

    def timeline(self, endpoint: str, about: str) -> list[Mark]:
        """How the experiment of an endpoint has gone, [] if nothing is kept of this one."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            return marks_of(connection, endpoint, about)

    def mark(self, endpoint: str, about: str, mark: Mark) -> None:
        """Keep how an experiment is now; what is kept of another one of the endpoint goes."""
        with self._change(durable=False) as connection:
            keep_marks(connection, endpoint, about, with_mark(marks_of(connection, endpoint, about), mark))

    def agreement(self, endpoint: str) -> LiveAgreement | None:
        """How variants answered the same live rows, None if none was asked of two."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            return agreement_of(connection, endpoint)

    def add_agreements(self, found: Mapping[str, LiveAgreement]) -> None:
        """Add what gateways found out, by endpoint."""
        with self._change(durable=False) as connection:
            add_agreements(connection, found)

    def lately(self, endpoint: str, since_s: float, most: int = _MOST_LATELY) -> Lately | None:
        """How good predictions of an endpoint's newest fleet since then were; None without any label.

        For any thread: it reads what is written, and takes nothing from memory.
        """
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            found = connection.exec_driver_sql(
                "SELECT id, generation, task FROM runs WHERE endpoint = ? ORDER BY id DESC LIMIT 1",
                (endpoint,),
            ).first()
            if found is None or found.task is None:
                return None
            rows = labelled_since(connection, found.id, since_s, most)
        labels = Labels(Task(tuple(orjson.loads(found.task))))
        _grade(labels, rows)
        return Lately(found.generation, labels, len(rows), len(rows) < most)

    def clear(self, now_s: float) -> bool:
        """Let go of what is too old or too much: of a lot, a part. True if there may be more."""
        with self._change(durable=False) as connection:
            return self._retention.clear(connection, now_s)

    def is_over(self) -> bool:
        """Whether there are more outcomes than are kept."""
        return self._retention.is_over()

    @contextmanager
    def _change(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction; what is held in memory of one that failed is read anew."""
        try:
            with said_plainly(self._engine), begin_write(self._engine, durable=durable) as connection:
                yield connection
        except BaseException:
            self._arms.clear()
            self._labels.clear()
            self._bounds.forget()
            self._retention.forget()
            raise

    def _take_predictions(self, connection: Connection, endpoint: str, some: Sequence[Predicted]) -> None:
        rows: list[tuple[str, str, int, int | None, float, str | None]] = []
        calls, users = Counter[int](), dict[tuple[int, int], int]()
        known = ids_of_predictions(connection, endpoint, [each.inference_id for each in some])
        for each in some:
            if each.inference_id in known:  # it was handed in before, or a caller used its id again
                continue
            known.add(each.inference_id)
            arm, run = self._arm(connection, each.arm, each.at_s)
            user = None if each.user is None else hashed(each.user)
            rows.append((endpoint, each.inference_id, arm, user, each.at_s, each.answer))
            if each.arm.drawn and user is None:
                calls[arm] += 1
            elif each.arm.drawn and user is not None:
                users.setdefault((run, user), arm)
        if rows:
            connection.exec_driver_sql("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?)", rows)
            count_picks(connection, calls, users)
            self._meet(connection, endpoint, [row[1] for row in rows])

    def _meet(self, connection: Connection, endpoint: str, ids: Sequence[str]) -> None:
        """Count outcomes that were there before their predictions."""
        if not tallies_of(connection, endpoint).get("waiting"):
            return
        reports = waiting_outcomes(connection, endpoint, ids)
        if not reports:
            return
        known = known_predictions(connection, endpoint, [report.inference_id for report in reports], Pieces())
        beyond = self._bounds.beyond(connection, endpoint, reports, known)
        forget_outcomes(connection, endpoint, beyond)
        self._retention.add(connection, -len(beyond))
        tally(connection, endpoint, {"waiting": -len(beyond), "refused": len(beyond)})
        self._count_met(connection, endpoint, [each for each in reports if each not in beyond], known)

    def _count_met(
        self,
        connection: Connection,
        endpoint: str,
        reports: Sequence[Reported],
        known: Mapping[str, Recorded],
    ) -> None:
        if not reports:
            return
        self._read_labels_first(connection, reports, known)
        connection.exec_driver_sql(
            "UPDATE outcomes SET arm = ? WHERE endpoint = ? AND inference_id = ? AND name = ?",
            [
                (known[report.inference_id].arm, endpoint, report.inference_id, report.name)
                for report in reports
            ],
        )
        self._earn(connection, reports, known)
        tally(connection, endpoint, {"waiting": -len(reports), "counted": len(reports)})

    def _take_reports(
        self, connection: Connection, endpoint: str, reports: Sequence[Reported], now_s: float, pieces: Pieces
    ) -> Receipt:
        said = known_outcomes(connection, endpoint, [report.inference_id for report in reports], pieces)
        new: list[Reported] = []
        contradicting = 0
        for report in reports:
            key = (report.inference_id, report.name)
            if key not in said:
                said[key] = report.value
                new.append(report)
            elif said[key] != report.value:
                contradicting += 1
        known = known_predictions(connection, endpoint, [report.inference_id for report in new], pieces)
        self._bounds.check(connection, endpoint, said.keys(), new, known)
        met = [report for report in new if report.inference_id in known]
        self._read_labels_first(connection, met, known)
        rows = [_row(endpoint, report, known.get(report.inference_id), now_s) for report in new]
        self._retention.add(connection, len(rows))
        keep_outcomes(connection, rows, pieces)
        self._earn(connection, met, known)
        repeated = len(reports) - len(new) - contradicting
        receipt = Receipt(len(met), len(new) - len(met), repeated, contradicting)
        tally(connection, endpoint, receipt._asdict())
        return receipt

    def _earn(
        self, connection: Connection, reports: Sequence[Reported], known: Mapping[str, Recorded]
    ) -> None:
        """Add outcomes that met their prediction to the sums. Their rows are written already."""
        earned: list[Earned] = []
        labels: dict[int, list[tuple[Recorded, str]]] = {}
        for report in reports:
            found = known[report.inference_id]
            if report.name == LABEL:
                labels.setdefault(found.run, []).append((found, str(report.value)))
            elif found.drawn:
                earned.append(Earned.of(found, report.name, float(report.value)))
                self._bounds.note(found.run, report.name)
        for run, some in labels.items():
            earned += self._label(connection, run, some)
        SumBook(connection).add(earned)

    def _label(self, connection: Connection, run: int, some: Sequence[tuple[Recorded, str]]) -> list[Earned]:
        """The outcomes of labels; of all that a run has, if it shows now that something else is predicted."""
        labels = self._labels_of(connection, run)
        if labels.meet(_pairs(some)):
            task = None if labels.task is None else orjson.dumps(labels.task.classes).decode()
            connection.exec_driver_sql("UPDATE runs SET task = ? WHERE id = ?", (task, run))
            labels.forget()
            SumBook(connection).forget(run, LABEL)
            some = labelled(connection, run, -1)
        return _grade(labels, some)

    def _labels_of(self, connection: Connection, run: int) -> Labels:
        """The labels of a run, read from rows if that was not done: before new ones are written."""
        labels = self._labels.get(run)
        if labels is None:
            task = connection.exec_driver_sql("SELECT task FROM runs WHERE id = ?", (run,)).scalar_one()
            labels = Labels(None if task is None else Task(tuple(orjson.loads(task))))
            rows = labelled(connection, run, _MOST_LABELS)
            labels.learn(_pairs(rows))
            _grade(labels, rows)
            self._labels[run] = labels
        return labels

    def _read_labels_first(
        self, connection: Connection, reports: Sequence[Reported], known: Mapping[str, Recorded]
    ) -> None:
        for run in {known[each.inference_id].run for each in reports if each.name == LABEL}:
            self._labels_of(connection, run)

    def _arm(self, connection: Connection, arm: Arm, at_s: float) -> tuple[int, int]:
        """The ids of an arm and of its run."""
        known = self._arms.get(arm)
        if known is None:
            known = self._arms[arm] = make_arm(connection, arm, at_s)
        return known


def _row(endpoint: str, report: Reported, known: Recorded | None, now_s: float) -> tuple[object, ...]:
    value = orjson.dumps(report.value).decode()
    arm = None if known is None else known.arm
    return endpoint, report.inference_id, report.name, value, report.at_s, now_s, arm


def _pairs(some: Sequence[tuple[Recorded, str]]) -> list[tuple[str, str]]:
    return [(label, found.answer) for found, label in some if found.answer is not None]


def _grade(labels: Labels, some: Sequence[tuple[Recorded, str]]) -> list[Earned]:
    """Count labels; the outcomes of those predictions that weights led to their variant."""
    earned = []
    for found, label in some:
        value = labels.count(found.variant, label, found.answer)
        if value is not None and found.drawn:
            earned.append(Earned.of(found, LABEL, value))
    return earned
