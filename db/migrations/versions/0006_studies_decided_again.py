"""Settled studies that a person has decided again, by the rules of that day."""

import sqlalchemy as sa
from alembic import op
import db.models

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("study", sa.Column("decide_again", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(op.f("ix_study_decide_again"), "study", ["decide_again"])
    op.add_column("revision", sa.Column("decided_again_at", db.models.UtcDateTime(), nullable=True))
