"""What a person must decide, what supersedes what, and what was removed."""

import sqlalchemy as sa
from alembic import op
import db.models

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("study", sa.Column("hold_message", sa.String(), nullable=True))
    op.add_column("study", sa.Column("patient_identities", sa.JSON(), nullable=True))
    op.add_column("study", sa.Column("revisions_allowed", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE study SET hold_message = hold_reason, hold_reason = 'settling-failed' "
        "WHERE hold_reason IS NOT NULL AND hold_reason != 'conflict'"
    )
    op.add_column("instance", sa.Column("removed_at", db.models.UtcDateTime(), nullable=True))
    op.add_column("job", sa.Column("notices", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job", sa.Column("refusal", sa.JSON(), nullable=True))
    op.add_column("job", sa.Column("superseded_by_id", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("predecessors", sa.JSON(), nullable=True))
    op.add_column(
        "job",
        sa.Column("ranks_at", db.models.UtcDateTime(), nullable=False, server_default="1970-01-01 00:00:00.000000"),
    )
    op.execute("UPDATE job SET ranks_at = created_at")
    op.drop_index("ix_job_state", "job")
    op.create_index(op.f("ix_job_state_ranks_at"), "job", ["state", "ranks_at"])
    op.create_index(op.f("ix_job_superseded_by_id"), "job", ["superseded_by_id"])
    op.add_column("result", sa.Column("device_uid", sa.String(length=64), nullable=False, server_default=""))
    op.create_index(op.f("ix_result_device_uid"), "result", ["device_uid"])
