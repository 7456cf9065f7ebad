"""Step 0003: what there is to do for jobs, and what became of their inputs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables of tasks and results."""
    op.create_table(
        "tasks",
        sa.Column("job", _text(120), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("queued_at", sa.Float, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(40), nullable=False),
        sa.Column("beat_at", sa.Float, nullable=False),
        sa.Column("stopping", sa.Boolean, nullable=False),
    )
    op.create_index("tasks_by_age", "tasks", ["queued_at", "job", "number"])
    op.create_index("tasks_by_owner", "tasks", ["owner"])
    op.create_table(
        "results",
        sa.Column("job", _text(120), primary_key=True),
        sa.Column("digest", _text(32), primary_key=True),
        sa.Column("name", sa.JSON, nullable=False),
        sa.Column("rows_in", sa.BigInteger, nullable=False),
        sa.Column("rows_out", sa.BigInteger, nullable=False),
        sa.Column("rejected", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("failed", sa.Boolean, nullable=False),
        sa.Column("error", sa.JSON, nullable=False),
        sa.Column("identity", sa.JSON, nullable=False),
    )


def _text(length: int) -> TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
