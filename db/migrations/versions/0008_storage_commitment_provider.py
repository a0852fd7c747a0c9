"""What peers ask us to keep, and what we promised."""

import sqlalchemy as sa
from alembic import op
import db.models

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "commitment_request",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("association_id", sa.String(), nullable=False),
        sa.Column("received_at", db.models.UtcDateTime(), nullable=False),
        sa.Column("examined", sa.Boolean(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", db.models.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_request")),
        sa.UniqueConstraint(
            "calling_ae_title", "transaction_uid", name=op.f("uq_commitment_request_calling_ae_title_transaction_uid")
        ),
    )
    op.create_index(op.f("ix_commitment_request_next_attempt_at"), "commitment_request", ["next_attempt_at"])
    op.create_table(
        "commitment_object",
        sa.Column("request_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("failure_reason", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"], ["commitment_request.id"], name=op.f("fk_commitment_object_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("pk_commitment_object")),
    )
    op.create_table(
        "promise",
        sa.Column("instance_id", sa.Integer(), nullable=False),
        sa.Column("promised_at", db.models.UtcDateTime(), nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=True),
        sa.Column("ask_at", db.models.UtcDateTime(), nullable=True),
        sa.Column("confirmed_at", db.models.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_promise_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_promise")),
    )
    op.create_index(op.f("ix_promise_transaction_uid"), "promise", ["transaction_uid"])
