"""Step 0002: rows say at which revision they were written, removals are remembered, resources have tags."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what deltas, tags and pages need; all that is there counts as written at the present revision."""
    for table in ("resources", "facts"):
        op.add_column(table, sa.Column("revision", sa.BigInteger))
        op.execute(f"UPDATE {table} SET revision = (SELECT max(revision) FROM revisions)")  # noqa: S608 - ours
    op.add_column("resources", sa.Column("tags", sa.JSON))
    op.execute("UPDATE resources SET tags = '{}'")
    op.add_column("revisions", sa.Column("forgotten", sa.BigInteger))
    op.execute("UPDATE revisions SET forgotten = revision")
    _quote_reasons()
    _tighten()
    op.create_table(
        "removals",
        sa.Column("kind", _text(40), primary_key=True),
        sa.Column("name", _text(120), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("removals_by_revision", "removals", ["revision"])
    op.create_index("resources_by_creation", "resources", ["kind", "created_at", "name"])
    op.create_index("resources_by_change", "resources", ["kind", "modified_at", "name"])
    op.create_index("resources_by_status", "resources", ["kind", "status", "name"])
    op.create_index("resources_by_revision", "resources", ["revision"])


def _quote_reasons() -> None:
    """Make JSON texts of the reasons where the database does not do so itself when their type changes."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        return
    table = sa.table("resources", sa.column("kind"), sa.column("name"), sa.column("failure_reason"))
    for row in connection.execute(sa.select(table)).all():
        connection.execute(
            sa.update(table)
            .where(table.c.kind == row.kind, table.c.name == row.name)
            .values(failure_reason=json.dumps(row.failure_reason))
        )


def _tighten() -> None:
    with op.batch_alter_table("resources") as batch:
        batch.alter_column("revision", nullable=False)
        batch.alter_column("tags", nullable=False)
        batch.alter_column("failure_reason", type_=sa.JSON(), postgresql_using="to_json(failure_reason)")
    with op.batch_alter_table("facts") as batch:
        batch.alter_column("revision", nullable=False)
    with op.batch_alter_table("revisions") as batch:
        batch.alter_column("revision", type_=sa.BigInteger())
        batch.alter_column("forgotten", nullable=False)
    with op.batch_alter_table("gateways") as batch:
        batch.alter_column("revision", type_=sa.BigInteger())


def _text(length: int) -> TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
