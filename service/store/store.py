"""The store's functions: read and change resources, facts and gateways' reports; follow what changed."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Delete, Select, Table, delete, select, update

from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.store.database import Location, begin_read, begin_write, open_engine, said_plainly, upsert
from service.store.members import (
    GatewayReport,
    Lead,
    forget_family,
    forget_members,
    read_lead,
    read_reports,
    renew,
    take_lead,
    write_report,
)
from service.store.migrate import check_tables
from service.store.rows import from_brief_row, from_row, page_of, to_row
from service.store.tables import facts, removals, resources, revisions
from service.store.tasks import JobTasks, TaskQueue

DEFAULT_ENDPOINT = "default_endpoint"
"""The fact that names the endpoint of plain /invocations."""

EDITABLE_ENDPOINTS = "editable_endpoints"
"""The fact that lists the declared endpoints which the API may change."""

NOTICES = "notices"
"""The fact that lists, as sentences, what whoever looks after the server should know of what it declares."""

ACCESS_KEYS = "access_keys"
"""The fact that maps the ids of access keys to what is kept of them."""

IAM = "iam"
"""The fact that holds roles and policies, which nothing here enforces."""

REGISTERED_MODELS = "registered_models"
"""The fact that maps names of the multi-model container contract to where their models are."""


# Asked for again and again: SQLAlchemy need not find out each time what they say.
_REVISION: Final = select(revisions.c.revision)
_REVISIONS: Final = select(revisions.c.revision, revisions.c.forgotten)


@dataclass(frozen=True, slots=True)
class Delta:
    """What was written or removed after some revision, as of `revision`.

    `complete` means that this is everything there is: forget the rest. A resource is in `changed` or in
    `removed`, never in both; they come in no order.
    """

    revision: int
    complete: bool
    changed: tuple[Resource, ...] = ()
    removed: tuple[tuple[Kind, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class View:
    """One transaction of the store: what it reads is one consistent picture."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def revision(self) -> int:
        """The revision of the picture."""
        return int(self._connection.execute(_REVISION).scalar_one())

    def get(self, kind: Kind, name: str) -> Resource | None:
        """One resource, None if there is none of that name."""
        statement = select(resources).where(resources.c.kind == kind.value, resources.c.name == name)
        row = self._connection.execute(statement).mappings().first()
        return None if row is None else from_row(row)

    def of_kind(
        self, kind: Kind, statuses: Collection[str] | None = None, *, declared: bool | None = None
    ) -> list[Resource]:
        """All resources of one kind, or those in one of `statuses`, `declared` or not, by name."""
        statement = select(resources).where(resources.c.kind == kind.value).order_by(resources.c.name)
        if statuses is not None:
            statement = statement.where(resources.c.status.in_(sorted(statuses)))
        if declared is not None:
            statement = statement.where(resources.c.declared.is_(declared))
        return [from_row(row) for row in self._connection.execute(statement).mappings()]

    def page(self, kind: Kind, listing: ListQuery, *, brief: bool = False) -> list[Resource]:
        """One page of the resources of a kind; `brief` ones come without document, state and tags."""
        statement = page_of(kind, listing, self._connection.dialect.name, brief=brief)
        read = from_brief_row if brief else from_row
        return [read(row) for row in self._connection.execute(statement).mappings()]

    def fact(self, name: str) -> Any:
        """The value of a fact, None if there is none."""
        return self._connection.scalar(select(facts.c.value).where(facts.c.name == name))


class Change(View):
    """One write transaction: all of it becomes visible, with one new revision, or none of it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._starts_from = super().revision()
        self.touched = False

    @property
    def tasks(self) -> JobTasks:
        """The tasks of jobs, within this transaction."""
        return JobTasks(self._connection)

    def revision(self) -> int:
        """The revision that this transaction starts from."""
        return self._starts_from

    def next_revision(self) -> int:
        """The revision that this transaction leads to, if it changes anything."""
        return self._starts_from + 1

    def put(self, resource: Resource) -> None:
        """Write a resource, new or changed, at this transaction's revision."""
        self.touched = True
        row = to_row(resource, self.next_revision())
        upsert(self._connection, resources, row)
        self._connection.execute(_row_of(removals, resource.kind, resource.name))

    def remove(self, kind: Kind, name: str) -> None:
        """Remove a resource; it need not exist."""
        if self._connection.execute(_row_of(resources, kind, name)).rowcount > 0:
            self.touched = True
            row = {"kind": kind.value, "name": name, "revision": self.next_revision()}
            upsert(self._connection, removals, row)

    def put_fact(self, name: str, value: Any) -> None:
        """Write a fact about the whole installation."""
        if self.fact(name) != value:
            self.touched = True
            row = {"name": name, "value": value, "revision": self.next_revision()}
            upsert(self._connection, facts, row)

    def finish(self, kept_revisions: int) -> None:
        """Move the revision if anything changed, and forget removals older than `kept_revisions`."""
        if not self.touched:
            return
        values = {"revision": self.next_revision()}
        oldest = self.next_revision() - kept_revisions
        if self._connection.execute(delete(removals).where(removals.c.revision <= oldest)).rowcount > 0:
            values["forgotten"] = oldest
        self._connection.execute(update(revisions).values(values))


class Store:
    """State that outlives processes. Safe to use from several processes; one object per process.

    Every function raises Unavailable when the database is busy for too long, or away.
    """

    def __init__(self, location: Location, kept_revisions: int = 10_000) -> None:
        """Open the database; an empty one gets its tables.

        A removal is remembered for `kept_revisions` revisions: who follows the store that closely hears of it
        alone.

        Raises:
            StartupError: it cannot be opened, or its tables are not those that this version works with.
        """
        self._kept_revisions = kept_revisions
        self._engine = open_engine(location)
        self.queue = TaskQueue(self._engine)
        """The tasks of all jobs, each call in a transaction of its own."""
        try:
            check_tables(self._engine, location)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def view(self) -> Iterator[View]:
        """Open a read transaction."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            yield View(connection)

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open a write transaction; leaving it commits, an exception undoes all of it."""
        with said_plainly(self._engine), begin_write(self._engine) as connection:
            change = Change(connection)
            yield change
            change.finish(self._kept_revisions)

    def revision(self) -> int:
        """The number that moves with every change."""
        with self.view() as view:
            return view.revision()

    def get(self, kind: Kind, name: str) -> Resource | None:
        """One resource, None if there is none of that name."""
        with self.view() as view:
            return view.get(kind, name)

    def of_kind(self, kind: Kind, statuses: Collection[str] | None = None) -> list[Resource]:
        """All resources of one kind, or those in one of `statuses`, by name."""
        with self.view() as view:
            return view.of_kind(kind, statuses)

    def fact(self, name: str) -> Any:
        """The value of a fact, None if there is none."""
        with self.view() as view:
            return view.fact(name)

    def changes_since(self, revision: int, kinds: Collection[Kind] = tuple(Kind)) -> Delta:
        """What was written or removed after `revision`, of some kinds; facts always.

        That is everything when `revision` is 0, too long ago, or not one of this database.
        """
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            now, forgotten = connection.execute(_REVISIONS).one()
            if revision == now:
                return Delta(now, complete=False)
            complete = not max(1, forgotten) <= revision < now
            since = 0 if complete else revision
            changed = connection.execute(_after(since, resources, kinds)).mappings()
            gone = () if complete else connection.execute(_after(since, removals, kinds))
            known = connection.execute(select(facts).where(facts.c.revision > since))
            return Delta(
                now,
                complete,
                tuple(from_row(row) for row in changed),
                tuple((Kind(row.kind), row.name) for row in gone),
                {row.name: row.value for row in known},
            )

    def report(self, report: GatewayReport) -> None:
        """Write a gateway's word, which renews its lease; it does not move the revision."""
        # A power cut ends the gateways too: nobody reads their last word then.
        with said_plainly(self._engine), begin_write(self._engine, durable=False) as connection:
            write_report(connection, report)

    def renew(self, member: str) -> bool:
        """Renew a gateway's lease; False where it was forgotten, and has to report again."""
        with said_plainly(self._engine), begin_write(self._engine, durable=False) as connection:
            return renew(connection, member)

    def gateways(self) -> list[GatewayReport]:
        """The last word of every gateway that was not forgotten, by name."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            return read_reports(connection)

    def forget_gateways(self, members: Collection[str]) -> None:
        """Drop the words of gateways that are gone."""
        with said_plainly(self._engine), begin_write(self._engine, durable=False) as connection:
            forget_members(connection, members)

    def forget_family(self) -> None:
        """Drop what is left of processes that ran before: their words, and what they led."""
        with said_plainly(self._engine), begin_write(self._engine, durable=False) as connection:
            forget_family(connection)

    def lead_of(self, name: str) -> Lead | None:
        """Who holds a lease, None if nobody ever did."""
        with said_plainly(self._engine), begin_read(self._engine) as connection:
            return read_lead(connection, name)

    def take_lead(self, name: str, owner: str, seen: Lead | None) -> bool:
        """Hold a lease that is still as it was `seen`, or renew it; False where somebody was faster."""
        with said_plainly(self._engine), begin_write(self._engine) as connection:
            return take_lead(connection, name, owner, seen)


def _row_of(table: Table, kind: Kind, name: str) -> Delete:
    return delete(table).where(table.c.kind == kind.value, table.c.name == name)


def _after(revision: int, table: Table, kinds: Collection[Kind]) -> Select[Any]:
    """Rows in no order: to sort them, SQLite would read the whole table instead of the index of revisions."""
    found = select(table).where(table.c.revision > revision)
    return found if len(kinds) == len(Kind) else found.where(table.c.kind.in_(kind.value for kind in kinds))
