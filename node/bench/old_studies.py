"""A database as years of work leave it: studies long settled, run and delivered. Rows only; no files."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from sqlalchemy import insert
from sqlalchemy.orm import Session

from db.models import Base, Decision, Delivery, Instance, Job, JobInstance, Result, Revision, Series, Study
from db.session import Database
from db.states import DeliveryState, HoldReason, InstanceRole, JobState, Outcome, SettleReason, StudyState
from node.header import InstanceHeader

_ROOT = "1.2.826.0.1.3680043.8.498.7"
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
    frame_of_reference_uid=f"{_ROOT}.9",
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
    for first in range(0, studies, _STUDIES_AT_ONCE):
        with database.write() as session:
            for n in range(first, min(first + _STUDIES_AT_ONCE, studies)):
                _add(session, n + 1, instances, newest - (studies - n) * _APART)


def _add(session: Session, number: int, instances: int, at: datetime) -> None:
    """Add one study; its rows have the ids that its number says, so that none need be asked for."""
    uid = f"{_ROOT}.{number}"
    held, failed = number % _ODD_EVERY == 0, number % _ODD_EVERY == 1
    _insert(
        session,
        Study(
            id=number,
            study_instance_uid=uid,
            state=StudyState.HELD if held else StudyState.SETTLED,
            hold_reason=HoldReason.CONFLICT if held else None,
            hold_message="instances came again with other pixels or geometry" if held else None,
            first_received_at=at,
            last_received_at=at,
            opened_at=at,
            revision_number=1,
        ),
    )
    series = (2 * number, 2 * number + 1)
    _insert(session, *(_series(series_id, number, n + 1) for n, series_id in enumerate(series)))
    first_id = (number - 1) * instances + 1
    session.execute(insert(Instance), list(_instances(number, series, first_id, instances, at)))
    _insert(session, Revision(id=number, study_id=number, number=1, settled_at=at, reason=SettleReason.QUIET))
    _insert(session, _job(number, at, JobState.FAILED if failed else JobState.SUCCEEDED))
    selection = range(first_id + _LOCALIZERS, first_id + instances)
    session.execute(
        insert(JobInstance), [{"job_id": number, "position": p, "instance_id": i} for p, i in enumerate(selection)]
    )
    _insert(session, *_decisions(number, series, len(selection)))
    if not failed:
        _insert(session, *_results(number, at))
        _insert(session, *(_delivery(result_id, at) for result_id in _result_ids(number)))


def _insert(session: Session, *rows: Base) -> None:
    session.add_all(rows)
    session.flush()
    session.expunge_all()


def _series(series_id: int, study: int, number: int) -> Series:
    return Series(
        id=series_id,
        study_id=study,
        series_instance_uid=f"{_ROOT}.{study}.{number}",
        modality="CT",
        series_number=number,
        series_description="Topogram" if number == 1 else _AXIAL.series_description,
    )


def _instances(
    study: int, series: tuple[int, int], first_id: int, count: int, at: datetime
) -> Iterator[dict[str, Any]]:
    """Return localizers, then slices, as rows for a bulk insert."""
    seconds = int(at.timestamp())
    for n in range(count):
        localizer = n < _LOCALIZERS
        series_uid = f"{_ROOT}.{study}.{1 if localizer else 2}"
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
            "series_id": series[0 if localizer else 1],
            "sop_instance_uid": header["sop_instance_uid"],
            "sop_class_uid": CTImageStorage,
            "transfer_syntax_uid": ExplicitVRLittleEndian,
            "role": InstanceRole.CURRENT,
            "spool_name": name,
            "path": f"archive/{study % 100:02d}/{_ROOT}.{study}/{name}",
            "size": 526_000,
            "dataset_sha256": f"{first_id + n:064x}",
            "pixel_sha256": f"{first_id + n + 2**64:064x}",
            "patient_id": f"P{study}",
            "issuer_of_patient_id": "HOSPITAL",
            "patient_name": f"Family{study}^Given",
            "patient_birth_date": "19500101",
            "patient_sex": "O",
            "header": header,
            "calling_ae_title": "SCANNER",
            "called_ae_title": "OPACITY_NODE",
            "peer_address": "192.0.2.1",
            "association_id": f"association-{study:012x}",
            "received_at": at,
        }


def _job(study: int, at: datetime, state: JobState) -> Job:
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
        state=state,
        created_at=at,
        ranks_at=at,
        started_at=at,
        finished_at=at,
        device="cpu",
        attempts=1 if state is JobState.SUCCEEDED else 3,
        timings={"load": 1.4, "pipeline": 7.5, "build": 1.0, "write": 0.3},
        summary={"measurements": [{"name": "volume", "value": 4000.0 + n, "unit": "ml"} for n in range(20)]},
    )


def _decisions(study: int, series: tuple[int, int], slices: int) -> list[Decision]:
    shared = {"revision_id": study, "rule": "chest CT", "pipeline": "lung-densitometry"}
    return [
        Decision(
            series_id=series[0],
            stack="Topogram",
            instance_count=_LOCALIZERS,
            outcome=Outcome.NOT_RUN,
            code="localizer",
            reason="A localizer (scout), not a volume.",
            **shared,
        ),
        Decision(
            series_id=series[1],
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
            sop_instance_uid=f"{_ROOT}.{study}.3.{position}",
            sop_class_uid=CTImageStorage,
            series_instance_uid=f"{_ROOT}.{study}.3",
            path=f"results/{_ROOT}.{study}/lung-densitometry-{study}/{position}.dcm",
            size=500_000,
            sha256=f"{result_id:064x}",
            device_uid=f"{_ROOT}.4",
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
