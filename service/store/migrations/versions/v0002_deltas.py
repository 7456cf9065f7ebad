"""Step 0002: rows say at which revision they were written, removals are remembered, resources have tags."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of deltas and pages; facts count as written at the present revision.

    Until this step all resources came from the endpoints file, and endpoints meant less. They are dropped:
    the start that takes this step reads the file next and makes them anew, as they are meant now.
    """
    op.drop_table("resources")
    _make_resources()
    op.create_table(
        "removals",
        sa.Column("kind", _text(40), primary_key=True),
        sa.Column("name", _text(120), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("removals_by_revision", "removals", ["revision"])
    op.add_column("facts", sa.Column("revision", sa.BigInteger))
    op.execute("UPDATE facts SET revision = (SELECT revision FROM revisions)")
    op.add_column("revisions", sa.Column("forgotten", sa.BigInteger))
    op.execute("UPDATE revisions SET forgotten = revision")
    with op.batch_alter_table("facts") as batch:
        batch.alter_column("revision", nullable=False)
    with op.batch_alter_table("revisions") as batch:
        batch.alter_column("revision", type_=sa.BigInteger())
        batch.alter_column("forgotten", nullable=False)
    with op.batch_alter_table("gateways") as batch:
        batch.alter_column("revision", type_=sa.BigInteger())


def _make_resources() -> None:
    op.create_table(
        "resources",
        sa.Column("kind", _text(40), primary_key=True),
        sa.Column("name", _text(120), primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("status", _text(40), nullable=False),
        sa.Column("failure_reason", sa.JSON, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("declared", sa.Boolean, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("modified_at", sa.Float, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("resources_by_creation", "resources", ["kind", "created_at", "name", "status"])
    op.create_index("resources_by_change", "resources", ["kind", "modified_at", "name", "status"])
    op.create_index("resources_by_status", "resources", ["kind", "status", "name"])
    op.create_index("resources_by_revision", "resources", ["revision"])


def _text(length: int) -> TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
