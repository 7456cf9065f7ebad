"""The store's functions: read and change resources, facts and gateways' reports."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from service.domain.endpoint import WarmReport, WarmState
from service.domain.kinds import Kind
from service.domain.resource import Resource
from service.store.database import begin_write, facts, gateways, open_database, resources, revisions

DEFAULT_ENDPOINT = "default_endpoint"
"""The fact that names the endpoint of plain /invocations."""

REGISTERED_MODELS = "registered_models"
"""The fact that maps names of the multi-model container contract to where their models are."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one revision."""

    revision: int
    resources: tuple[Resource, ...]
    facts: Mapping[str, Any]

    def of_kind(self, kind: Kind) -> list[Resource]:
        """The resources of one kind, by name."""
        return [resource for resource in self.resources if resource.kind is kind]


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What one gateway says of one model; `state` is `loaded` or `failed`.

    `notes` warn, or say why it failed.
    """

    name: str
    path: str
    state: str
    size_bytes: int
    description: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """What one gateway process has made of the revision it saw last, and which models it holds."""

    pid: int
    revision: int
    reports: tuple[WarmReport, ...]
    models: tuple[ModelReport, ...] = ()


class Change:
    """One write transaction: all of it becomes visible, with one new revision, or none of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.touched = False

    def revision(self) -> int:
        """The revision that this transaction starts from; its own, if it changes anything, is the next."""
        return _revision(self._connection)

    def get(self, kind: Kind, name: str) -> Resource | None:
        """The resource as this transaction sees it."""
        return _get(self._connection, kind, name)

    def of_kind(self, kind: Kind) -> list[Resource]:
        """All resources of one kind as this transaction sees them."""
        return _of_kind(self._connection, kind)

    def fact(self, name: str) -> Any:
        """The value of a fact, None if there is none."""
        return _fact(self._connection, name)

    def put(self, resource: Resource) -> None:
        """Write a resource, new or changed."""
        self.touched = True
        values = _to_row(resource)
        statement = upsert(resources).values(values)
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["kind", "name"], set_=values)
        )

    def remove(self, kind: Kind, name: str) -> None:
        """Remove a resource; it need not exist."""
        removed = self._connection.execute(
            delete(resources).where(resources.c.kind == kind.value, resources.c.name == name)
        )
        self.touched |= removed.rowcount > 0

    def put_fact(self, name: str, value: Any) -> None:
        """Write a fact about the whole installation."""
        if self.fact(name) == value:
            return
        self.touched = True
        statement = upsert(facts).values(name=name, value=value)
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
        )


class Store:
    """State that outlives processes. Safe to use from several processes; one object per process."""

    def __init__(self, path: Path) -> None:
        self._engine = open_database(path)
        with begin_write(self._engine) as connection:
            if connection.scalar(select(revisions.c.revision)) is None:
                connection.execute(insert(revisions).values(id=1, revision=1))

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open a write transaction; leaving it commits, an exception undoes all of it."""
        with begin_write(self._engine) as connection:
            change = Change(connection)
            yield change
            if change.touched:
                connection.execute(update(revisions).values(revision=revisions.c.revision + 1))

    def revision(self) -> int:
        """The number that moves with every change."""
        with self._engine.connect() as connection:
            return _revision(connection)

    def snapshot(self) -> Snapshot:
        """Everything, as of one revision."""
        with self._engine.connect() as connection:
            revision = _revision(connection)
            rows = connection.execute(
                select(resources).order_by(resources.c.kind, resources.c.name)
            ).mappings()
            found = tuple(_from_row(row) for row in rows)
            known = {row.name: row.value for row in connection.execute(select(facts))}
            return Snapshot(revision, found, known)

    def get(self, kind: Kind, name: str) -> Resource | None:
        """One resource, None if there is none of that name."""
        with self._engine.connect() as connection:
            return _get(connection, kind, name)

    def of_kind(self, kind: Kind) -> list[Resource]:
        """All resources of one kind, by name."""
        with self._engine.connect() as connection:
            return _of_kind(connection, kind)

    def fact(self, name: str) -> Any:
        """The value of a fact, None if there is none."""
        with self._engine.connect() as connection:
            return _fact(connection, name)

    def report(self, report: GatewayReport) -> None:
        """Write a gateway's word; it does not move the revision."""
        values = {
            "pid": report.pid,
            "revision": report.revision,
            "reports": [
                [r.endpoint, r.generation, r.variant, r.state.value, r.reason] for r in report.reports
            ],
            "models": [
                [m.name, m.path, m.state, m.size_bytes, m.description, list(m.notes)] for m in report.models
            ],
        }
        with begin_write(self._engine) as connection:
            statement = upsert(gateways).values(values)
            connection.execute(statement.on_conflict_do_update(index_elements=["pid"], set_=values))

    def gateways(self) -> list[GatewayReport]:
        """The last word of every gateway that was not forgotten."""
        with self._engine.connect() as connection:
            return [
                GatewayReport(
                    row.pid,
                    row.revision,
                    tuple(WarmReport(e, g, v, WarmState(state), why) for e, g, v, state, why in row.reports),
                    tuple(ModelReport(n, p, s, b, d, tuple(notes)) for n, p, s, b, d, notes in row.models),
                )
                for row in connection.execute(select(gateways))
            ]

    def forget_gateway(self, pid: int) -> None:
        """Drop the word of a gateway that is gone."""
        with begin_write(self._engine) as connection:
            connection.execute(delete(gateways).where(gateways.c.pid == pid))


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(revisions.c.revision)).scalar_one())


def _fact(connection: Connection, name: str) -> Any:
    return connection.scalar(select(facts.c.value).where(facts.c.name == name))


def _get(connection: Connection, kind: Kind, name: str) -> Resource | None:
    statement = select(resources).where(resources.c.kind == kind.value, resources.c.name == name)
    row = connection.execute(statement).mappings().first()
    return None if row is None else _from_row(row)


def _of_kind(connection: Connection, kind: Kind) -> list[Resource]:
    statement = select(resources).where(resources.c.kind == kind.value).order_by(resources.c.name)
    return [_from_row(row) for row in connection.execute(statement).mappings()]


def _to_row(resource: Resource) -> dict[str, Any]:
    return {
        "kind": resource.kind.value,
        "name": resource.name,
        "document": dict(resource.document),
        "status": resource.status,
        "failure_reason": resource.failure_reason,
        "state": dict(resource.state),
        "declared": resource.declared,
        "created_at": resource.created_at.timestamp(),
        "modified_at": resource.modified_at.timestamp(),
    }


def _from_row(row: RowMapping) -> Resource:
    return Resource(
        kind=Kind(row["kind"]),
        name=row["name"],
        document=row["document"],
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        modified_at=datetime.fromtimestamp(row["modified_at"], UTC),
        status=row["status"],
        failure_reason=row["failure_reason"],
        state=row["state"],
        declared=row["declared"],
    )
