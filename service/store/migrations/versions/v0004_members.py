"""Step 0004: processes have rows with leases, tasks the kind of their job. Nothing is taken away."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables of members and leases; gateways that reported become members, named after their pid."""
    op.create_table(
        "members",
        sa.Column("name", _text(80), primary_key=True),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("reports", sa.JSON, nullable=False),
        sa.Column("models", sa.JSON, nullable=False),
    )
    op.execute(
        "INSERT INTO members (name, beat, revision, reports, models)"
        " SELECT CAST(pid AS VARCHAR(80)), 0, revision, reports, models FROM gateways"
    )
    op.create_table(
        "leases",
        sa.Column("name", _text(40), primary_key=True),
        sa.Column("owner", _text(80), nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
    )
    op.add_column("tasks", sa.Column("job_kind", sa.String(40), nullable=False, server_default="transform"))


def _text(length: int) -> TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
