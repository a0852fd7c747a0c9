"""Indexes for what retention and `status` look up: images held, files to unlink, the newest studies."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_HELD = sa.text("removed_at IS NULL")
_TO_UNLINK = sa.text("removed_at IS NOT NULL AND path != ''")


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_study_last_received_at"), "study", ["last_received_at"])
    op.create_index(
        "ix_instance_held",
        "instance",
        ["received_at", "series_id", "size"],
        sqlite_where=_HELD,
        postgresql_where=_HELD,
    )
    op.create_index(
        "ix_instance_to_unlink", "instance", ["series_id"], sqlite_where=_TO_UNLINK, postgresql_where=_TO_UNLINK
    )
