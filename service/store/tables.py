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

# The processes of the family; `beat` grows as long as they live.
members = Table(
    "members",
    metadata,
    Column("name", _text(80), primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("reports", JSON, nullable=False),
    Column("models", JSON, nullable=False),
)

# Who does what only one may do at a time; `beat` as above.
leases = Table(
    "leases",
    metadata,
    Column("name", _text(40), primary_key=True),
    Column("owner", _text(80), nullable=False),
    Column("beat", BigInteger, nullable=False),
)

# What the release before wrote in the place of members; a family of it may still be running.
gateways = Table(
    "gateways",
    metadata,
    Column("pid", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("reports", JSON, nullable=False),
    Column("models", JSON, nullable=False),
)

# What there is to do for jobs. A row is waiting (no owner, beat_at 0) or held by the lease `owner`.
tasks = Table(
    "tasks",
    metadata,
    Column("job", _text(120), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(10), nullable=False),
    Column("queued_at", Float, nullable=False),
    Column("inputs", JSON, nullable=False),  # lists of name, key, size in bytes
    Column("size_bytes", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", String(40), nullable=False),
    Column("beat_at", Float, nullable=False),
    Column("stopping", Boolean, nullable=False),
    Column("job_kind", String(40), nullable=False, server_default="transform"),
)
Index("tasks_by_age", tasks.c.queued_at, tasks.c.job, tasks.c.number)
Index("tasks_by_owner", tasks.c.owner)

# What became of a job's inputs; `digest` is the name's, which may be too long for an index.
results = Table(
    "results",
    metadata,
    Column("job", _text(120), primary_key=True),
    Column("digest", _text(32), primary_key=True),
    Column("name", JSON, nullable=False),  # JSON: names of files need not be UTF-8
    Column("rows_in", BigInteger, nullable=False),
    Column("rows_out", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("error", JSON, nullable=False),
    Column("identity", JSON, nullable=False),
)
