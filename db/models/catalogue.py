"""What queries look through: studies and series as they were received."""

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base
from db.models.received import Study


class CataloguedStudy(Base):
    """What queries match of a study: its attributes as one of its instances says them, of the patient too."""

    __tablename__ = "catalogued_study"
    __table_args__ = (
        Index(None, "patient_name_alphabetic"),
        Index(None, "patient_name_ideographic"),
        Index(None, "patient_name_phonetic"),
        Index(None, "patient_id", "issuer_of_patient_id"),
        Index(None, "patient_birth_date"),
        Index(None, "study_date"),
        Index(None, "accession_number"),
    )

    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"))
    """Which says all of this."""
    specific_character_set: Mapped[str]
    """Of the instance; values are separated by backslashes."""
    patient_name: Mapped[str]
    patient_name_alphabetic: Mapped[str]
    """The first component group, folded: names match whatever their case and accents."""
    patient_name_ideographic: Mapped[str]
    patient_name_phonetic: Mapped[str]
    patient_id: Mapped[str]
    issuer_of_patient_id: Mapped[str]
    patient_birth_date: Mapped[str]
    patient_sex: Mapped[str]
    study_date: Mapped[str]
    study_time: Mapped[str]
    accession_number: Mapped[str]
    study_identifier: Mapped[str]
    """Study ID (0020,0010)."""
    study_description: Mapped[str]
    referring_physician_name: Mapped[str]
    referring_physician_name_alphabetic: Mapped[str]

    study: Mapped[Study] = relationship()


class CataloguedSeries(Base):
    """What queries match of a series, received or made here."""

    __tablename__ = "catalogued_series"
    __table_args__ = (UniqueConstraint("study_id", "series_instance_uid"), Index(None, "series_instance_uid"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instance.id"))
    """Which says all of this, unless a result does."""
    result_id: Mapped[int | None] = mapped_column(ForeignKey("result.id"))
    series_number: Mapped[int | None]
    modality: Mapped[str]
    series_description: Mapped[str]
    body_part_examined: Mapped[str]
    protocol_name: Mapped[str]
    series_date: Mapped[str]
    series_time: Mapped[str]
