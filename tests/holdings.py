"""A node's storage that holds two patients and results, served for queries, without the rest of a node."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
    JPEGLosslessSV1,
    ParametricMapStorage,
)
from pynetdicom import _config
from sqlalchemy import select

from db import schema
from db.files import Storage
from db.incoming import Incoming
from db.models import Job, Result, Revision, Study
from db.session import Database
from db.states import JobState, SettleReason
from dicom_out.part10 import deflated, encode
from dicom_out.sender import Peer, SendState, send
from handlers.association import Associations
from handlers.commitment import CommitmentHandler
from handlers.commitment_request import REFUSES_ALL, RequestHandler
from handlers.quarantine import Quarantine
from handlers.refusals import Refusals
from handlers.space import DiskSpace
from handlers.store import StoreHandler
from node.catalogue import Catalogue
from node.config import Config
from node.indexer import Indexer
from node.retrieval import QueryRetrieveScp
from node.server import Server
from tests.factories import STUDY, ct_header
from tests.processes import free_port

XRAY_STUDY = "1.2.826.0.1.3680043.8.498.21"
MAP_SIZE = 3 * 24 * 32 * 4
AE_TITLE = "HOLDINGS"


@dataclass
class Holdings:
    """What a test asks."""

    storage: Storage
    database: Database
    config: Config
    peer: Peer
    server: Server
    unrestricted: bool
    """What pynetdicom's switch was, which a server sets for the whole process."""

    def close(self) -> None:
        """End the server."""
        self.server.stop(grace_s=0)
        self.database.close()
        _config.UNRESTRICTED_STORAGE_SERVICE = self.unrestricted

    def receive(self, *datasets: Dataset, folder: Path) -> None:
        """Store data sets by C-STORE, and do what the node's stages would."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{dataset.SOPInstanceUID}.dcm" for dataset in datasets]
        for path, dataset in zip(paths, datasets, strict=True):
            dataset.save_as(path, enforce_file_format=True)
        outcomes = list(send(paths, self.peer))
        assert {outcome.state for outcome in outcomes} == {SendState.SENT}, outcomes
        self.settle_down()

    def settle_down(self) -> None:
        """Index and catalogue what came."""
        quarantine = Quarantine(self.storage.quarantine, quota_bytes=0)
        while Indexer(storage=self.storage, database=self.database, quarantine=quarantine).run().total:
            pass
        while Catalogue(storage=self.storage, database=self.database).run():
            pass

    def add_results(self, study_instance_uid: str) -> list[Path]:
        """Add a report and a deflated map, as a job leaves them."""
        folder = self.storage.result_folder(study_instance_uid, "test", 1, datetime.now(UTC))
        (self.storage.root / folder).mkdir(parents=True)
        report = result_dataset(study_instance_uid, ComprehensiveSRStorage, "SR", 1)
        values = np.arange(MAP_SIZE // 4, dtype=np.float32)
        of_map = result_dataset(study_instance_uid, ParametricMapStorage, "OT", 2)
        contents = [encode(report), b"".join(deflated(of_map, [values], MAP_SIZE))]
        paths = [folder / name for name in ("report.dcm", "map.dcm")]
        with self.database.write() as session:
            study_id = session.scalars(select(Study.id).where(Study.study_instance_uid == study_instance_uid)).one()
            job = _job(session, study_id)
            for position, (path, content, dataset) in enumerate(zip(paths, contents, (report, of_map), strict=True)):
                (self.storage.root / path).write_bytes(content)
                session.add(_result(job.id, position, path, content, dataset))
            session.get_one(Study, study_id).to_catalogue += 1
        self.settle_down()
        return [self.storage.root / path for path in paths]


def serve(storage_folder: Path, config: Config, *, requests: RequestHandler = REFUSES_ALL) -> Holdings:
    """Start a server on a new storage."""
    storage = Storage(storage_folder)
    storage.prepare()
    database = Database(f"sqlite:///{storage.database}")
    schema.upgrade(database)
    reading = Database(f"sqlite:///{storage.database}", for_queries=True)
    store = StoreHandler(
        storage=storage,
        incoming=Incoming(storage.incoming),
        quarantine=Quarantine(storage.quarantine, quota_bytes=0),
        space=DiskSpace(storage.root, low_water_bytes=0),
        associations=Associations(),
    )
    settings = config.dicom.model_copy(update={"port": free_port(), "ae_title": AE_TITLE})
    config = config.model_copy(update={"dicom": settings})
    server = Server(
        settings,
        store=store,
        associations=Associations(),
        commitment=CommitmentHandler(lambda _report: True),
        refusals=Refusals(),
        requests=requests,
        query_retrieve=QueryRetrieveScp(lambda: config, lambda: reading, root=storage.root),
    )
    unrestricted = _config.UNRESTRICTED_STORAGE_SERVICE
    server.start()
    peer = Peer(host="127.0.0.1", port=settings.port, ae_title=AE_TITLE, our_ae_title="TEST")
    return Holdings(
        storage=storage, database=database, config=config, peer=peer, server=server, unrestricted=unrestricted
    )


def chest() -> list[Dataset]:
    """Return a scout and three slices of a patient whose name has umlauts, in Latin-1."""
    patient = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller^Jörg",
        "PatientID": "PID-1",
        "StudyDate": "20240102",
        "StudyTime": "101112.5",
        "AccessionNumber": "ACC-1",
        "StudyDescription": "CT Thorax [nativ]",
        "ProtocolName": "Lunge",
    }
    scout = {"SeriesInstanceUID": f"{STUDY}.9", "SOPInstanceUID": f"{STUDY}.9.1", "SeriesNumber": 1}
    slices = [ct_header(n, changes={**patient, "SeriesNumber": 2, "InstanceNumber": n + 1}) for n in range(3)]
    return [ct_header(0, changes={**patient, **scout, "SeriesDescription": "Topogram"}), *slices]


def xray() -> Dataset:
    """Return an image of a patient whose name is written in three ways, compressed."""
    dataset = ct_header(
        0,
        changes={
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "PatientID": "PID-2",
            "StudyDate": "20250607",
            "StudyTime": "080910",
            "AccessionNumber": "ACC-2",
            "StudyInstanceUID": XRAY_STUDY,
            "SeriesInstanceUID": f"{XRAY_STUDY}.1",
            "SOPInstanceUID": f"{XRAY_STUDY}.1.1",
            "SOPClassUID": ComputedRadiographyImageStorage,
            "Modality": "CR",
            "SeriesNumber": 1,
        },
    )
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1  # of no matter where no pixels are
    return dataset


def result_dataset(study_instance_uid: str, sop_class_uid: str, modality: str, number: int) -> Dataset:
    """Return an object of ours."""
    series = f"{study_instance_uid}.77.{number}"
    return ct_header(
        0,
        changes={
            "StudyInstanceUID": study_instance_uid,
            "SeriesInstanceUID": series,
            "SOPInstanceUID": f"{series}.1",
            "SOPClassUID": sop_class_uid,
            "Modality": modality,
            "SeriesNumber": 9500 + number,
            "SeriesDescription": f"AI {modality}",
            "InstanceNumber": 7,
        },
    )


def received(folder: Path) -> list[Dataset]:
    """Read what a client wrote."""
    return [dcmread(path, force=True) for path in sorted(folder.iterdir())]


def _job(session, study_id: int) -> Job:
    now = datetime.now(UTC)
    revision = Revision(study_id=study_id, number=1, settled_at=now, reason=SettleReason.QUIET)
    session.add(revision)
    session.flush()
    job = Job(
        study_id=study_id,
        revision_id=revision.id,
        pipeline="test",
        pipeline_version="1",
        selection_hash="0" * 64,
        stack="s",
        rule="r",
        destinations=[],
        state=JobState.SUCCEEDED,
        created_at=now,
        ranks_at=now,
    )
    session.add(job)
    session.flush()
    return job


def _result(job_id: int, position: int, path: Path, content: bytes, dataset: Dataset) -> Result:
    return Result(
        job_id=job_id,
        position=position,
        kind="sr",
        sop_instance_uid=dataset.SOPInstanceUID,
        sop_class_uid=dataset.SOPClassUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        path=str(path),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        created_at=datetime.now(UTC),
    )
