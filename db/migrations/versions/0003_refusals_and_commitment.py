"""What delivery needs to tell a refusal from a dead line, and to find what a storage commitment report is about."""

import sqlalchemy as sa
from alembic import op
import db.models

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("delivery", sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("delivery", sa.Column("failing_since", db.models.UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_delivery_transaction_uid"), "delivery", ["transaction_uid"])
