"""Step 0001: the tables as they were before there were steps."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "resources",
        sa.Column("kind", _text(40), primary_key=True),
        sa.Column("name", _text(120), primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("status", _text(40), nullable=False),
        sa.Column("failure_reason", sa.String(1024), nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("declared", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("modified_at", sa.Float, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", _text(80), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "gateways",
        sa.Column("pid", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("reports", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
    )


def _text(length: int) -> TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
