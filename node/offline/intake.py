"""A folder of files -> studies, as the indexer would make them; what is left out keeps its reason."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.misc import is_dicom

from db.files import is_uid
from dicom_out.product import MANUFACTURER
from node.header import InstanceHeader


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """A DICOM file that may be used."""

    path: Path
    header: InstanceHeader
    study_instance_uid: str
    patient_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A DICOM file that no study gets, and why."""

    path: Path
    code: str
    reason: str
    sop_instance_uid: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Files of one study of one patient; `paths` by SOP Instance UID."""

    study_instance_uid: str
    patient_id: str
    headers: tuple[InstanceHeader, ...]
    paths: dict[str, Path]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a folder holds; `others` counts the files that are not DICOM."""

    studies: tuple[Study, ...]
    left_out: tuple[LeftOut, ...]
    others: int


def files_in(place: Path, *, without: Path) -> list[Path]:
    """Return all files of a folder and its subfolders, or the one file, by name; none of those in `without`."""
    if place.is_file():
        return [place]
    skipped = without.resolve()
    return sorted(p for p in place.rglob("*") if p.is_file() and skipped not in p.resolve().parents)


def read(paths: Iterable[Path], *, on_read: Callable[[], None] = lambda: None) -> Found:
    """Read the headers of files and sort them into studies.

    Parameters
    ----------
    paths : iterable of Path
        Of any kind; DICOMDIR and what is not DICOM are passed over.
    on_read : callable
        Called after each.
    """
    files: dict[str, list[File]] = defaultdict(list)
    left_out: list[LeftOut] = []
    others = 0
    for path in paths:
        item = _read(path)
        on_read()
        if item is None:
            others += 1
        elif isinstance(item, LeftOut):
            left_out.append(item)
        else:
            files[item.header.sop_instance_uid].append(item)
    usable: list[File] = []
    for alike in files.values():
        usable += alike if len(alike) == 1 else _told_apart(alike, left_out)
    return Found(studies=tuple(_studies(usable)), left_out=tuple(left_out), others=others)


def _read(path: Path) -> File | LeftOut | None:
    try:
        if path.name == "DICOMDIR" or not is_dicom(path):
            return None
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        header = InstanceHeader.from_dataset(dataset)
        study_instance_uid = str(dataset.get("StudyInstanceUID") or "").strip()
        patient_id = str(dataset.get("PatientID") or "").strip()
    except OSError as error:
        return LeftOut(path=path, code="unreadable", reason=f"It cannot be read: {error.strerror or error}.")
    except Exception as error:  # noqa: BLE001 - pydicom raises anything for a broken file, which must not end the rest
        return LeftOut(path=path, code="unreadable", reason=f"It is no whole DICOM file ({type(error).__name__}).")
    uid = header.sop_instance_uid
    if not all(map(is_uid, (uid, header.series_instance_uid, study_instance_uid))):
        reason = "Its Study, Series or SOP Instance UID is absent or malformed."
        return LeftOut(path=path, code="malformed-uid", reason=reason, sop_instance_uid=uid)
    if MANUFACTURER in header.contributing_manufacturers:
        return LeftOut(path=path, code="own-result", reason="A result that this program made.", sop_instance_uid=uid)
    return File(path=path, header=header, study_instance_uid=study_instance_uid, patient_id=patient_id)


def _told_apart(alike: list[File], left_out: list[LeftOut]) -> list[File]:
    """Keep one of equal files; of files that differ under one SOP Instance UID none, as nobody said which is right."""
    first, *others = alike
    uid = first.header.sop_instance_uid
    if len({sha256_of(file.path) for file in alike}) == 1:
        reason = f"The same file as {first.path}."
        left_out += [LeftOut(path=o.path, code="duplicate", reason=reason, sop_instance_uid=uid) for o in others]
        return [first]
    for file in alike:
        other = next(o.path for o in alike if o is not file)
        reason = f"{other} has the same SOP Instance UID and differs. Take one of them away."
        left_out.append(LeftOut(path=file.path, code="conflict", reason=reason, sop_instance_uid=uid))
    return []


def _studies(files: Iterable[File]) -> Iterator[Study]:
    """Sort files into studies; one Study Instance UID over two patients, as some archives have, makes two."""
    grouped: dict[tuple[str, str], list[File]] = defaultdict(list)
    for file in files:
        grouped[file.study_instance_uid, file.patient_id].append(file)
    for (study_instance_uid, patient_id), members in grouped.items():
        yield Study(
            study_instance_uid=study_instance_uid,
            patient_id=patient_id,
            headers=tuple(file.header for file in members),
            paths={file.header.sop_instance_uid: file.path for file in members},
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
