"""Spool -> header -> rows -> archive, in batches.

The rows are committed before the files move: a crash in between leaves a spool file that has a row, which the next
pass moves. Every step can be repeated.
"""

import contextlib
import hashlib
import json
import logging
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileDataset

from db.faults import of_database
from db.files import Storage, is_uid, make_folder_durably, spool_time_s, sync_folder
from db.repository import intake
from db.repository.intake import Intake, ReceivedInstance
from db.session import Database
from dicom_out.product import MANUFACTURER
from handlers.quarantine import Quarantine
from node.attributes import text_of
from node.comparison import same_images
from node.header import InstanceHeader

logger = logging.getLogger(__name__)

BATCH = 100
_READ_AGAIN_FOR_S = 600.0
_TELLING = {
    Intake.CONFLICT: "came again with other pixels or geometry; it is held: see `opacity-node resolve`",
    Intake.UPDATE: "came again with another header or transfer syntax; the newest counts",
    Intake.RESTORED: "came again after they had been removed",
    Intake.OWN_RESULT: "are results of ours that came back; they are kept and not used",
}
_CHUNK = 1 << 16
_HEAD = 1 << 17
_PIXEL_TAGS = {struct.pack(order, 0x7FE0, number) for order in ("<HH", ">HH") for number in (0x0008, 0x0009, 0x0010)}
_FILE_META_OFFSET = 128 + 4 + 12
"""Preamble, prefix and the File Meta Information Group Length element itself (PS3.10 7.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Indexed:
    """What one pass did."""

    outcomes: Counter[Intake] = field(default_factory=Counter)
    left_over: int = 0
    """Had rows already, and were moved only now, after a crash."""
    quarantined: int = 0
    more: bool = False
    """Whether files of the spool were left for the next pass."""

    @property
    def total(self) -> int:
        """All files of the batch."""
        return self.outcomes.total() + self.left_over + self.quarantined


class Indexer:
    """Empties the spool into database and archive.

    Parameters
    ----------
    storage : Storage
        Whose spool and archive.
    database : Database
        Takes the rows.
    quarantine : Quarantine
        Takes spool files that cannot be read after all.
    """

    def __init__(self, *, storage: Storage, database: Database, quarantine: Quarantine) -> None:
        self._storage = storage
        self._database = database
        self._quarantine = quarantine
        self._unreadable: dict[str, float] = {}
        """Spool files that could not be read, and since when on the monotonic clock."""

    def run(self) -> Indexed:
        """Index the oldest files of the spool, a batch at most; those that could not be read are tried last.

        Raises
        ------
        OSError or MemoryError
            If a file could not be read, and all others are indexed.
        """
        names = sorted(self._storage.spooled(), key=self._unreadable.__contains__)[:BATCH]
        if not names:
            return Indexed()
        with self._database.read() as session:
            moved = intake.already_indexed(session, names)
        left_over = len(moved)
        received, left, failure = self._read_all(name for name in names if name not in moved)
        received, outcomes = self._add(received, same=same_images(self._storage, self._database, received))
        for instance, outcome in zip(received, outcomes, strict=True):
            if outcome is Intake.DUPLICATE:
                (self._storage.spool / instance.spool_name).unlink()
            else:
                moved[instance.spool_name] = instance.path
            self._unreadable.pop(instance.spool_name, None)
        self._move(moved)
        self._log(received, outcomes)
        indexed = Indexed(
            outcomes=Counter(outcomes),
            left_over=left_over,
            quarantined=len(names) - left - left_over - len(received),
            more=left > 0 or len(names) == BATCH,
        )
        if failure is not None and not indexed.total:
            raise failure
        return indexed

    def _read_all(self, names: Iterable[str]) -> tuple[list[ReceivedInstance], int, Exception | None]:
        """Read spool files up to the first SOP Instance UID that comes again: it is compared with rows.

        Returns
        -------
        list of ReceivedInstance, int, Exception or None
            What was read; how many files were left for a later pass; why the last of those could not be read.
        """
        waiting = list(names)
        received: dict[str, ReceivedInstance] = {}
        left, failure = 0, None
        for number, name in enumerate(waiting):
            try:
                instance = self._read(name)
            except (OSError, MemoryError) as error:
                left, failure = left + 1, error
                continue
            if instance is None:
                continue
            if instance.sop_instance_uid in received:
                return list(received.values()), left + len(waiting) - number, failure
            received[instance.sop_instance_uid] = instance
        return list(received.values()), left, failure

    def _read(self, name: str) -> ReceivedInstance | None:
        try:
            return read_spool_file(self._storage, name)
        except (OSError, MemoryError) as error:
            first_at = self._unreadable.setdefault(name, time.monotonic())
            if time.monotonic() - first_at < _READ_AGAIN_FOR_S:
                raise  # of this machine, not of the file: it stays in the spool and is read again
            self._set_aside(name, error)
            del self._unreadable[name]
        except Exception as error:  # noqa: BLE001 - what cannot be read must not hold up the rest, whatever is raised
            self._set_aside(name, error)
        return None

    def _add(
        self, received: list[ReceivedInstance], *, same: frozenset[str]
    ) -> tuple[list[ReceivedInstance], list[Intake]]:
        """Put instances into rows; those that the database cannot hold are set aside, and not returned."""
        try:
            with self._database.write() as session:
                return received, intake.add(session, received, same_images=same)
        except Exception as error:  # one instance that no row can hold must not hold up the rest
            if of_database(error):
                raise
            if len(received) == 1:
                self._set_aside(received[0].spool_name, error)
                return [], []
            logger.warning("a batch cannot be indexed as a whole (%s)", type(error).__name__, extra={"action": "index"})
        one_by_one = [self._add([instance], same=same) for instance in received]
        return [i for some, _ in one_by_one for i in some], [o for _, some in one_by_one for o in some]

    def _set_aside(self, name: str, error: Exception) -> None:
        kept = self._quarantine.take(self._storage.spool / name, name=name, reason=f"{type(error).__name__}: {error}")
        logger.error(
            "a spool file cannot be indexed (%s); kept as %s",
            type(error).__name__,
            kept.relative_to(self._storage.root),
            extra={"action": "index"},
        )

    def _move(self, targets: dict[str, str]) -> None:
        """Move spool files to their archive paths; those that moved before a crash are left as they are."""
        folders = set()
        for spool_name, relative in targets.items():
            target = self._storage.root / relative
            if target.parent not in folders:
                make_folder_durably(target.parent)
                folders.add(target.parent)
            (self._storage.spool / spool_name).rename(target)
        for folder in folders:
            sync_folder(folder)

    def _log(self, received: list[ReceivedInstance], outcomes: list[Intake]) -> None:
        """Log what is out of the ordinary, a line for each study."""
        counts = Counter(
            (instance.study_instance_uid, outcome)
            for instance, outcome in zip(received, outcomes, strict=True)
            if outcome in _TELLING
        )
        for (study_instance_uid, outcome), number in counts.items():
            logger.log(
                logging.WARNING if outcome is Intake.CONFLICT else logging.INFO,
                "study %s: %d instances %s",
                study_instance_uid,
                number,
                _TELLING[outcome],
                extra={"action": "index"},
            )


def read_spool_file(storage: Storage, name: str) -> ReceivedInstance:
    """Read all of a spool file that goes into rows.

    Raises
    ------
    Exception
        Whatever pydicom raises for a file that is no DICOM file, and ValueError where a UID is unfit.
    """
    path = storage.spool / name
    dataset, pixels_at = _header(path)
    meta = dataset.file_meta
    study, series, sop = (
        _uid(dataset, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    header = InstanceHeader.from_dataset(dataset)
    dataset_sha256, pixel_sha256 = _hashes(path, _FILE_META_OFFSET + meta.FileMetaInformationGroupLength, pixels_at)
    circumstances = json.loads(meta.PrivateInformation)
    return ReceivedInstance(
        spool_name=name,
        path=str(storage.archive_path(study, name)),
        size=path.stat().st_size,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop,
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        transfer_syntax_uid=str(meta.TransferSyntaxUID),
        dataset_sha256=dataset_sha256,
        pixel_sha256=pixel_sha256,
        modality=header.modality,
        series_number=header.series_number,
        series_description=header.series_description,
        patient_id=text_of(dataset, "PatientID"),
        issuer_of_patient_id=text_of(dataset, "IssuerOfPatientID"),
        patient_name=text_of(dataset, "PatientName"),
        patient_birth_date=text_of(dataset, "PatientBirthDate"),
        patient_sex=text_of(dataset, "PatientSex"),
        header=header.to_json(),
        device_uids=header.contributing_device_uids,
        by_us=MANUFACTURER in header.contributing_manufacturers,
        calling_ae_title=str(meta.get("SendingApplicationEntityTitle", "")),
        called_ae_title=str(meta.get("ReceivingApplicationEntityTitle", "")),
        peer_address=str(circumstances["peer_address"]),
        association_id=str(circumstances["association_id"]),
        received_at=datetime.fromtimestamp(spool_time_s(name), UTC),
    )


def _header(path: Path) -> tuple[FileDataset, int]:
    """Return what stands before the pixels, and where they begin.

    As a rule all of it lies in the first bytes, from which pydicom reads much faster than from a file.
    """
    with path.open("rb") as file:
        head = BytesIO(file.read(_HEAD))
        with contextlib.suppress(Exception):  # cut anywhere, it raises anything
            dataset, pixels_at = pydicom.dcmread(head, stop_before_pixels=True), head.tell()
            # Of what is cut pydicom may say nothing, and stop anywhere.
            if len(head.getvalue()) < _HEAD or head.read(4) in _PIXEL_TAGS:
                return dataset, pixels_at
        file.seek(0)
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        return dataset, file.tell()


def _uid(dataset: Dataset, keyword: str) -> str:
    value: Any = text_of(dataset, keyword)
    if not is_uid(value):
        raise ValueError(f"{keyword} is absent or no UID")
    return str(value)


def _hashes(path: Path, dataset_at: int, pixels_at: int) -> tuple[str, str]:
    """Return the SHA-256 of a file's data set, and of its bytes from Pixel Data on.

    Of a deflated data set the pixels cannot be told from the rest without inflating; the whole then stands for them.
    """
    size = path.stat().st_size
    pixels_at = pixels_at if dataset_at < pixels_at < size else dataset_at
    whole, pixels = hashlib.sha256(), hashlib.sha256()
    chunk = memoryview(bytearray(min(size, _CHUNK)))
    with path.open("rb", buffering=0) as file:  # not mapped: what is mapped counts as memory of this process
        at = file.seek(dataset_at)
        while read := file.readinto(chunk):
            whole.update(chunk[:read])
            if at + read > pixels_at:
                pixels.update(chunk[max(0, pixels_at - at) : read])
            at += read
    return whole.hexdigest(), pixels.hexdigest()
