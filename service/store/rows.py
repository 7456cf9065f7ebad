"""Resources as rows of their table: how each is written and read, and the query of one page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, select, tuple_

from service.domain.kinds import Kind
from service.domain.listing import ListQuery
from service.domain.resource import Resource
from service.store.tables import resources

_LONG = ("document", "state", "tags")


def to_row(resource: Resource, revision: int) -> dict[str, Any]:
    """The row of a resource that is written at `revision`."""
    return {
        "kind": resource.kind.value,
        "name": resource.name,
        "document": dict(resource.document),
        "status": resource.status,
        "failure_reason": resource.failure_reason,
        "state": dict(resource.state),
        "declared": resource.declared,
        "tags": dict(resource.tags),
        "created_at": resource.created_at.timestamp(),
        "modified_at": resource.modified_at.timestamp(),
        "revision": revision,
    }


def from_row(row: RowMapping | Mapping[str, Any]) -> Resource:
    """The reverse of `to_row`."""
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
        tags=row["tags"],
        revision=row["revision"],
    )


def from_brief_row(row: RowMapping | Mapping[str, Any]) -> Resource:
    """A resource without what is long: it is most of the time that reading a page takes."""
    return Resource(
        kind=Kind(row["kind"]),
        name=row["name"],
        document={},
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        modified_at=datetime.fromtimestamp(row["modified_at"], UTC),
        status=row["status"],
        failure_reason=row["failure_reason"],
        declared=row["declared"],
        revision=row["revision"],
    )


def page_of(kind: Kind, listing: ListQuery, dialect: str, *, brief: bool = False) -> Select[Any]:
    """The query of one page of the resources of a kind, for a database of SQLAlchemy's dialect.

    It has the columns of brief rows, or all.
    """
    columns = resources.c
    keys = [columns[listing.order], columns.name][listing.order == "name" :]
    conditions = [columns.kind == kind.value, *_filters(listing, dialect)]
    if listing.after is not None:
        place, last = tuple_(*keys), tuple_(*listing.after[listing.order == "name" :])
        conditions.append(place < last if listing.descending else place > last)
    ordered = [key.desc() if listing.descending else key.asc() for key in keys]
    wanted = [column for column in columns if not brief or column.name not in _LONG]
    return select(*wanted).where(*conditions).order_by(*ordered).limit(listing.limit)


def _filters(listing: ListQuery, dialect: str) -> list[ColumnElement[bool]]:
    columns = resources.c
    found: list[ColumnElement[bool]] = []
    if listing.name_contains:
        found.append(_name_contains(listing.name_contains, dialect))
    if listing.status is not None:
        found.append(columns.status == listing.status)
    if listing.below is not None:  # a span of names, which an index has; "0" is what comes after "/"
        found += [columns.name > f"{listing.below}/", columns.name < f"{listing.below}0"]
    if listing.nested is not None:
        slash = columns.name.like("%/%")
        found.append(slash if listing.nested else ~slash)
    for column, after, before in (
        (columns.created_at, listing.created_after, listing.created_before),
        (columns.modified_at, listing.modified_after, listing.modified_before),
    ):
        if after is not None:
            found.append(column > after.timestamp())
        if before is not None:
            found.append(column < before.timestamp())
    return found


def _name_contains(part: str, dialect: str) -> ColumnElement[bool]:
    """Both fold the case of ASCII alone: SQLite's LIKE, and Postgres's ILIKE for text that sorts by code."""
    for special in "/%_":
        part = part.replace(special, "/" + special)
    like = resources.c.name.ilike if dialect == "postgresql" else resources.c.name.like
    return like(f"%{part}%", escape="/")
