"""A database as years of work leave it: studies long settled, run and delivered. Rows only; no files."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import insert
from sqlalchemy.orm import Session

from db.models import (
    CataloguedSeries,
    CataloguedStudy,
    Decision,
    Delivery,
    Instance,
    Job,
    JobInstance,
    Result,
    Revision,
    Series,
    Study,
)
from db.repository.matching import name_groups
from db.session import Database
from db.states import DeliveryState, HoldReason, InstanceRole, JobState, Outcome, SettleReason, StudyState
from node.header import InstanceHeader

ROOT = "1.2.826.0.1.3680043.8.498.7"
"""Of every UID."""
_APART = timedelta(minutes=20)
_STUDIES_AT_ONCE = 50
_LOCALIZERS = 2
_KINDS = ("SR", "SEG", "key image")
_ODD_EVERY = 100
"""One study in so many is held, and the job of another failed for good."""
_AXIAL = InstanceHeader(
    sop_instance_uid="",
    sop_class_uid=CTImageStorage,
    series_instance_uid="",
    frame_of_reference_uid=f"{ROOT}.9",
    modality="CT",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"),
    series_number=2,
    series_description="Thorax 2.0 B30f",
    body_part_examined="CHEST",
    acquisition_number=1,
    rows=512,
    columns=512,
    pixel_spacing=(0.703125, 0.703125),
    slice_thickness=2.0,
    convolution_kernel="B30f",
    image_orientation_patient=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    rescale_slope=1.0,
    rescale_intercept=-1024.0,
)
_HEADER = _AXIAL.to_json()


def fill(database: Database, *, studies: int, instances: int) -> None:
    """Put studies into an empty database, one every 20 minutes up to now.

    Parameters
    ----------
    database : Database
        With the schema, and nothing in it.
    studies, instances : int
        How many, and how many in each.
    """
    newest = datetime.now(UTC) - timedelta(hours=2)
    received_at = {n: newest - (studies - n) * _APART for n in range(1, studies + 1)}
    for first in range(1, studies + 1, _STUDIES_AT_ONCE):
        batch = {n: received_at[n] for n in range(first, min(first + _STUDIES_AT_ONCE, studies + 1))}
        with database.write() as session:
            _add(session, batch, instances)


def _add(session: Session, received_at: dict[int, datetime], instances: int) -> None:
    """Add studies by number; their rows have the ids that the number says, so that none need be asked for."""
    session.add_all(_study(n, at) for n, at in received_at.items())
    session.add_all(_series(n, number) for n in received_at for number in (1, 2))
    session.flush()
    session.execute(insert(Instance), [row for n, at in received_at.items() for row in _instances(n, instances, at)])
    for n, at in received_at.items():
        session.add(Revision(id=n, study_id=n, number=1, settled_at=at, reason=SettleReason.QUIET))
        session.add(_job(n, at))
    session.flush()
    for n, at in received_at.items():
        session.add_all(_decisions(n, instances - _LOCALIZERS))
        if not _failed(n):
            session.add_all(_results(n, at))
            session.add_all(_delivery(result_id, at) for result_id in _result_ids(n))
    session.flush()
    session.add_all(_catalogued(n, instances, at) for n, at in received_at.items())
    session.add_all(row for n in received_at for row in _catalogued_series(n, instances))
    session.execute(insert(JobInstance), [row for n in received_at for row in _selection(n, instances)])


def _failed(study: int) -> bool:
    return study % _ODD_EVERY == 1


def _study(number: int, at: datetime) -> Study:
    held = number % _ODD_EVERY == 0
    return Study(
        id=number,
        study_instance_uid=f"{ROOT}.{number}",
        state=StudyState.HELD if held else StudyState.SETTLED,
        hold_reason=HoldReason.CONFLICT if held else None,
        hold_message="instances came again with other pixels or geometry" if held else None,
        first_received_at=at,
        last_received_at=at,
        opened_at=at,
        revision_number=1,
        to_catalogue=0,
    )


def _catalogued(study: int, instances: int, at: datetime) -> CataloguedStudy:
    name = _patient_name(study)
    alphabetic, ideographic, phonetic = name_groups(name)
    return CataloguedStudy(
        study_id=study,
        instance_id=_first_instance_id(study, instances),
        specific_character_set="ISO_IR 192",
        patient_name=name,
        patient_name_alphabetic=alphabetic,
        patient_name_ideographic=ideographic,
        patient_name_phonetic=phonetic,
        patient_id=f"P{study}",
        issuer_of_patient_id="HOSPITAL",
        patient_birth_date="19500101",
        patient_sex="O",
        study_date=f"{at:%Y%m%d}",
        study_time=f"{at:%H%M%S}",
        accession_number=f"A{study}",
        study_identifier=f"{study}",
        study_description="Chest",
        referring_physician_name="Referring^Doctor",
        referring_physician_name_alphabetic="referring^doctor",
    )


def _catalogued_series(study: int, instances: int) -> Iterator[CataloguedSeries]:
    first_id = _first_instance_id(study, instances)
    for number, instance_id in ((1, first_id), (2, first_id + _LOCALIZERS)):
        series = _series(study, number)
        yield CataloguedSeries(
            study_id=study,
            series_instance_uid=series.series_instance_uid,
            instance_id=instance_id,
            series_number=number,
            modality="CT",
            series_description=series.series_description,
            body_part_examined="CHEST",
            protocol_name="Thorax",
            series_date="",
            series_time="",
        )


def _patient_name(study: int) -> str:
    return f"Family{study}^Given"


def _series_id(study: int, number: int) -> int:
    return 2 * study + number


def _first_instance_id(study: int, instances: int) -> int:
    return (study - 1) * instances + 1


def _selection(study: int, instances: int) -> Iterator[dict[str, Any]]:
    first_id = _first_instance_id(study, instances) + _LOCALIZERS
    for position in range(instances - _LOCALIZERS):
        yield {"job_id": study, "position": position, "instance_id": first_id + position}


def _series(study: int, number: int) -> Series:
    return Series(
        id=_series_id(study, number),
        study_id=study,
        series_instance_uid=f"{ROOT}.{study}.{number}",
        modality="CT",
        series_number=number,
        series_description="Topogram" if number == 1 else _AXIAL.series_description,
    )


def _instances(study: int, count: int, at: datetime) -> Iterator[dict[str, Any]]:
    """Return localizers, then slices, as rows for a bulk insert."""
    seconds, first_id = int(at.timestamp()), _first_instance_id(study, count)
    for n in range(count):
        localizer = n < _LOCALIZERS
        series = 1 if localizer else 2
        series_uid = f"{ROOT}.{study}.{series}"
        header = _HEADER | {
            "sop_instance_uid": f"{series_uid}.{n}",
            "series_instance_uid": series_uid,
            "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER") if localizer else _AXIAL.image_type,
            "instance_number": n + 1,
            "image_position_patient": (-180.0, -180.0, -1200.5 + 2.0 * n),
        }
        name = f"{seconds:011d}{n:09d}-{first_id + n:08x}.dcm"
        yield {
            "id": first_id + n,
            "series_id": _series_id(study, series),
            "sop_instance_uid": header["sop_instance_uid"],
            "sop_class_uid": CTImageStorage,
            "transfer_syntax_uid": ExplicitVRLittleEndian,
            "role": InstanceRole.CURRENT,
            "spool_name": name,
            "path": f"archive/{study % 100:02d}/{ROOT}.{study}/{name}",
            "size": 526_000,
            "dataset_sha256": f"{first_id + n:064x}",
            "pixel_sha256": f"{first_id + n + 2**64:064x}",
            "patient_id": f"P{study}",
            "issuer_of_patient_id": "HOSPITAL",
            "patient_name": _patient_name(study),
            "patient_birth_date": "19500101",
            "patient_sex": "O",
            "header": header,
            "calling_ae_title": "SCANNER",
            "called_ae_title": "OPACITY_NODE",
            "peer_address": "192.0.2.1",
            "association_id": f"association-{study:012x}",
            "received_at": at,
        }


def _job(study: int, at: datetime) -> Job:
    return Job(
        id=study,
        study_id=study,
        revision_id=study,
        pipeline="lung-densitometry",
        pipeline_version="1.0.0",
        selection_hash=f"{study:064x}",
        stack=_AXIAL.series_description,
        rule="chest CT",
        destinations=["pacs"],
        state=JobState.FAILED if _failed(study) else JobState.SUCCEEDED,
        created_at=at,
        ranks_at=at,
        started_at=at,
        finished_at=at,
        device="cpu",
        attempts=3 if _failed(study) else 1,
        timings={"load": 1.4, "pipeline": 7.5, "build": 1.0, "write": 0.3},
        summary={"measurements": [{"name": "volume", "value": 4000.0 + n, "unit": "ml"} for n in range(20)]},
    )


def _decisions(study: int, slices: int) -> list[Decision]:
    shared = {"revision_id": study, "rule": "chest CT", "pipeline": "lung-densitometry"}
    return [
        Decision(
            series_id=_series_id(study, 1),
            stack="Topogram",
            instance_count=_LOCALIZERS,
            outcome=Outcome.NOT_RUN,
            code="localizer",
            reason="A localizer (scout), not a volume.",
            **shared,
        ),
        Decision(
            series_id=_series_id(study, 2),
            stack=_AXIAL.series_description,
            instance_count=slices,
            outcome=Outcome.RUN,
            code="selected",
            reason="The only stack that fits.",
            job_id=study,
            **shared,
        ),
    ]


def _result_ids(study: int) -> range:
    return range(len(_KINDS) * study, len(_KINDS) * (study + 1))


def _results(study: int, at: datetime) -> list[Result]:
    return [
        Result(
            id=result_id,
            job_id=study,
            position=position,
            kind=kind,
            sop_instance_uid=f"{ROOT}.{study}.3.{position}",
            sop_class_uid=CTImageStorage,
            series_instance_uid=f"{ROOT}.{study}.3",
            path=f"results/{ROOT}.{study}/lung-densitometry-{study}/{position}.dcm",
            size=500_000,
            sha256=f"{result_id:064x}",
            device_uid=f"{ROOT}.4",
            created_at=at,
        )
        for position, (kind, result_id) in enumerate(zip(_KINDS, _result_ids(study), strict=True))
    ]


def _delivery(result_id: int, at: datetime) -> Delivery:
    return Delivery(
        result_id=result_id,
        destination="demo-pacs",
        state=DeliveryState.SENT,
        attempts=1,
        next_attempt_at=None,
        status=0,
        sent_at=at,
    )
