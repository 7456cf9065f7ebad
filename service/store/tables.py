"""The tables. `migrations/` has the steps that lead older databases here; a test holds the two together."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _text(length: int) -> TypeEngine[str]:
    """Text that sorts by code point in every database, whatever its language."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


resources = Table(
    "resources",
    metadata,
    Column("kind", _text(40), primary_key=True),
    Column("name", _text(120), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("status", _text(40), nullable=False),
    Column("failure_reason", JSON, nullable=False),  # JSON: Postgres keeps no NUL in text
    Column("state", JSON, nullable=False),
    Column("declared", Boolean, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("created_at", Float, nullable=False),  # seconds since 1970
    Column("modified_at", Float, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
# What pages are sorted by, and what else they are filtered by: whatever is filtered out is not read at all.
Index("resources_by_creation", *(resources.c[name] for name in ("kind", "created_at", "name", "status")))
Index("resources_by_change", *(resources.c[name] for name in ("kind", "modified_at", "name", "status")))
Index("resources_by_status", resources.c.kind, resources.c.status, resources.c.name)
Index("resources_by_revision", resources.c.revision)

removals = Table(
    "removals",
    metadata,
    Column("kind", _text(40), primary_key=True),
    Column("name", _text(120), primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
Index("removals_by_revision", removals.c.revision)

facts = Table(
    "facts",
    metadata,
    Column("name", _text(80), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("revision", BigInteger, nullable=False),
)

# One row. Removals up to the revision `forgotten` are no longer all in their table.
revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("pid", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("reports", JSON, nullable=False),
    Column("models", JSON, nullable=False),
)
