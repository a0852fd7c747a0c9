"""What queries match: a catalogue of studies and series, which the node fills from their files."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HELD = sa.text("removed_at IS NULL")
_STUDY_TEXTS = (
    "specific_character_set",
    "patient_name",
    "patient_name_alphabetic",
    "patient_name_ideographic",
    "patient_name_phonetic",
    "patient_id",
    "issuer_of_patient_id",
    "patient_birth_date",
    "patient_sex",
    "study_date",
    "study_time",
    "accession_number",
    "study_identifier",
    "study_description",
    "referring_physician_name",
    "referring_physician_name_alphabetic",
)
_SERIES_TEXTS = (
    "modality",
    "series_description",
    "body_part_examined",
    "protocol_name",
    "series_date",
    "series_time",
)
_LOOKED_UP = (
    ["patient_name_alphabetic"],
    ["patient_name_ideographic"],
    ["patient_name_phonetic"],
    ["patient_id", "issuer_of_patient_id"],
    ["patient_birth_date"],
    ["study_date"],
    ["accession_number"],
)


def upgrade() -> None:
    """Apply."""
    op.add_column("study", sa.Column("to_catalogue", sa.Integer(), server_default="1", nullable=False))
    op.create_index(op.f("ix_study_to_catalogue"), "study", ["to_catalogue"])
    op.create_index(
        "ix_instance_available", "instance", ["series_id", "role"], sqlite_where=_HELD, postgresql_where=_HELD
    )
    op.create_table(
        "catalogued_study",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in _STUDY_TEXTS),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_catalogued_study_study_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_catalogued_study_instance_id")),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_catalogued_study")),
    )
    for columns in _LOOKED_UP:
        op.create_index(op.f(f"ix_catalogued_study_{'_'.join(columns)}"), "catalogued_study", columns)
    op.create_table(
        "catalogued_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("instance_id", sa.Integer(), nullable=True),
        sa.Column("result_id", sa.Integer(), nullable=True),
        sa.Column("series_number", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in _SERIES_TEXTS),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_catalogued_series_study_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_catalogued_series_instance_id")),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name=op.f("fk_catalogued_series_result_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogued_series")),
        sa.UniqueConstraint(
            "study_id", "series_instance_uid", name=op.f("uq_catalogued_series_study_id_series_instance_uid")
        ),
    )
    op.create_index(op.f("ix_catalogued_series_series_instance_uid"), "catalogued_series", ["series_instance_uid"])
