"""Every storage commitment request about an object, so that a late report is known too."""

import sqlalchemy as sa
from alembic import op
import db.models

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "commitment_transaction",
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("deadline", db.models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_commitment_transaction_delivery_id")),
        sa.PrimaryKeyConstraint("delivery_id", "transaction_uid", name=op.f("pk_commitment_transaction")),
    )
    op.create_index(op.f("ix_commitment_transaction_transaction_uid"), "commitment_transaction", ["transaction_uid"])
    op.execute(
        "INSERT INTO commitment_transaction (delivery_id, transaction_uid, deadline) "
        "SELECT id, transaction_uid, next_attempt_at FROM delivery "
        "WHERE transaction_uid IS NOT NULL AND next_attempt_at IS NOT NULL AND state IN ('sent', 'warned')"
    )
