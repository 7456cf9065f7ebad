"""What services beside SageMaker keep: a SQLite file of its own, of several processes.

No part of the state: whatever has that, these are files. What is in it: documents.py and samples.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine

from service.domain.cloudwatch.statistics import Sample
from service.errors import StateDamaged
from service.store import documents, samples
from service.store.database import begin_read, begin_write, open_engine, said_plainly
from service.store.documents import DocumentEvent, KeptDocument
from service.store.samples import Metric, ToldSample

_FORMAT = 1


class KeptView:
    """One transaction that reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, service: str, kind: str, name: str) -> KeptDocument | None:
        """The document of that name."""
        return documents.find_document(self._connection, service, kind, name)

    def all(self, service: str, kind: str) -> list[KeptDocument]:
        """All documents of a kind, by name."""
        return documents.all_documents(self._connection, service, kind)

    def events(self, service: str, kind: str, name: str | None = None) -> list[DocumentEvent]:
        """What happened to one document, or to all of a kind, the newest last."""
        return documents.events_of(self._connection, service, kind, name)

    def samples(self, metric: Metric, since_s: float, until_s: float) -> list[Sample]:
        """What was told of a metric, of times that begin from one moment up to before another."""
        return list(samples.read_samples(self._connection, metric, since_s, until_s))

    def metrics(self, told_since_s: float) -> list[Metric]:
        """The metrics of which something was told since then."""
        return samples.known_metrics(self._connection, told_since_s)


class KeptChange(KeptView):
    """One transaction that writes: all of it, or nothing."""

    def put(self, kept: KeptDocument) -> None:
        """Keep a document, in place of the one of its name."""
        documents.put_document(self._connection, kept)

    def remove(self, service: str, kind: str, name: str) -> bool:
        """Remove a document; False if there was none."""
        return documents.remove_document(self._connection, service, kind, name)

    def note(self, service: str, kind: str, event: DocumentEvent) -> None:
        """Remember for two weeks what happened to a document."""
        documents.note_event(self._connection, service, kind, event)

    def put_samples(self, told: Sequence[ToldSample], now_s: float) -> None:
        """Add samples to what is known. Raises ServiceFault: there are as many metrics as are kept."""
        samples.put_samples(self._connection, told, now_s)

    def clear_samples(self, now_s: float, keep_s: float) -> None:
        """Make what is old part of longer times, and let go of what is too old, or too much."""
        samples.clear_samples(self._connection, now_s, keep_s)


class NeighbourStore:
    """The file, which is made when it is opened first; safe between threads and processes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._engine: Engine | None = None
        self._opening = Lock()

    @property
    def is_there(self) -> bool:
        """Whether anything can be in it."""
        return self._file.exists()

    @contextmanager
    def view(self) -> Iterator[KeptView]:
        """Open a transaction that reads. Raises Unavailable, StateDamaged."""
        engine = self._opened()
        with said_plainly(engine), begin_read(engine) as connection:
            yield KeptView(connection)

    @contextmanager
    def change(self) -> Iterator[KeptChange]:
        """Open a transaction that writes; an exception undoes all of it. Raises Unavailable, StateDamaged."""
        engine = self._opened()
        with said_plainly(engine), begin_write(engine) as connection:
            yield KeptChange(connection)

    def close(self) -> None:
        """Give the file back."""
        if self._engine is not None:
            self._engine.dispose()

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is None:
                self._engine = self._prepared()
            return self._engine

    def _prepared(self) -> Engine:
        engine = open_engine(self._file)
        with said_plainly(engine), begin_write(engine) as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found not in (0, _FORMAT):
                raise StateDamaged(f"The file {self._file} was written by another release.")
            for statement in (*documents.STATEMENTS, *samples.STATEMENTS):
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"PRAGMA user_version = {_FORMAT}")
        return engine
